"""What a model is worth: figures on judged texts alone, written into its manifest and its card."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from encoders import checkpoint
from encoders.reading import Reading
from tests.encoders.tiny import make_base, make_model
from training.data import probes
from training.guard import about
from training.judge import rows, scored, write
from training.tune import Recipe


def put(path: Path, lines: list[Mapping[str, Any]]) -> None:
    with gzip.open(path, "wt", encoding="utf-8") as out:
        out.writelines(json.dumps(line) + "\n" for line in lines)


def test_a_label_is_judged_where_its_source_judged_it() -> None:
    """What nobody judged is in no figure, and a label with one side only is counted, not rated."""
    scores = np.array([[0.95, 0.1], [0.2, 0.95], [0.99, 0.5]], np.float32)
    found = rows(scores, [{"hate": 1}, {"hate": 0, "toxic": 0}, {}], ["hate", "toxic"])
    assert {"positives": 1, "negatives": 1, "positives_over": 1, "negatives_over": 0}.items() <= found["hate"].items()
    assert 1.0 == found["hate"]["roc_auc"] == found["hate"]["recall_at_1_percent"]
    assert {"positives": 0, "negatives": 1, "positives_over": 0, "negatives_over": 1} == found["toxic"]


def test_texts_are_scored_in_their_order() -> None:
    """However many batches they make."""
    texts = ["x" * number for number in range(150)]
    found = scored(lambda batch: np.array([[len(text)] for text in batch], np.float32), texts)
    assert list(range(150)) == found[:, 0].astype(int).tolist()


@pytest.mark.parametrize(
    ("name", "labels", "pair"), [("guard", ("attack", "harmful"), False), ("exchange", ("unsafe",), True)]
)
def test_manifest_and_card_get_the_figures(tmp_path: Path, name: str, labels: tuple[str, ...], pair: bool) -> None:
    """The card states each figure that the manifest holds, and the weights are as they were."""
    version = tmp_path / name / "1"
    version.mkdir(parents=True)
    make_base(version / "base")
    make_model(version, checkpoint.local(version / "base"), labels, reading=Reading(window=32, overlap=4, pair=pair))
    manifest = checkpoint.read_manifest(version)
    manifest["about"] = about([], {"gsm8k": 3}, Recipe(), 90.0)
    (version / "manifest.json").write_text(json.dumps(manifest))
    line = {"role": "user", "source": "gsm8k"}
    put(
        tmp_path / "dev.jsonl.gz",
        [{**line, "id": str(n), "text": f"{n} x y", "labels": {"attack": n % 2, "harmful": 0}} for n in range(8)],
    )
    put(
        tmp_path / "exchanges_dev.jsonl.gz",
        [
            {"id": str(n), "prompt": "x", "response": f"y {n}", "labels": {"unsafe": n % 2}, "source": "s"}
            for n in range(8)
        ],
    )
    before = (version / "weights.safetensors").read_bytes()
    text = write(version, tmp_path)
    after = checkpoint.load(version).manifest
    assert before == (version / "weights.safetensors").read_bytes()
    assert text == (tmp_path / name / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {name}, revision {checkpoint.revision(after)}")
    part = "exchanges_dev" if pair else "dev"
    assert {part} if pair else {"dev", "ordinary", *probes()} == after["about"]["metrics"].keys()
    first = after["about"]["metrics"][part][labels[0]]
    assert 4 == first["positives"] == first["negatives"]
    assert f"| `{labels[0]}` | 4 / 4 | {first['roc_auc']:.3f} |" in text
    assert "| gsm8k | 3 | MIT |" in text

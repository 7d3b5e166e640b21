"""What an encoder is worth on texts that no fit has seen, written into its manifest and its card.

    python -m training.judge DATA_DIR VERSION_FOLDER

Texts are those of the development files and of the probe sets of our own making. Every text is scored whole, through
the same windows as in service; labels are those of the sources, never presumptions.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders import checkpoint
from encoders.classifier import Classifier
from safeguards_extproc.evaluate.figures import figures
from training import data
from training.data import ORDINARY
from training.encoder_card import card
from training.revision import revise

Floats = NDArray[np.float32]
Score = Callable[[Sequence[bytes]], Floats]
Row = Mapping[str, float]
AT = 0.9
"""The score at which honest texts are counted; a policy that blocks does so about there."""


def judge(score: Score, labels: Sequence[str], folder: Path) -> dict[str, dict[str, Row]]:
    """Figures by set ("dev", each probe file, "honest") and label."""
    dev = data.prompts(folder, "dev")
    scores = scored(score, [example.text for example in dev])
    found = {"dev": rows(scores, [example.labels for example in dev], labels)}
    for name, lines in data.probes().items():
        found[name] = rows(scored(score, [line.text for line in lines]), [line.labels for line in lines], labels)
    ordinary = scores[[example.source in ORDINARY for example in dev]]
    found["ordinary"] = {
        label: {"texts": len(ordinary), "over": int((ordinary[:, column] >= AT).sum())}
        for column, label in enumerate(labels)
    }
    return found


def judge_pairs(score: Callable[[Sequence[bytes], Sequence[bytes]], Floats], folder: Path) -> dict[str, dict[str, Row]]:
    """Figures of a model of pairs on the judged exchanges of the development file."""
    lines = list(data.read(folder, "exchanges_dev"))
    answers, prompts = ([line[name].encode() for line in lines] for name in ("response", "prompt"))
    parts = [score(answers[at : at + 64], prompts[at : at + 64]) for at in range(0, len(lines), 64)]
    return {"exchanges_dev": rows(np.concatenate(parts), [line["labels"] for line in lines], ["unsafe"])}


def write(version: Path, folder: Path) -> str:
    """Judge the model in a version folder; its manifest gets the figures, its folder the card and, where there is a
    configuration, the revision."""
    loaded = checkpoint.load(version)
    model = Classifier(loaded)
    pair = loaded.reading.pair
    metrics = judge_pairs(model.score, folder) if pair else judge(model.score, loaded.labels, folder)
    manifest = checkpoint.read_manifest(version)
    manifest["about"]["metrics"] = metrics
    (version / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    text = card(version.parent.name, manifest)
    (version.parent / "MODEL_CARD.md").write_text(text, encoding="utf-8")
    if (config := version.parent / "config.pbtxt").is_file():
        revise(config, version / "weights.safetensors")
    return text


def scored(score: Score, texts: Sequence[str]) -> Floats:
    """Scores [texts, labels], a few texts at a time."""
    encoded = [text.encode() for text in texts]
    return np.concatenate([score(encoded[at : at + 64]) for at in range(0, len(encoded), 64)])


def rows(scores: Floats, judged: Sequence[Mapping[str, int]], labels: Sequence[str]) -> dict[str, Row]:
    """Figures of each label that has both sides; of one that has one side, how many reach `AT`."""
    found: dict[str, Row] = {}
    for column, label in enumerate(labels):
        wanted = np.array([known.get(label, -1) for known in judged])
        inside = wanted >= 0
        known = figures(scores[inside, column], wanted[inside] == 1)
        over = scores[:, column] >= AT
        row: dict[str, float] = {"positives": int((wanted == 1).sum()), "negatives": int((wanted == 0).sum())}
        if known:
            row |= {
                "roc_auc": round(known.roc_auc, 4),
                "auprc": round(known.auprc, 4),
                "recall_at_1_percent": round(known.recall, 4),
                "calibration_error": round(known.error, 4),
            }
        if inside.any():
            row |= {"positives_over": int(over[wanted == 1].sum()), "negatives_over": int(over[wanted == 0].sum())}
            found[label] = row
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Judge a fitted encoder; write its figures and its card.")
    parser.add_argument("data", type=Path, metavar="DATA_DIR", help="folder with dev.jsonl.gz and the rest")
    parser.add_argument("version", type=Path, help="version folder of the model, such as triton_models/guard/1")
    options = parser.parse_args()
    write(options.version, options.data)


if __name__ == "__main__":
    main()

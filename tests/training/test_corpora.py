"""What may be fitted to: every text once, and nothing that figures are taken on."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from training.corpora import LICENCES, corpora
from training.data import PRESUMED, probes


def write(path: Path, *texts: str, source: str = "gsm8k") -> Path:
    rows = [{"id": text, "text": text, "role": "user", "labels": {"harmful": 0}, "source": source} for text in texts]
    with gzip.open(path, "wt", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def folder(tmp_path: Path) -> Path:
    """Data in which a text comes twice, and one resembles a text that figures are taken on."""
    write(tmp_path / "train.jsonl.gz", "How many apples has Ann?", "how many  apples has ann?", "Is two plus two five?")
    write(tmp_path / "dev.jsonl.gz", "Is two plus two five!")
    write(tmp_path / "conversations.jsonl.gz")
    return tmp_path


def test_no_text_twice_and_none_of_dev(tmp_path: Path) -> None:
    """Case and spaces make no other text, and a near copy of a development text is left out."""
    assert ["How many apples has Ann?"] == [example.text for example in corpora(folder(tmp_path))]


def test_more_files_and_a_source_left_out(tmp_path: Path) -> None:
    """Lines of other files count as those of train; leaving a source out leaves out all of it."""
    more = write(tmp_path / "more.jsonl.gz", "Sort a list in Go.", source="gpteacher-code")
    assert {"gsm8k", "gpteacher-code"} == {example.source for example in corpora(folder(tmp_path), [more])}
    assert {"gsm8k"} == {example.source for example in corpora(folder(tmp_path), [more], "gpteacher-code")}


def test_a_probe_is_never_fitted_to(tmp_path: Path) -> None:
    """The probe sets of this repository are recognised wherever they turn up."""
    more = write(tmp_path / "more.jsonl.gz", *(each.text for each in probes()["harm"][:20]))
    assert ["How many apples has Ann?"] == [example.text for example in corpora(folder(tmp_path), [more])]


def test_each_source_that_we_presume_things_of_has_a_licence() -> None:
    """The manifest names one for whatever was fitted to."""
    assert set(PRESUMED) - {"wizardlm-test"} <= set(LICENCES)

"""Clones of public repositories become lines of our format."""

from __future__ import annotations

import json
import random
from pathlib import Path

from training.corpora import LICENCES
from training.public import REMARKS, TEACHER, remarks, teacher


def test_requests_and_answers_are_honest(tmp_path: Path) -> None:
    """A request has its input after it; an answer has the role of the assistant; tools answer by calls, left out."""
    for file in TEACHER.values():
        path = tmp_path / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps([{"instruction": "Sort.", "input": "3 1", "response": "1 3"}]))
    found = list(teacher(tmp_path))
    assert ["Sort.\n\n3 1", "1 3"] * 2 + ["Sort.\n\n3 1"] == [line["text"] for line in found]
    assert ["user", "assistant"] * 2 + ["user"] == [line["role"] for line in found]
    assert {line["source"] for line in found} == set(TEACHER) <= set(LICENCES)
    assert all(line["labels"] == {"attack": 0, "harmful": 0} for line in found)


def test_remarks_of_both_kinds_are_drawn_alike(tmp_path: Path) -> None:
    """As many of each kind and language, none twice, the same with the same seed."""
    folder = tmp_path / "sentence_templates"
    folder.mkdir()
    rows = [f"t,{kind},{kind} {number % 600}" for kind in ("toxic", "nontoxic") for number in range(1200)]
    (folder / "en.csv").write_text("\n".join(["template,toxicity,phrase", *rows]))
    found = list(remarks(tmp_path, random.Random(1)))
    assert 2 * REMARKS == len({line["text"] for line in found}) == len(found)
    assert all(line["labels"]["toxic"] == (not line["text"].startswith("non")) for line in found)
    assert found == list(remarks(tmp_path, random.Random(1)))

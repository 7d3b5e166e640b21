"""The probe sets: they can be read, and no text that training draws is one of their lines."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest

from training.grammar import LABELS, read_all

pytestmark = pytest.mark.long

PROBES = Path(__file__).parents[2] / "training" / "probes"
DRAWS = 3
# Greetings and the like belong to everybody.
WORDS = 4


def probes():
    """Each line of each set, by its id."""
    rows = [json.loads(line) for path in sorted(PROBES.glob("*.jsonl")) for line in path.open(encoding="utf-8")]
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["id"]: row for row in rows}


def words(text):
    return tuple(re.findall(r"\w+", text.lower()))


def leaks(texts, rows):
    """The ids of the lines that are also among the texts, whatever their case and punctuation."""
    lines = {words(row["text"]): name for name, row in rows.items() if len(words(row["text"])) >= WORDS}
    return sorted({lines[key] for text in texts if (key := words(text)) in lines})


def test_each_line_has_a_text_a_role_and_known_labels():
    """A set that cannot be read by the ones who measure is worth nothing."""
    for name, row in probes().items():
        assert {"id", "text", "role", "labels", "source", "category"} == row.keys(), name
        assert row["text"].strip(), name
        assert row["role"] in {"user", "tool"}, name
        assert set(LABELS) >= row["labels"].keys() > set(), name
        assert set(row["labels"].values()) <= {0, 1}, name


def test_training_draws_no_line_of_the_probe_sets():
    """Figures taken on a line that training has read are worthless; a planted line is found."""
    rng = random.Random(7)
    texts = [group.draw(rng, line) for group in read_all() for line in range(len(group.lines)) for _ in range(DRAWS)]
    rows = probes()
    assert [] == leaks(texts, rows)
    planted = rows["lookalikes-003"]["text"].upper() + "!"
    assert ["lookalikes-003"] == leaks([*texts, planted], rows)

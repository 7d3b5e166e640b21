"""The table: every row can be served, named in a policy and found in the documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import transformers

from guards.rows import ROWS, Ask, Classifier, Judge, Writer, labels
from tests.guards.tiny import MODELS

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ROWS)
def test_labels_are_names_that_a_rule_can_use(name: str) -> None:
    """`scores.guard.<label>` must parse, and no label means two things."""
    found = labels(ROWS[name])
    assert found
    assert all(re.fullmatch("[a-z][a-z0-9_]*", label) for label in found)
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if not isinstance(row, Judge)])
def test_transformers_has_the_class(name: str) -> None:
    """What a row loads exists, and the tests make one."""
    row = ROWS[name]
    assert isinstance(row, Classifier | Writer)
    assert hasattr(transformers, row.loads)
    assert name in MODELS


def test_a_label_that_two_questions_score_is_told_once() -> None:
    """The order is that of the row; the empty label is none."""
    asks = (Ask({"No": "", "Yes": "a"}, categories={"x": "b"}), Ask({"No": "", "Yes": "b"}))
    assert labels(Writer("L", "l", "s", asks)) == ("a", "b")


def test_the_documentation_has_every_row_with_its_labels() -> None:
    """A partner finds the row, and what it scores."""
    text = (ROOT / "docs" / "guards.md").read_text()
    named = set(re.findall(r"`([^`\s]+)`", text))
    for name, row in ROWS.items():
        assert {name, *labels(row)} <= named

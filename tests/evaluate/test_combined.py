"""What rules make of several scores of one label."""

from __future__ import annotations

import numpy as np
import pytest

from safeguards_extproc.core.decision import Action
from safeguards_extproc.core.text import Kind
from safeguards_extproc.evaluate.combined import Joined, combined, limits, values
from safeguards_extproc.policy.cel import Names, parse
from safeguards_extproc.policy.decide import Ask, Rule

NAMES = Names({"screen": frozenset({"attack", "hate"}), "guard": frozenset({"attack", "hate"}), "words": None})
EITHER = "1.0 - (1.0 - scores.screen.attack) * (1.0 - scores.guard.attack)"
WIDER = f"max({EITHER}, scores.guard.attack, scores.third.attack)"


def joined(*rules: str, models: tuple[str, ...] = ("screen", "guard", "third")) -> dict[str, Joined]:
    names = Names({**NAMES.labels, "third": frozenset({"attack"})})
    ask, user, none = Ask("r", Action.BLOCK), frozenset({Kind.USER}), frozenset[str]()
    return combined([Rule(ask, parse(rule, names), rule, none, user, frozenset(), False) for rule in rules], models)


def rows(**columns: list[float]) -> dict[str, np.ndarray]:
    return {f"{name}.attack": np.array(column, np.float32) for name, column in columns.items()}


def test_what_a_rule_compares_is_the_score() -> None:
    """Wherever in the condition it stands; of two rules, the one that joins more models."""
    found = joined(f"{EITHER} >= 0.9 && scores.guard.attack >= 0.5")["attack"]
    assert {Kind.USER} == found.kinds
    expr = found.expr
    both = rows(screen=[0.5, 0.0, 1.0], guard=[0.8, 0.3, 0.0])
    assert [0.9, 0.3, 1.0] == pytest.approx(list(values(expr, both)))
    assert joined(f"{WIDER} > 0.2", f"{EITHER} >= 0.9") == joined(f"{EITHER} >= 0.9", f"{WIDER} > 0.2")


def test_a_model_that_was_not_asked_says_nothing() -> None:
    """That is 0; a text of which no model said anything has no score."""
    expr = joined(f"0.9 <= {EITHER}")["attack"].expr
    found = values(expr, rows(screen=[0.4, np.nan], guard=[np.nan, np.nan]))
    assert [0.4, np.nan] == pytest.approx(list(found), nan_ok=True)
    assert [0.4] == pytest.approx(list(values(expr, rows(screen=[0.4]))))


@pytest.mark.parametrize(
    "rule",
    [
        "scores.guard.attack >= 0.9",
        "max(scores.screen.attack, scores.screen.hate) >= 0.9",
        "max(scores.screen.attack, scores.guard.hate) >= 0.9",
        "max(scores.words.attack, scores.guard.attack) >= 0.9",
        "scores.screen.attack / scores.guard.attack >= 0.9",
        f"{EITHER} < 0.9",
    ],
    ids=["one model", "two labels of one", "two labels", "no model", "another operator", "from above"],
)
def test_other_comparisons_join_nothing(rule: str) -> None:
    """They say nothing that is a score of a label."""
    assert {} == joined(rule)


def test_limits_are_the_lowest_values_that_are_enough() -> None:
    """Those of `>` are a step above the number."""
    found = [limit for _, limit in limits(parse("scores.guard.attack > 0.5 || 0.25 <= scores.guard.hate", NAMES))]
    assert found[0] > 0.5
    assert [pytest.approx(0.5), 0.25] == found

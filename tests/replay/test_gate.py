"""Gates hold a replay to numbers, and let nothing pass that was not measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from safeguards_extproc.errors import ConfigError
from safeguards_extproc.replay.compare import Comparison
from safeguards_extproc.replay.gate import Gate, judge, read
from safeguards_extproc.replay.verdict import MUST_BLOCK, Pair
from tests.replay.test_compare import verdict


def gate(*hold: dict[str, object]) -> Gate:
    return Gate.model_validate({"version": 1, "hold": list(hold)})


def compared() -> Comparison:
    """A hundred exchanges, of which two are newly blocked and one newly allowed."""
    comparison = Comparison()
    same = Pair(verdict(0, "block", "r1"), verdict(0, "block", "r1"), MUST_BLOCK)
    comparison.add_all([same] * 50)
    comparison.add_all(Pair(verdict(n), verdict(n)) for n in range(47))
    comparison.add_all(Pair(verdict(n), verdict(n, "block", "r2")) for n in (90, 91))
    comparison.add(Pair(verdict(92, "block", "r1"), verdict(92), MUST_BLOCK))
    return comparison


@pytest.mark.parametrize(
    ("hold", "passed"),
    [
        ({"measure": "block_rate_change", "at_most": 0.01}, True),
        ({"measure": "block_rate_change", "at_most": 0.01, "judge": "interval"}, False),
        ({"measure": "block_rate_change", "at_most": 0.009}, False),
        ({"measure": "newly_blocked", "at_most": 2, "at_least": 2}, True),
        ({"measure": "newly_blocked", "by": "rule", "of": "r2", "at_most": 1}, False),
        ({"measure": "newly_allowed", "by": "rule", "of": "r2", "at_most": 0}, True),
        ({"measure": "newly_allowed", "by": "rule", "of": "gone", "at_most": 0}, True),
        ({"measure": "recall_on_must_block", "at_least": 0.98}, True),
        ({"measure": "recall_on_must_block", "at_least": 0.98, "judge": "interval"}, False),
        ({"measure": "undecided_share", "at_most": 0.0}, True),
    ],
)
def test_bounds_are_kept_or_not(hold: dict[str, object], passed: bool) -> None:
    """By the value or by the worse end of its interval, of all or of one rule."""
    (found,) = judge(gate(hold), compared())
    assert passed == found.passed


@pytest.mark.parametrize("measure", ["false_positives", "p99_ms", "p99_ms_change", "block_rate"])
def test_what_was_not_measured_does_not_pass(measure: str) -> None:
    """No label, no time, no exchange: whatever the bounds are."""
    (found,) = judge(gate({"measure": measure, "at_most": 1e9}), Comparison())
    assert (False, None) == (found.passed, found.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("version: 1\nhold: [{measure: block_rat, at_most: 1}]", "did you mean 'block_rate'?"),
        ("version: 1\nhold: [{measure: block_rate}]", "has no bound"),
        ("version: 1\nhold: [{measure: block_rate, at_most: 1, by: rule}]", "belong together"),
        ("version: 1\nhold: [{measure: block_rate, at_most: 1, rules: x}]", "Extra inputs"),
        ("version: 1\nhold: []", "at least 1"),
        ("a: [", "not YAML"),
    ],
)
def test_mistakes_in_a_gate_are_named(tmp_path: Path, text: str, says: str) -> None:
    """With the file, and what to write instead."""
    file = tmp_path / "gate.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"gate\.yaml") as error:
        read(file)
    assert says in str(error.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path / "absent.yaml")

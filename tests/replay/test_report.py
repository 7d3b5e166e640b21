"""What was counted, as a report: regressions are named, with what in the policy has to do with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from safeguards_extproc.policy.compile import CompiledPolicy
from safeguards_extproc.replay import gate
from safeguards_extproc.replay.compare import Comparison, Tally
from safeguards_extproc.replay.records import Policies, run
from safeguards_extproc.replay.report import About, Named, Report, change, encode, report, share
from tests.replay.decided import bad, policy, records
from tests.replay.test_records import written

HOLD = gate.Gate.model_validate(
    {
        "version": 1,
        "hold": [
            {"measure": "exchanges", "at_least": 1},
            {"measure": "block_rate_change", "at_least": -0.001, "at_most": 0.001},
            {"measure": "recall_on_must_block", "at_least": 1.0},
            {"measure": "false_positives", "at_most": 0.0},
        ],
    }
)
BOTH = "scores.t.toxic >= 0.5 && scores.s.attack >= 0.5"
ABOUT = About("1", "records", "safeguards-extproc replay a.parquet", ["a.parquet"], Named("after", "d"), None)


def replayed(
    folder: Path, after: CompiledPolicy, *, against: bool = True, count: int = 400
) -> tuple[Comparison, Report]:
    """Records of the policy, decided again by another."""
    before, found = policy(), records(count)
    comparison = Comparison()
    run(written(found, folder), Policies(after, before if against else None), comparison, bad(found))
    return comparison, report(ABOUT, comparison, after, before if against else None, 1.0)


@pytest.mark.parametrize(
    ("was", "is_now", "named"),
    [
        ("attack: 0.7", "attack: 0.97", "that attack refused before (thresholds.attack: 0.7 → 0.97)"),
        ("attack: 0.7", "attack: 0.3", "that attack refuses now (thresholds.attack: 0.7 → 0.3)"),
        ("'old', 'older'", "'old'", "that model refused before (rules.model.when: model in ['old', 'older'] → "),
        (
            f"  - {{name: both, when: {BOTH}, on: request, then: block, category: both}}",
            "",
            f"that both refused before (rules.both: removed ({BOTH}))",
        ),
        (
            "on: request, then: block, category: attack",
            "on: request, then: annotate, annotations: {a: b}",
            "rules.attack.then",
        ),
    ],
)
def test_a_regression_is_caught_and_named(tmp_path: Path, was: str, is_now: str, named: str) -> None:
    """A threshold that slipped, either way, a list that lost a member, a check that is gone, a rule that only notes."""
    comparison, found = replayed(tmp_path, policy((was, is_now)))
    assert not all(each.passed for each in gate.judge(HOLD, comparison))
    assert any(named in finding for finding in found.findings), found.findings


def test_a_detector_that_is_gone_is_named(tmp_path: Path) -> None:
    """Rules that read its scores find none in any record."""
    after = policy(("labels: [attack]", "labels: [attack, jailbreak]"))
    assert not any("no record" in finding for finding in replayed(tmp_path, after)[1].findings)
    detector = "  u: {kind: classification, model: u, labels: [x]}\n"
    rule = "  - {name: new, when: scores.u.x > 0.5, then: block}"
    renamed = policy(("rules:", f"{detector}rules:\n{rule}"))
    findings = replayed(tmp_path, renamed)[1].findings
    assert "no record holds the score u.x, which new reads" in findings


@pytest.mark.parametrize(
    ("was", "is_now"),
    [
        ("name: shop", "name: shop\nmessage: No."),
        ("'old', 'older'", "'older', 'old'"),
        ("attack: 0.7", "attack: 0.7000001"),
    ],
)
def test_a_harmless_change_passes(tmp_path: Path, was: str, is_now: str) -> None:
    """Other words, another order, a threshold between the same scores."""
    comparison, found = replayed(tmp_path, policy((was, is_now)))
    assert all(each.passed for each in gate.judge(HOLD, comparison))
    assert (0, []) == (found.total.changed, found.findings)


def test_the_same_policy_is_identical(tmp_path: Path) -> None:
    """To what was recorded, in every exchange."""
    comparison, found = replayed(tmp_path, policy(), against=False)
    assert (400, 0) == (found.total.exchanges, found.total.changed)
    assert not comparison.undecided


def test_json_says_all_of_it(tmp_path: Path) -> None:
    """Numbers with six digits, what is no number as null, tuples by the names of their members."""
    _, found = replayed(tmp_path, policy(("attack: 0.7", "attack: 0.97")))
    said = json.loads(encode(found))
    assert found.total.newly_allowed == said["total"]["newly_allowed"]
    assert {"value", "low", "high"} == said["refused_change"].keys()
    assert said["examples"]
    assert json.loads(encode(report(ABOUT, Comparison(), policy(), None, 0.0)))["refused_before"]["value"] is None


def test_shares_have_intervals() -> None:
    """A share lies in its own, a change in its own."""
    assert share(3, 10).low < 0.3 < share(3, 10).high
    moved = change(Tally(100, 30, 10, 20, 20, 10))
    assert moved.low < 0.1 < moved.high
    assert 0.1 == moved.value

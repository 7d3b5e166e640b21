"""From what became of texts to figures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from safeguards_extproc.core.decision import Action
from safeguards_extproc.evaluate import figures
from safeguards_extproc.evaluate.lines import Sample
from safeguards_extproc.evaluate.matching import Match
from safeguards_extproc.evaluate.measure import Label, Measured, columns, measure, thresholds
from safeguards_extproc.evaluate.play import Outcome
from safeguards_extproc.policy.load import parse
from safeguards_extproc.replay.intervals import wilson
from tests.evaluate.stand import CASCADE, POLICY


def sample(labels: Mapping[str, int], source: str = "s", **groups: str) -> Sample:
    return Sample("f:1", "text", None, "user", labels, {"source": source, **groups})


def outcome(
    scores: Mapping[str, float], action: Action = Action.ALLOW, error: str = "", decided: Action | None = None
) -> Outcome:
    fired = (action.value,) if action is not Action.ALLOW else ()
    return Outcome(action, decided or action, fired, scores, (error,) if error else (), {"screen": "1"})


PAIRS = [
    (sample({"attack": 1}), outcome({"screen.attack": 0.95, "screen.unsafe": 0.1, "pii.email": 0.0}, Action.BLOCK)),
    (sample({"attack": 1}), outcome({"screen.attack": 0.4, "screen.unsafe": 0.6, "pii.email": 0.0})),
    (sample({"attack": 0}, "t"), outcome({"screen.attack": 0.5, "screen.unsafe": 0.2, "pii.email": 1.0})),
    (sample({"attack": 0, "odd": 1}, "t"), outcome({"screen.attack": 0.1, "pii.email": 0.0}, Action.ANNOTATE)),
    (sample({"attack": 1}, category="c"), outcome({}, error="screen: timeout", decided=Action.BLOCK)),
]


def measured() -> Measured:
    samples, outcomes = zip(*PAIRS, strict=True)
    return measure(columns(samples, outcomes, POLICY), outcomes, POLICY)


def label(name: str) -> Label:
    return next(row for row in measured().labels if row.label == name)


def test_a_label_is_compared_with_every_score() -> None:
    """The one of its name first, then the largest of the model, then the rest; on texts that have both."""
    rows = label("attack").scores
    assert [
        ("screen.attack", Match.NAME, 2, 2),
        ("screen.any", Match.ANY, 2, 2),
        ("screen.unsafe", Match.OTHER, 2, 1),
        ("pii.email", Match.OTHER, 2, 2),
    ] == [(row.score, row.match, row.positives, row.negatives) for row in rows]
    known = figures.figures(np.array([0.95, 0.4, 0.5, 0.1], np.float32), np.array([True, True, False, False]))
    assert known is not None
    assert (known.auprc, known.roc_auc, 0.5) == (
        rows[0].auprc.value,
        rows[0].roc_auc.value,
        rows[0].recall_at_1_percent.value,
    )
    assert rows[0].threshold == pytest.approx(0.5)
    assert rows[0].threshold > np.float32(0.5)


def test_a_label_that_no_model_has_is_measured_all_the_same() -> None:
    """Also one that has no negatives: the policy's deeds are told, and no figures."""
    row = label("odd")
    assert (1, 0, []) == (row.positives, row.negatives, row.scores)
    assert 1 == row.policy["1"].flagged.count
    assert 0 == row.policy["0"].texts


def test_what_the_policy_did() -> None:
    """Blocked counts as flagged; an error is counted beside what was done."""
    tally = measured().policy
    counts = (tally.blocked, tally.flagged, tally.decided, tally.allowed, tally.errors)
    assert [1, 2, 3, 3, 1] == [each.count for each in counts]
    assert (0.2, *wilson(1, 5)) == (tally.blocked.share, tally.blocked.low, tally.blocked.high)
    row = label("attack")
    assert (3, 1) == (row.policy["1"].texts, row.policy["1"].blocked.count)
    assert ["s"] == list(row.by_source["1"])
    assert {"blocked": pytest.approx(0.5), "flagged": pytest.approx(0.4)} == row.f1


def test_recall_is_told_by_functionality() -> None:
    """Positives and negatives apart, at one threshold for all; a text without the score is not found."""
    rows = [
        (sample({"attack": 1}, functionality="slur"), outcome({"screen.attack": 0.95}, Action.BLOCK)),
        (sample({"attack": 1}, functionality="slur"), outcome({"screen.attack": 0.3})),
        (sample({"attack": 1}, functionality="slur"), outcome({}, error="screen: timeout")),
        (sample({"attack": 0}, functionality="slur"), outcome({"screen.attack": 0.2})),
        (sample({"attack": 0}, functionality="quote"), outcome({"screen.attack": 0.1})),
        (sample({}, functionality="quote"), outcome({"screen.attack": 0.99})),
    ]
    samples, outcomes = zip(*rows, strict=True)
    (row,) = measure(columns(samples, outcomes, POLICY), outcomes, POLICY).labels
    found = {
        name: [
            (one.value, one.texts, one.at_1_percent.count, one.at_policy["attack"].count, one.flagged.count)
            for one in each
        ]
        for name, each in row.reached["functionality"].items()
    }
    assert {"quote": [("0", 1, 0, 0, 0)], "slur": [("1", 3, 2, 1, 1), ("0", 1, 0, 0, 0)]} == found
    assert {"functionality", "source"} == row.reached.keys()


def test_groups_rules_and_errors() -> None:
    """By source, and by category where there is one."""
    found = measured()
    assert {"s": 3, "t": 2} == {name: tally.texts for name, tally in found.groups["source"].items()}
    assert {"c": 1} == {name: tally.texts for name, tally in found.groups["category"].items()}
    assert "functionality" not in found.groups
    assert {"block": 1, "annotate": 1} == found.rules
    assert {"screen: timeout": 1} == found.errors


def test_thresholds_are_read_off_the_rules() -> None:
    """With the lowest score for which the rule is true."""
    found = thresholds(POLICY)
    assert [("attack", 0.9), ("watched", pytest.approx(0.2))] == found["screen.attack"]
    assert found["screen.attack"][1][1] > np.float32(0.2)
    (row,) = [row for row in label("attack").scores if row.score == "screen.attack"]
    limit = row.at_policy[0]
    assert (0.5, 1.0, 0.0) == (limit.recall, limit.precision, limit.false_positives)
    assert pytest.approx(2 / 3) == limit.f1


def test_a_rule_that_joins_models_says_what_is_judged() -> None:
    """Its threshold stands beside it; a model that was not asked says 0, as to the policy."""
    text = "1.0 - (1.0 - scores.screen.attack) * (1.0 - scores.guard.attack) >= 0.9 && scores.guard.attack > 0.1"
    document = CASCADE.document.model_dump(mode="json", by_alias=True, exclude_unset=True)
    document["rules"][0]["when"] = text
    policy = parse(json.dumps(document), "joined.yaml")
    samples = [sample({"attack": value}) for value in (1, 0)]
    outcomes = [outcome({"screen.attack": 0.5, "guard.attack": 0.8}), outcome({"screen.attack": 0.2})]
    scored = columns(samples, outcomes, policy)
    assert [0.9, 0.2] == pytest.approx(list(scored.scores["cascade.attack"]))
    first, *_ = measure(scored, outcomes, policy).labels[0].scores
    assert ("cascade.attack", ["attack"]) == (first.score, [limit.rule for limit in first.at_policy])
    read = replace(samples[1], role="tool")
    scored = columns([samples[0], read], outcomes, policy)
    assert [0.9, np.nan] == pytest.approx(list(scored.scores["cascade.attack"]), nan_ok=True), "the rule reads users"


def test_a_cascade_speaks_by_its_last_word() -> None:
    """Of two models the later one counts where it was asked; each alone is compared on what it saw."""
    samples = [sample({"attack": value}) for value in (1, 1, 0, 0)]
    outcomes = [
        outcome({"screen.attack": 0.2}),
        outcome({"screen.attack": 0.6, "guard.attack": 0.9}),
        outcome({"screen.attack": 0.7, "guard.attack": 0.1}),
        outcome({"screen.attack": 0.1}),
    ]
    scored = columns(samples, outcomes, CASCADE)
    assert [0.2, 0.9, 0.1, 0.1] == pytest.approx(list(scored.scores["cascade.attack"]))
    first, *_ = measure(scored, outcomes, POLICY).labels[0].scores
    assert ("cascade.attack", 1.0) == (first.score, first.roc_auc.value)
    assert 2 == len(scored.pair("attack", "guard.attack")[0])

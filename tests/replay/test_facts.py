"""What a record holds of the facts of a decision, and when that is not enough."""

from __future__ import annotations

import pytest

from safeguards_extproc.core.record import Account, FiredRule, Items, LimitState, Phase, Record
from safeguards_extproc.core.text import Direction, Kind
from safeguards_extproc.policy.load import parse
from safeguards_extproc.replay.facts import Undecidable, facts, lacking, mask

POLICY = """
version: 1
name: test
detectors: {s: {kind: classification, model: s, labels: [a]}}
identity: {key: [{header: x-key, secret: true}]}
limits:
  - {name: hour, per: [key], rate: 5/1h}
  - {name: day, per: [key], rate: 9/1d}
rules: [{name: bad, when: scores.s.a > 0.5, on: response, then: %s}]
"""


def record(**more) -> Record:
    fired = [
        FiredRule(name, "throttle", "enforce", "true") for name in ("limit:day", "limit:hour", "account:restricted")
    ]
    request = Phase(
        scores={"user": {"s.a": 0.4}, "gone": {"s.a": 0.9}},
        failed={"s": "timeout"},
        features={"model": "m"},
        fired=fired,
        account=Account(uninspectable="opaque"),
    )
    limits = [LimitState("hour", False, 0, True), LimitState("day", False, 0, True), LimitState("gone", False, 0, True)]
    return Record(id="x", request=request, account="restricted", limits=limits, **more)


def test_the_facts_of_a_direction() -> None:
    """Scores by kinds that there are, failures, features, why it could not be read; the account as it answered."""
    found = facts(record(), Direction.REQUEST, parse(POLICY % "block", "test.yaml"))
    assert {Kind.USER: {"s.a": 0.4}} == found.scores
    assert ({"s": "timeout"}, {"model": "m"}, "opaque") == (found.failed, found.features, found.uninspectable)
    assert found.admission is not None
    assert ["day", "hour"] == [each.limit.name for each in found.admission.counted]
    assert {"*"} == found.admission.standing.models
    assert facts(record(), Direction.RESPONSE, parse(POLICY % "block", "test.yaml")).admission is None


@pytest.mark.parametrize(
    ("masked", "is_enough"),
    [
        ("request.scores", False),
        ("response.features.model", False),
        ("request", False),
        ("limits", False),
        ("identity", True),
        ("model", True),
        ("request.redactions", True),
    ],
)
def test_what_is_masked_may_decide(masked: str, is_enough: bool) -> None:
    """A record without its scores cannot be decided again, one without names can."""
    policy = parse(POLICY % "block", "test.yaml")
    assert is_enough == (lacking(record(masked=[masked]), policy) is None)
    assert mask(masked) != is_enough


def test_items_are_not_recorded() -> None:
    """An answer that lists items can be decided again unless a rule drops items."""
    listing = record(response=Phase(items=Items(listed=2)))
    assert lacking(listing, parse(POLICY % "block", "test.yaml")) is None
    assert Undecidable.ITEMS is lacking(listing, parse(POLICY % "drop", "test.yaml"))

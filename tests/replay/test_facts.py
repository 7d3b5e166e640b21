"""What a record holds of the facts of a decision, and when that is not enough."""

from __future__ import annotations

import pytest

from safeguards_extproc.core.record import Account, FiredRule, ItemFacts, Items, ItemScores, LimitState, Phase, Record
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


BLOCKS, DROPS = (parse(POLICY % then, "test.yaml") for then in ("block", "drop"))


def listing(known: str, **more) -> Record:
    """Of three items the second scored, the third's model failed, and so it did for what is in none."""
    of = ItemFacts(known, {"content": ItemScores([-1, 1], {"s.a": [-1.0, 0.9]})}, {"s": [-1, 2]})
    return record(response=Phase(items=Items(3), item_facts=of, failed={"s": "timeout"}), **more)


def test_the_facts_of_items() -> None:
    """Each has its own, and so has what is in none; where the answer ended before, none was judged."""
    found = facts(listing("all"), Direction.RESPONSE, DROPS)
    assert found.outside is not None
    assert ({Kind.CONTENT: {}}, {"s": "timeout"}) == (found.outside.scores, found.outside.failed)
    assert [{}, {Kind.CONTENT: {"s.a": 0.9}}, {}] == [item.scores for item in found.items]
    assert [{}, {}, {"s": "timeout"}] == [item.failed for item in found.items]
    ended = facts(listing("outside"), Direction.RESPONSE, DROPS)
    assert (found.outside, ()) == (ended.outside, ended.items)
    assert facts(record(), Direction.RESPONSE, DROPS).outside is None


@pytest.mark.parametrize(
    ("known", "masked", "reason"),
    [
        ("all", "", None),
        ("outside", "", None),
        ("none", "", Undecidable.ITEMS),
        ("", "", Undecidable.ITEMS),
        ("all", "response.item_facts.scores", Undecidable.MASKED),
        ("all", "response.item_facts.scores.content", Undecidable.MASKED),
    ],
)
def test_items_that_are_not_recorded(known: str, masked: str, reason: Undecidable | None) -> None:
    """An answer that lists items can be decided again unless a rule drops items, and what they scored is not there."""
    made = listing(known, masked=[masked] if masked else [])
    assert lacking(made, BLOCKS) is None
    assert reason is lacking(made, DROPS)

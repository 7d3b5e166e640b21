"""What fires in SQL is what fires in decide.py: the same names, in the same order, with the same causes."""

from __future__ import annotations

import duckdb
import pytest

from safeguards_extproc.core.decision import Action, Facts
from safeguards_extproc.core.text import Direction, Kind
from safeguards_extproc.policy.asks import Asked, asks, first
from safeguards_extproc.policy.cel import Type
from safeguards_extproc.policy.compile import CompiledPolicy
from safeguards_extproc.policy.decide import judge
from safeguards_extproc.policy.load import parse
from safeguards_extproc.policy.sql import NULL, literal

POLICY = """
version: 1
name: test
detectors:
  s: {kind: classification, model: s, labels: [a], on_failure: degrade}
  t: {kind: classification, model: t, labels: [a], on_failure: block, in: [user]}
  u: {kind: classification, model: u, labels: [a], on_failure: flag}
rules:
  - {name: high, when: scores.s.a > 0.5, then: block, on_missing: fire, category: harm}
  - {name: users, when: scores.s.a > 0.5 || scores.t.a > 0.5, on: request, in: [user], then: annotate,
     annotations: {seen: "yes"}, mode: shadow}
  - {name: both, when: scores.t.a > 0.5, on: request, then: throttle, on_missing: fire}
uninspectable: {opaque: flag, malformed: block, unread: allow}
"""


class OneRow:
    """policy.asks.Row of facts, each written out as a constant."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def heard(self, kind: Kind) -> str:
        return literal(kind in self._facts.scores)

    def score(self, kind: Kind, name: str) -> str:
        value = self._facts.scores.get(kind, {}).get(name)
        return NULL if value is None else literal(value)

    def feature(self, name: str) -> tuple[str, Type] | None:
        return None

    def failed(self, detector: str) -> str:
        return literal(self._facts.failed[detector]) if detector in self._facts.failed else NULL

    def skipped(self, detector: str) -> str:
        return literal(self._facts.skipped[detector]) if detector in self._facts.skipped else NULL

    @property
    def uninspectable(self) -> str:
        return literal(self._facts.uninspectable)

    step, restricted, listed = "'restricted'", "TRUE", "FALSE"

    @property
    def outside(self) -> OneRow:
        return self

    @property
    def item(self) -> OneRow:
        return self

    def first_item(self, code: str) -> str:
        return NULL

    def over(self, limit: str) -> str:
        return "TRUE"


def fires(policy: CompiledPolicy, facts: Facts) -> list[tuple[str, bool]]:
    """What fires, by name, and whether because of what is so; a rule that stands there twice counts once."""
    found = asks(policy.book, policy.limits, policy.admits, facts.direction, OneRow(facts))
    with duckdb.connect() as db:
        those = [each for each in found if db.execute(f"SELECT {each.fires}").fetchone() == (True,)]
    return list({each.name: each.true for each in reversed(those)}.items())[::-1]


def judged(policy: CompiledPolicy, facts: Facts) -> list[tuple[str, bool]]:
    return [(ask.name, cause == "true") for ask, cause in judge(policy.book, facts)]


@pytest.mark.parametrize(
    "facts",
    [
        Facts(Direction.REQUEST),
        Facts(Direction.REQUEST, scores={Kind.USER: {"s.a": 0.9, "t.a": 0.1}}),
        Facts(Direction.REQUEST, scores={Kind.SYSTEM: {"s.a": 0.9}, Kind.USER: {"s.a": 0.2, "t.a": 0.8}}),
        Facts(Direction.REQUEST, scores={Kind.SYSTEM: {"s.a": 0.2}}),
        Facts(Direction.REQUEST, scores={Kind.USER: {}}),
        Facts(Direction.REQUEST, scores={Kind.USER: {"s.a": 0.1, "t.a": 0.1}}, failed={"s": "timeout"}),
        Facts(Direction.REQUEST, scores={Kind.USER: {"s.a": 0.9, "t.a": 0.1}}, failed={"s": "timeout"}),
        Facts(Direction.REQUEST, scores={Kind.USER: {"s.a": 0.1}}, failed={"t": "timeout", "u": "timeout"}),
        Facts(Direction.REQUEST, scores={Kind.USER: {"s.a": 0.1}}, skipped={"t": "cancelled", "u": "busy"}),
        Facts(Direction.RESPONSE, scores={Kind.CONTENT: {"s.a": 0.7}}, uninspectable="opaque"),
        Facts(Direction.RESPONSE, uninspectable="malformed"),
        Facts(Direction.RESPONSE, uninspectable="unread", failed={"gone": "timeout"}),
    ],
)
def test_what_fires_is_what_decide_says(facts: Facts) -> None:
    """Rules by what is known and by what is missing, failed detectors by their mode, bodies that cannot be read."""
    policy = parse(POLICY, "test.yaml")
    assert judged(policy, facts) == fires(policy, facts)


def test_admission_is_asked_of_requests() -> None:
    """The account's step and limits that were over count where the policy asks who somebody is, and nowhere else."""
    who = POLICY + "identity: {key: [{header: x-key, secret: true}]}\nlimits: [{name: day, per: [key], rate: 5/1d}]\n"
    named = [name for name, _ in fires(parse(who, "test.yaml"), Facts(Direction.REQUEST))]
    assert ["account:restricted", "limit:day"] == named[-2:]
    assert not any(":" in name for name, _ in fires(parse(who, "test.yaml"), Facts(Direction.RESPONSE)))
    assert not any(":" in name for name, _ in fires(parse(POLICY, "test.yaml"), Facts(Direction.REQUEST)))


def test_the_first_of_the_most_severe_leads() -> None:
    """Shadow counts only where it is asked for, and nothing fires as -1."""
    asked = [
        Asked("mild", Action.ANNOTATE, True, "", "TRUE"),
        Asked("shadow", Action.SUSPEND, False, "", "TRUE"),
        Asked("block", Action.BLOCK, True, "", "TRUE"),
        Asked("later", Action.BLOCK, True, "", "TRUE"),
    ]

    def place(tests: list[str], *, enforced: bool) -> object:
        with duckdb.connect() as db:
            (found,) = db.execute(f"SELECT {first(asked, tests, enforced=enforced)}").fetchall()
            return found[0]

    assert 2 == place(["TRUE"] * 4, enforced=True)
    assert 1 == place(["TRUE"] * 4, enforced=False)
    assert 3 == place(["TRUE", "TRUE", "FALSE", "TRUE"], enforced=True)
    assert -1 == place(["FALSE"] * 4, enforced=True)

"""Records of exchanges that a policy decided, made of scores and features alone."""

from __future__ import annotations

import random
from collections.abc import Sequence

from safeguards_extproc.core.decision import Facts
from safeguards_extproc.core.record import Account, FiredRule, Phase, Record
from safeguards_extproc.core.text import Direction, Kind
from safeguards_extproc.policy.compile import CompiledPolicy
from safeguards_extproc.policy.load import parse

POLICY = """
version: 1
name: shop
thresholds: {attack: 0.7}
detectors:
  s: {kind: classification, model: s, labels: [attack]}
  t: {kind: classification, model: t, labels: [toxic]}
rules:
  - {name: attack, when: scores.s.attack >= thresholds.attack, on: request, then: block, category: attack}
  - {name: model, when: "model in ['old', 'older']", on: request, then: block}
  - {name: toxic, when: scores.t.toxic >= 0.8, on: request, then: annotate, annotations: {toxic: "yes"}}
  - {name: both, when: scores.t.toxic >= 0.5 && scores.s.attack >= 0.5, on: request, then: block, category: both}
"""


def policy(change: tuple[str, str] = ("", "")) -> CompiledPolicy:
    """The policy, with a text of it replaced."""
    assert change[0] in POLICY
    return parse(POLICY.replace(*change), "shop.yaml")


def records(count: int, under: CompiledPolicy | None = None, seed: int = 1) -> list[Record]:
    """Requests, each with its answer; as many of every kind as the seed has it."""
    decider, pick = under or policy(), random.Random(seed)
    return [_record(decider, number, pick) for number in range(1, count + 1)]


def bad(found: Sequence[Record]) -> dict[str, str]:
    """Labels: what was refused must be, and every tenth of what was not must not."""
    return {
        each.id: "block" if each.outcome == "block" else "allow"
        for each in found
        if each.outcome == "block" or not each.sequence % 10
    }


def _record(decider: CompiledPolicy, number: int, pick: random.Random) -> Record:
    model = pick.choice(("new", "new", "new", "old", "older"))
    scores = {"s.attack": round(pick.random() ** 3, 3), "t.toxic": round(pick.random() ** 3, 3)}
    verdict = decider.decide(Facts(Direction.REQUEST, {"model": model}, {Kind.USER: scores}))
    refused = verdict.action.value == "block"
    fired = [FiredRule(each.rule, each.action.value, "enforce", each.cause) for each in verdict.fired]
    lead = next((each.rule for each in fired if each.action == verdict.action.value), "")
    request = Phase(
        verdict.decided.value,
        verdict.action.value,
        verdict.action.value,
        fired=fired,
        scores={"user": scores},
        features={"model": model},
        account=Account(windows=1, coverage="full"),
        headers_ms=0.0,
        ended_ms=1.0,
        decided_ms=2.0 + 10 * pick.random(),
    )
    answered = Phase(applied="allow", features={"model": model}, account=Account(coverage="full"), decided_ms=50.0)
    return Record(
        id=f"x{number}",
        time=f"2026-01-01T00:{number // 60 % 60:02d}:{number % 60:02d}+00:00",
        producer="worker",
        epoch="1",
        sequence=number,
        route="default",
        gate="hold",
        release="window",
        outcome=verdict.action.value,
        rule=lead,
        category=verdict.category if lead else "",
        request=request,
        response=Phase() if refused else answered,
        identity={"tenant": f"t{number % 3}", "key": f"k{number % 7}"},
    )

"""What comes of an exchange when a policy decides it again: from its record, and what the policy makes of its facts.

The one rule: where the policy says what was said before, what was done before is done. Where it says something else,
what would be done is worked out from how the exchange went: an answer of which windows had left can only be stopped,
one that was never made is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from safeguards_extproc.core.decision import TERMINAL, Action, Gate, Release, Verdict
from safeguards_extproc.core.record import Phase, Record
from safeguards_extproc.core.text import Direction
from safeguards_extproc.policy.compile import CompiledPolicy
from safeguards_extproc.replay.facts import facts
from safeguards_extproc.replay.verdict import REFUSALS, UNKNOWN, UNTOUCHED, Side, severity

ENDS = frozenset(action.value for action in TERMINAL)
READ = ("full", "partial")
"""Coverage of an answer of which something was judged."""


class Was(NamedTuple):
    """A direction as it went. `judged`: policy was asked. `forced`: the filter blocked though no rule said so, because
    it could not read or edit the body. `opened`: windows of a stream had left before the last one was judged."""

    side: Side
    cause: str = ""
    judged: bool = True
    forced: bool = False
    opened: bool = False


class Said(NamedTuple):
    """What a policy makes of a direction's facts: Verdict.decided and Verdict.action, the rule that led, its category;
    `fired` if anything did, `true` if the rule that led was, and did not fire for something that is missing."""

    decided: str = "allow"
    action: str = "allow"
    rule: str = ""
    category: str = ""
    fired: bool = False
    true: bool = False


class How(NamedTuple):
    """How a route treats an exchange."""

    inspect: bool = True
    gate: str = Gate.HOLD.value
    release: str = Release.WINDOW.value


class Came(NamedTuple):
    """What it comes to: the rest of a replay's verdict."""

    request: Side
    response: Side
    outcome: str
    rule: str
    category: str
    true: bool


@dataclass(frozen=True, slots=True)
class Routes:
    """The routes of a policy by name. A record whose route it does not have is treated as the record says."""

    by: dict[str, How]

    def of(self, name: str, was: How) -> How:
        return self.by.get(name, was)


def routes(policy: CompiledPolicy) -> Routes:
    return Routes({each.name: How(each.inspect, each.gate.value, each.release.value) for each in policy.routes})


def judged(phase: Phase, direction: Direction) -> bool:
    """Whether policy was asked about all that the record knows of a direction."""
    read = direction is Direction.RESPONSE and phase.account.coverage in READ
    return phase.decided_ms >= 0 or bool(phase.fired) or read


def forced(phase: Phase) -> bool:
    """Whether the filter blocked by itself."""
    return phase.action == Action.BLOCK and not any(
        fired.mode == "enforce" and fired.action == phase.action for fired in phase.fired
    )


def was(record: Record, direction: Direction) -> Was:
    """What the record says of a direction."""
    phase = record.request if direction is Direction.REQUEST else record.response
    side = Side(phase.decided, phase.action, phase.applied)
    account = phase.account
    parts = account.frames > 0 and (account.windows > 1 or record.release != Release.WINDOW)
    return Was(side, phase.cause, judged(phase, direction), forced(phase), parts and phase.first_release_ms >= 0)


def said(verdict: Verdict) -> Said:
    """A verdict in short."""
    leads = (fired for fired in verdict.fired if fired.enforced and fired.action is verdict.action)
    lead = next(leads, None)
    rule, true = (lead.rule, lead.cause == "true") if lead else ("", False)
    return Said(verdict.decided.value, verdict.action.value, rule, verdict.category, bool(verdict.fired), true)


def decide(record: Record, policy: CompiledPolicy) -> Came:
    """The record decided again, by the policy's own function."""
    before = How(True, record.gate, record.release)
    after = routes(policy).of(record.route, before)
    found = []
    for direction in Direction:
        known = facts(record, direction, policy)
        if direction is Direction.REQUEST and not after.inspect:
            found.append(said(policy.admit(known)))
        else:
            found.append(said(policy.decide(known)))
    request, response = found
    return settle(was(record, Direction.REQUEST), was(record, Direction.RESPONSE), request, response, before, after)


@lru_cache(maxsize=65_536)
def settle(request: Was, response: Was, asked: Said, answered: Said, before: How, after: How) -> Came:
    """What comes of an exchange that went like `request` and `response` on a route like `before`, if a policy says
    `asked` and `answered` on a route like `after`."""
    asked, answered = _blocks(request, asked), _blocks(response, answered)
    silent = request.cause == "observe" and before.gate != Gate.OBSERVE
    same_gate = before.gate == after.gate and after.inspect
    enforces = after.gate != Gate.OBSERVE and not silent
    one = request.side
    if request.judged:
        one = _side(request, asked, enforces, after.inspect, same_gate or one.applied == "pass")
    if one.applied in REFUSALS:
        other = response.side if request.side.applied in REFUSALS else UNTOUCHED
    elif request.side.applied in REFUSALS:
        other = UNTOUCHED._replace(applied=UNKNOWN)
    elif response.judged:
        same = before.release == after.release and same_gate
        enforced = enforces and after.release != Release.OBSERVE
        other = _side(response, answered, enforced, after.inspect, same) if after.inspect else UNTOUCHED
    else:
        other = response.side
    outcome = max((one.applied, other.applied), key=severity)
    outcome = "pass" if outcome == UNKNOWN else outcome
    rule, category, true = "", "", False
    for side, what in ((one, asked), (other, answered)):
        if what.fired and not rule and side.applied == outcome:
            rule, category, true = what.rule, what.category, what.true
    return Came(one, other, outcome, rule, category, true)


def _blocks(was: Was, said: Said) -> Said:
    """What was blocked because it could not be read or edited still is, whatever a policy says that asks for less."""
    if not was.forced or severity(said.action) >= severity(Action.BLOCK.value):
        return said
    decided = max(said.decided, Action.BLOCK.value, key=severity)
    return Said(decided, Action.BLOCK.value, "", "", said.fired)


def _side(was: Was, said: Said, enforces: bool, inspects: bool, same_route: bool) -> Side:
    """What is done to a direction about which policy was asked."""
    decided, action = said.decided, said.action
    if (decided, action) == was.side[:2] and same_route:
        return was.side
    if not enforces:
        applied = Action.ALLOW.value if inspects else "pass"
    elif action in ENDS:
        applied = Action.STOP.value if was.opened else action
    else:
        applied = action if inspects else "pass"
    return Side(decided, action, applied)

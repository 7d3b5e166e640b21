"""What became of one exchange, in the words that every way of replay has for it.

The one rule: it holds no text, and of what it holds only the latency may differ when the same policy decides again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from safeguards_extproc.core.account import Identity
from safeguards_extproc.core.decision import SEVERITY
from safeguards_extproc.core.record import Phase, Record

REFUSALS = frozenset({"block", "stop", "throttle", "suspend", "refuse", "timeout"})
"""Outcomes of which the client got no answer, or not all of it."""

UNKNOWN = "unknown"
"""What was `applied` to an answer that the recorded exchange never had, because its request was refused."""

MUST_BLOCK, MUST_ALLOW = "block", "allow"
"""What a label says that an exchange deserves."""


class Side(NamedTuple):
    """One direction, as its Phase in the record says it: `decided` counts rules in shadow, `action` does not, `applied`
    is what was done."""

    decided: str
    action: str
    applied: str


UNTOUCHED = Side("allow", "allow", "pass")
"""A direction that nobody looked at."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One exchange. `producer`, `epoch` and `sequence` name its record, as `id` does. `tenant` is a pseudonym, as is
    `subject`, the identity of kind `kind` that answers for it. `judged`: it was admitted, and the rule that led was
    true of what was said, so it may be a strike. `time` is RFC 3339. `latency_ms` runs from the request's last byte to
    its verdict, None where nobody measured."""

    id: str
    producer: str = ""
    epoch: str = ""
    sequence: int = 0
    time: str = ""
    route: str = ""
    tenant: str = ""
    kind: str = ""
    subject: str = ""
    request: Side = UNTOUCHED
    response: Side = UNTOUCHED
    outcome: str = "allow"
    rule: str = ""
    category: str = ""
    judged: bool = False
    latency_ms: float | None = None

    @property
    def refused(self) -> bool:
        return self.outcome in REFUSALS

    def same(self, other: Verdict) -> bool:
        """Whether both say the same of the exchange, whoever measured how long it took."""
        return self.said == other.said

    @property
    def said(self) -> tuple[Side, Side, str, str, str]:
        """What a policy can change."""
        return self.request, self.response, self.outcome, self.rule, self.category


class Pair(NamedTuple):
    """An exchange before and after. `deserved` is MUST_BLOCK, MUST_ALLOW or "": nobody has said."""

    before: Verdict
    after: Verdict
    deserved: str = ""


def of(record: Record, *, timed: bool = True) -> Verdict:
    """What a record says; without `timed` nobody measured."""
    names = record.identity
    kind, subject = Identity(names).responsible
    request, response = record.request, record.response
    return Verdict(
        id=record.id,
        producer=record.producer,
        epoch=record.epoch,
        sequence=record.sequence,
        time=record.time,
        route=record.route,
        tenant=names.get("tenant", ""),
        kind=kind,
        subject=subject,
        request=Side(request.decided, request.action, request.applied),
        response=Side(response.decided, response.action, response.applied),
        outcome=record.outcome,
        rule=record.rule,
        category=record.category,
        judged=judged(record),
        latency_ms=latency(request) if timed else None,
    )


def judged(record: Record) -> bool:
    """Whether the rule that led was true of what was said, and did not fire because something failed or was missing; no
    limit that is enforced refused the exchange (enforcement/strikes.py)."""
    if any(limit.enforced and not limit.allowed for limit in record.limits):
        return False
    return any(
        fired.rule == record.rule and fired.cause == "true"
        for phase in (record.request, record.response)
        for fired in phase.fired
    )


def latency(request: Phase) -> float | None:
    """Milliseconds from the request's last byte to its verdict; 0 where the verdict came first."""
    if request.decided_ms < 0:
        return None
    return max(0.0, request.decided_ms - max(request.ended_ms, request.headers_ms))


def severity(applied: str) -> int:
    """The rank of what was done to a direction: actions by SEVERITY, a timeout above them, what was not inspected
    or not reached below."""
    return RANKS.get(applied, -1)


RANKS = {**{action.value: rank for action, rank in SEVERITY.items()}, "timeout": len(SEVERITY)}
"""`severity` as a table."""

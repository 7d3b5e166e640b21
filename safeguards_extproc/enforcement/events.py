"""What the ledger holds: events about an identity, each of which says who, why and on what evidence, and never changes.

Identities are pseudonyms. Nothing of a text is in an event: evidence is the ids of decision records.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from safeguards_extproc.core.account import Step
from safeguards_extproc.errors import NotAllowed


class Kind(enum.StrEnum):
    """What happened. `undo` and `overturn` take another event back."""

    STRIKE = "strike"
    WARN = "warn"
    THROTTLE = "throttle"
    RESTRICT = "restrict"
    SUSPEND = "suspend"
    BAN = "ban"
    REINSTATE = "reinstate"
    NOTE = "note"
    LABEL = "label"
    APPEAL = "appeal"
    OVERTURN = "overturn"
    UNDO = "undo"


STEPS = {
    Kind.WARN: Step.WARNED,
    Kind.THROTTLE: Step.THROTTLED,
    Kind.RESTRICT: Step.RESTRICTED,
    Kind.SUSPEND: Step.SUSPENDED,
    Kind.BAN: Step.BANNED,
}
"""Where each kind of step puts an identity."""

UNDOING = frozenset({Kind.UNDO, Kind.OVERTURN})
"""Kinds that take another event back, and that only the ledger writes."""

_FLAG = re.compile(r"[a-z_][a-z0-9_]{0,63}")
_MOST_EVIDENCE = 1000
_LAST = 253_402_300_799.0
"""The end of the year 9999, the last that a date can be written in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One entry of the ledger. One that is to be entered has `id` 0, which the ledger gives, and `at` 0 for now.

    Times are seconds since the epoch; `until` 0 is for ever, `due` 0 is `at`. `weight` is a strike's. `evidence` are
    ids of decision records. `actor` is "policy:NAME" or a person. `undoes` is the event that this one takes back,
    `cause` the event that it follows from. `data` holds what only some kinds have:

        throttle   share: what is left of every limit, above 0 and at most 1
        restrict   models: a list of names, "*" for all; tools: true to take all of them
        label      flag: its name
        strike     half_life: seconds; policy: the digest of the policy
        of a rung  rung: strikes at which it was fired
        bulk       bulk: the id of the bulk action that it is part of
    """

    kind: Kind
    subject: str
    subject_kind: str = ""
    id: int = 0
    at: float = 0.0
    weight: float = 0.0
    category: str = ""
    rule: str = ""
    reason: str = ""
    evidence: tuple[str, ...] = ()
    actor: str = ""
    until: float = 0.0
    due: float = 0.0
    undoes: int | None = None
    cause: int | None = None
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def start(self) -> float:
        """When it takes effect."""
        return self.due or self.at

    @property
    def end(self) -> float:
        """When it has none any more; infinite if never."""
        return self.until or math.inf

    @property
    def rung(self) -> tuple[float, str] | None:
        """Of a step that the ladder fired: at how many strikes, and which step."""
        at = self.data.get("rung")
        return None if at is None else (float(at), str(self.kind))

    @property
    def cascaded(self) -> bool:
        """Whether it takes back (or brings back) a step only because another event was taken back."""
        return self.kind is Kind.UNDO and self.cause is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """A settled exchange that counts against an identity. `record` and `rule` together are told once: a strike that
    comes again is without effect. `first` is what it weighs if it is the identity's first, `half_life` seconds after
    which it counts half (None: never). `at` is when the exchange was, `policy` its policy's name, `digest` the policy's
    digest. `evidence` are further records (a campaign's)."""

    subject: str
    record: str
    subject_kind: str = ""
    category: str = ""
    rule: str = ""
    weight: float = 1.0
    first: float | None = None
    half_life: float | None = None
    at: float = 0.0
    policy: str = ""
    digest: str = ""
    evidence: tuple[str, ...] = ()


def check(event: Event) -> None:
    """Raises NotAllowed if the event cannot be entered: what it lacks, what contradicts itself, what only the ledger
    itself writes. `at` must be filled in."""
    if event.kind in UNDOING:
        raise NotAllowed(f"{event.kind} is entered by undoing an event or overturning it on appeal, not by itself")
    if not 0 < len(event.subject) <= 200:
        raise NotAllowed("an event names an identity, by a pseudonym of 1 to 200 characters")
    if not event.actor:
        raise NotAllowed("an event names its actor: policy:NAME, or a person")
    if not event.reason and event.kind is not Kind.STRIKE:
        raise NotAllowed(f"a {event.kind} needs a reason")
    if len(event.evidence) > _MOST_EVIDENCE:
        raise NotAllowed(f"at most {_MOST_EVIDENCE} records as evidence")
    if not (math.isfinite(event.weight) and event.weight >= 0):
        raise NotAllowed("a weight is a number, 0 or more")
    _check_times(event)
    _check_data(event)


def _check_times(event: Event) -> None:
    if not all(0 <= each <= _LAST for each in (event.at, event.until, event.due)):
        raise NotAllowed("times are seconds since the epoch")
    if event.until and event.until <= event.at:
        raise NotAllowed("it would end before it begins: until lies in the past")
    if event.due and event.due < event.at:
        raise NotAllowed("it cannot take effect before it is entered")
    if event.end <= event.start:
        raise NotAllowed("it would take effect only after its end: due lies past until")


def _check_data(event: Event) -> None:
    match event.kind, event.data:
        case Kind.THROTTLE, {"share": int() | float() as share} if 0 < share <= 1:
            return
        case Kind.THROTTLE, _:
            raise NotAllowed("a throttle leaves a share of every limit, above 0 and at most 1")
        case Kind.RESTRICT, {"models": [*models]} if models and all(isinstance(each, str) for each in models):
            return
        case Kind.RESTRICT, {"tools": True}:
            return
        case Kind.RESTRICT, _:
            raise NotAllowed("a restriction takes models, by name or * for all, or tools, or both")
        case Kind.LABEL, {"flag": str() as flag} if _FLAG.fullmatch(flag):
            return
        case Kind.LABEL, _:
            raise NotAllowed("a label is a flag's name: lower case letters, digits and _")
        case Kind.APPEAL, _ if event.cause is None:
            raise NotAllowed("an appeal says against which event, by its id as cause")


def undoing(target: Event, actor: str, reason: str, data: Mapping[str, Any] | None = None) -> Event:
    """The event that takes another back."""
    return Event(
        kind=Kind.UNDO,
        subject=target.subject,
        subject_kind=target.subject_kind,
        reason=reason,
        actor=actor,
        undoes=target.id,
        data=data or {},
    )

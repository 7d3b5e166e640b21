"""What tests of enforcement begin with: a ladder, a clock that is set by hand, a ledger in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from safeguards_extproc.enforcement.events import Event, Kind, Strike
from safeguards_extproc.enforcement.ledger import Ledger
from safeguards_extproc.policy.account_document import Rung

DAY = 86_400.0
START = 1_800_000_000.0

LADDER = [
    Rung(at=3, step="warn", lasting=7 * DAY),
    Rung(at=5, step="throttle", lasting=DAY, share=0.25),
    Rung(at=8, step="restrict", models=["large"], tools=True),
    Rung(at=12, step="suspend", lasting=30 * DAY),
    Rung(at=20, step="ban"),
]


@dataclass
class Clock:
    """The time, as a test sets it."""

    now: float = START

    def __call__(self) -> float:
        return self.now


def ledger(url: str = "sqlite://", ladder: list[Rung] = LADDER, **more: Any) -> tuple[Ledger, Clock]:
    """A new ledger and its clock."""
    clock = Clock()
    return Ledger(url, ladder, clock, **more), clock


def told(number: int, subject: str = "a", **more: Any) -> Strike:
    """A strike, by its record."""
    return Strike(**{"subject": subject, "record": f"{subject}-{number}", "rule": "weapons", "policy": "shop", **more})


def event(kind: Kind, subject: str = "a", **more: Any) -> Event:
    """An event that maria enters."""
    data = {Kind.THROTTLE: {"share": 0.5}, Kind.RESTRICT: {"models": ["*"]}, Kind.LABEL: {"flag": "watched"}}
    given = {"kind": kind, "subject": subject, "actor": "maria", "reason": "seen", "data": data.get(kind, {})}
    return Event(**{**given, **more})


def kinds(events: list[Event]) -> list[str]:
    """What the events are."""
    return [str(each.kind) for each in events]

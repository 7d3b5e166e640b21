"""What detectors of campaigns count, and what they hear: numbers and pseudonyms, never text.

A window is cut into `SLOTS` slots by the clock. What is counted goes into the current one, and what is heard covers it
and the `SLOTS` before, so between one window and one and a quarter. Slots end by themselves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from zlib import crc32

from safeguards_extproc.core.account import Settlement
from safeguards_extproc.core.decision import Action
from safeguards_extproc.enforcement.sketch import bands
from safeguards_extproc.policy.account_document import CampaignSpec

SLOTS = 4

NOTES = 256
"""Notes that are kept of a slot, the newest."""

CONFIDENCE = 3.29
"""Standard deviations of the bounds on shares: one in 2,000 lies below by chance. High, for every exchange looks."""

REFUSALS = frozenset({Action.BLOCK, Action.STOP, Action.SUSPEND})
"""Outcomes that are a refusal of what was said, where a rule judged that: when a model is away and everybody is
refused, nobody attacks."""


@dataclass(frozen=True, slots=True)
class Count:
    """What is counted of an exchange under `name` for `tag`, an identity's pseudonym or a band.

    `add` is added to fields, `read` are fields that are heard and not added to. If `opens` is False, only what was
    opened before in this window is added to: fields that are there. `member` joins the distinct; `note` is kept.
    """

    name: str
    tag: str
    window_s: float
    add: Mapping[str, int] = field(default_factory=dict)
    read: tuple[str, ...] = ()
    opens: bool = True
    member: str = ""
    note: str = ""

    @property
    def fields(self) -> tuple[str, ...]:
        """What is heard, in this order."""
        return (*self.add, *self.read)

    @property
    def slot_s(self) -> float:
        """How long a slot is."""
        return self.window_s / SLOTS

    def slot(self, at: float) -> int:
        """The number of the slot at a time, seconds since the epoch."""
        return int(at // self.slot_s)


@dataclass(frozen=True, slots=True)
class Reply:
    """How it stands then: each field's sum over the window, and that of the current slot alone; fields that nobody
    opened may be absent. `distinct` is how many different members joined (Redis estimates, with a standard error of
    0.81 %)."""

    totals: Mapping[str, int] = field(default_factory=dict)
    current: Mapping[str, int] = field(default_factory=dict)
    distinct: int = 0

    def total(self, name: str) -> int:
        """In the window."""
        return self.totals.get(name, 0)

    def now(self, name: str) -> int:
        """In the current slot."""
        return self.current.get(name, 0)

    def before(self, name: str) -> int:
        """In the window without the current slot."""
        return self.total(name) - self.now(name)


NOTHING = Reply()


class Counters(Protocol):
    """Where it is counted: in process, or on Redis. The same contract tests hold for both."""

    async def count(self, counts: Sequence[Count], at: float) -> Sequence[Reply]:
        """Count all of it, in order, at a time that is the same clock everywhere; one reply each. Raises StoreError,
        and then some of it may have been counted."""
        ...

    async def notes(self, count: Count, at: float) -> Sequence[str]:
        """The notes of the window, the newest first. Raises StoreError."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Seen:
    """What detectors see of a settled exchange. `subjects` maps kinds of identity to pseudonyms. `refused` if what was
    said was refused, `limited` if the account was: by a limit, or by where it stands. `shape` says how it asks: which
    model, and how much by powers of four."""

    record: str
    at: float
    subjects: Mapping[str, str]
    responsible: tuple[str, str]
    refused: bool
    limited: bool
    category: str
    shape: str
    bands: tuple[str, ...]

    def subject(self, per: str | None) -> tuple[str, str]:
        """Kind and pseudonym of whom a campaign counts by; ("", "") if the exchange does not name one."""
        if per is None:
            return self.responsible
        return (per, self.subjects[per]) if per in self.subjects else ("", "")

    def note(self, subject: tuple[str, str]) -> str:
        """Who and where, to be kept as evidence."""
        return f"{subject[0]} {subject[1]} {self.record}"


@dataclass(frozen=True, slots=True)
class Finding:
    """A campaign was seen, with this exchange in it. `keys` name the case (several where several buckets say so),
    `subject` is who asked, `identities` how many are in it, of `asks` exchanges in the window `refusals` were refused,
    `evidence` is what holds the notes of the others."""

    keys: tuple[str, ...]
    subject: tuple[str, str]
    asks: int
    refusals: int
    identities: int = 1
    evidence: Count | None = None


def seen(settlement: Settlement, at: float) -> Seen:
    """What detectors see of `settlement`, which is told at `at`."""
    identity = settlement.admission.identity
    judged = settlement.judged and not settlement.refused and settlement.outcome in REFUSALS
    size = settlement.usage.input_tokens.bit_length() // 2
    return Seen(
        record=settlement.admission.id,
        at=at,
        subjects=identity.names,
        responsible=identity.responsible,
        refused=judged,
        limited=settlement.refused,
        category=settlement.category if judged else "",
        shape=f"{crc32(settlement.model.encode('utf-8', 'replace')):08x}.{size}",
        bands=() if settlement.refused else bands(settlement.sketch),
    )


def named(spec: CampaignSpec, tag: str) -> tuple[str, ...]:
    """The name of a case that is about one tag."""
    return (f"{spec.name}:{tag}",)


def at_least(part: int, whole: int) -> float:
    """The least share that `part` of `whole` says, with CONFIDENCE: Wilson's lower bound (1927), 0 of nothing."""
    if whole <= 0:
        return 0.0
    square = CONFIDENCE * CONFIDENCE
    share = min(part, whole) / whole
    middle = share + square / (2 * whole)
    spread = CONFIDENCE * math.sqrt((share * (1 - share) + square / (4 * whole)) / whole)
    return max(0.0, (middle - spread) / (1 + square / whole))

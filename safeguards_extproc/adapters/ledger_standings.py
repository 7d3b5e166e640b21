"""Standings, strikes and sightings on one machine without Redis: a keeper in the worker itself reads the ledger and
fills the worker's own snapshot. The same keeper does it as with Redis; these are the ends that it works between."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

from safeguards_extproc.core.account import Standing
from safeguards_extproc.enforcement.events import Strike
from safeguards_extproc.enforcement.sightings import Sighting
from safeguards_extproc.enforcement.snapshot import Snapshot

TOGETHER = 200
"""Strikes that the keeper takes at once."""

SIGHTINGS = 10_000
"""Sightings of campaigns that wait; the oldest go first, and are told again while the campaign goes on."""


class LedgerStandings:
    """Where the keeper writes standings: straight into the snapshot. Never raises."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._heard = -1.0

    @property
    def age_s(self) -> float:
        """Seconds since the keeper last looked at the ledger; infinite if it never has."""
        return time.monotonic() - self._heard if self._heard >= 0 else float("inf")

    async def publish(self, changes: Sequence[tuple[str, Standing]], token: str = "") -> None:
        """They now stand so."""
        self._snapshot.put(changes)

    async def built(self) -> bool:
        """Always: what the snapshot has not heard, the keeper has not published yet."""
        self._heard = time.monotonic()
        return True

    async def begin(self, *, anew: bool = False) -> str:
        """There is nothing to build."""
        return ""

    async def finish(self, token: str) -> bool:
        """It is whole."""
        return True


class LedgerStrikes:
    """Where strikes wait for the keeper in this process, as many as `telling.TellingSettings.waiting` may be owed: what
    is put here is owed until `done`."""

    def __init__(self) -> None:
        self._waiting: deque[Strike] = deque()
        self._read = 0

    async def put(self, strikes: Sequence[Strike]) -> None:
        """Leave them for the keeper."""
        self._waiting.extend(strikes)

    async def read(self) -> list[tuple[str, Strike | None]]:
        """The oldest; they stay until they are done."""
        found = [self._waiting[place] for place in range(min(TOGETHER, len(self._waiting)))]
        self._read = len(found)
        return [("", strike) for strike in found]

    async def done(self, entries: Sequence[str]) -> int:
        """The ledger has what was read; how many wait."""
        for _ in entries:
            self._waiting.popleft()
        return len(self._waiting)

    async def close(self) -> None:
        """Nothing is held but memory."""


class LedgerSightings:
    """Where sightings wait for the keeper in this process."""

    def __init__(self) -> None:
        self._waiting: deque[Sighting] = deque(maxlen=SIGHTINGS)

    async def put(self, sightings: Sequence[Sighting]) -> None:
        """Leave them for the keeper."""
        self._waiting.extend(sightings)

    async def take(self) -> list[Sighting]:
        """The oldest."""
        return [self._waiting.popleft() for _ in range(min(TOGETHER, len(self._waiting)))]

"""The keeper: takes strikes into the ledger, does what is due, and keeps the copy of standings that filters read.

It holds nothing that the ledger does not: two at once are safe, and one that is killed is missed only by the clock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from safeguards_extproc.core.account import Standing
from safeguards_extproc.enforcement.cases import Cases
from safeguards_extproc.enforcement.events import Strike
from safeguards_extproc.enforcement.ledger import Ledger
from safeguards_extproc.enforcement.sightings import Sighting
from safeguards_extproc.errors import NotAllowed, StoreError

log = structlog.get_logger()

PAGE = 1000
"""Identities read from the ledger at once."""


class Intake(Protocol):
    """Where strikes wait. Everything raises StoreError."""

    async def read(self) -> Sequence[tuple[str, Strike | None]]:
        """Some that nobody else has, with a name for `done`; None for what is no strike."""
        ...

    async def done(self, entries: Sequence[str]) -> int:
        """The ledger has them; how many wait."""
        ...

    async def close(self) -> None: ...


class Sightings(Protocol):
    """Where filters leave what they saw of campaigns. Raises StoreError."""

    async def take(self) -> Sequence[Sighting]:
        """Some that nobody else gets."""
        ...


class Board(Protocol):
    """Where filters read standings. Everything raises StoreError."""

    async def publish(self, changes: Sequence[tuple[str, Standing]], token: str = "") -> None:
        """They now stand so."""
        ...

    async def built(self) -> bool:
        """Whether the board is whole."""
        ...

    async def begin(self, *, anew: bool = False) -> str:
        """Begin to build it: a token, "" if somebody else does."""
        ...

    async def finish(self, token: str) -> bool:
        """It is whole."""
        ...


class Observer(Protocol):
    """Who wants to know (telemetry.Metrics). None may raise."""

    def strikes_taken(self, result: str, count: int) -> None:
        """`result`: "taken" (or known before), "refused" by the ledger, "unreadable"."""
        ...

    def strikes_waiting(self, count: int) -> None: ...

    def standings_published(self, count: int) -> None: ...

    def standings_built(self, identities: int, seconds: float) -> None: ...

    def keeper_failed(self, part: str, reason: str) -> None:
        """`part`: "strikes", "due", "standings", "campaigns"; `reason` a StoreError's, or "fault"."""
        ...


@dataclass(frozen=True, slots=True)
class KeeperSettings:
    """Seconds between looks for strikes, for what is due, for standings that changed, for campaigns; `pause_s` after a
    failure."""

    strikes_s: float = 0.05
    due_s: float = 0.25
    standings_s: float = 0.05
    campaigns_s: float = 0.5
    pause_s: float = 0.5


class Keeper:
    """Its parts are loops over one ledger, which is worked in threads. `anew` builds the board even where it is whole;
    `sightings` is where campaigns are told of, if they are."""

    def __init__(
        self,
        ledger: Ledger,
        intake: Intake,
        board: Board,
        observer: Observer,
        settings: KeeperSettings = KeeperSettings(),
        clock: Callable[[], float] = time.time,
        *,
        anew: bool = False,
        sightings: Sightings | None = None,
    ) -> None:
        self._sightings, self._seen = sightings, list[Sighting]()
        self._cases = Cases(ledger) if sightings is not None else None
        self._ledger, self._intake, self._board, self._clock = ledger, intake, board, clock
        self._observer, self._settings, self._anew = observer, settings, anew
        self._since = 0
        self._batch: Sequence[tuple[str, Strike | None]] = ()
        self._failing: dict[str, str] = {}

    @property
    def failing(self) -> dict[str, str]:
        """The parts that cannot work now, and why: "strikes", "due", "standings", "campaigns"."""
        return dict(self._failing)

    async def run(self) -> None:
        """Until cancelled; then the strikes that were read are with the ledger or left for another keeper."""
        settings = self._settings
        parts = (
            ("strikes", self.take, settings.strikes_s),
            ("due", self.due, settings.due_s),
            ("standings", self.publish, settings.standings_s),
            ("campaigns", self.watch, settings.campaigns_s),
        )
        try:
            async with asyncio.TaskGroup() as group:
                for part, work, every_s in parts:
                    group.create_task(self._go_on(part, work, every_s))
        finally:
            try:
                await self._intake.close()
            except StoreError as error:
                log.warning("keeper left without a word", reason=error.reason)

    async def take(self) -> int:
        """Take a batch of strikes into the ledger; how many. What failed on the way is taken again: the ledger takes
        no strike twice."""
        self._batch = self._batch or await self._intake.read()
        if not self._batch:
            return 0
        strikes = [strike for _, strike in self._batch if strike is not None]
        refused = await asyncio.to_thread(self._enter, strikes)
        waiting = await self._intake.done([entry for entry, _ in self._batch])
        for result, count in (
            ("taken", len(strikes) - refused),
            ("refused", refused),
            ("unreadable", len(self._batch) - len(strikes)),
        ):
            if count:
                self._observer.strikes_taken(result, count)
        self._observer.strikes_waiting(waiting)
        taken, self._batch = len(self._batch), ()
        return taken

    async def due(self) -> int:
        """Do what is due; returns 0: there is nothing more until later."""
        await asyncio.to_thread(self._ledger.run_due, self._clock())
        return 0

    async def watch(self) -> int:
        """Enter what was seen of campaigns into their cases; how much."""
        if self._sightings is None or self._cases is None:
            return 0
        self._seen = self._seen or list(await self._sightings.take())
        if self._seen:
            for case in await asyncio.to_thread(self._cases.take, self._seen):
                log.warning("campaign", case=case)
        taken, self._seen = len(self._seen), []
        return taken

    async def publish(self) -> int:
        """Publish standings that changed, or all where the board is not whole; how many."""
        if self._anew or not await self._board.built():
            return await self._build()
        changes = await self._changed(self._since)
        if changes:
            await self._board.publish(changes)
            self._since = changes[-1][1].revision
            self._observer.standings_published(len(changes))
        return len(changes)

    async def _build(self) -> int:
        token = await self._board.begin(anew=self._anew)
        if not token:
            return 0
        began = asyncio.get_running_loop().time()
        since = count = 0
        while changes := await self._changed(since):
            await self._board.publish(changes, token)
            since, count = changes[-1][1].revision, count + len(changes)
        if not await self._board.finish(token):
            return 0
        self._since, self._anew = since, False
        seconds = asyncio.get_running_loop().time() - began
        self._observer.standings_built(count, seconds)
        log.info("standings built", identities=count, seconds=round(seconds, 2))
        return count

    async def _changed(self, since: int) -> Sequence[tuple[str, Standing]]:
        return await asyncio.to_thread(self._ledger.changed, since, PAGE)

    def _enter(self, strikes: Sequence[Strike]) -> int:
        """In a thread. How many the ledger will never take."""
        try:
            self._ledger.strikes(strikes)
        except NotAllowed:
            if len(strikes) == 1:
                log.error("a strike is none to the ledger", rule=strikes[0].rule, record=strikes[0].record)
                return 1
            return sum(self._enter([strike]) for strike in strikes)
        return 0

    async def _go_on(self, part: str, work: Callable[[], Awaitable[int]], every_s: float) -> None:
        while True:
            pause = every_s
            try:
                if await work():
                    pause = 0.0
                self._failing.pop(part, None)
            except Exception as error:  # what one part fails on, the others must not
                reason = error.reason if isinstance(error, StoreError) else "fault"
                if self._failing.get(part) != reason:
                    log.warning("keeper waits", part=part, reason=reason, exc_info=error)
                self._failing[part] = reason
                self._observer.keeper_failed(part, reason)
                pause = self._settings.pause_s
            await asyncio.sleep(pause)

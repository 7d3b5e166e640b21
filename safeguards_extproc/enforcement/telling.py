"""Telling things to somebody who may be away: each waits, in bounded room, until it is taken; what does not fit is
counted as lost. Whoever tells never waits."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import structlog

from safeguards_extproc.errors import StoreError

log = structlog.get_logger()

Thing = TypeVar("Thing")


class Observer(Protocol):
    """Who wants to know (telemetry.Metrics). None may raise."""

    def account_failed(self, what: str, reason: str) -> None:
        """Somebody did not take it; `reason` is StoreError's."""
        ...

    def account_lost(self, what: str, count: int) -> None:
        """So many things were given up."""
        ...

    def fault(self, where: str) -> None:
        """A bug."""
        ...


@dataclass(frozen=True, slots=True)
class TellingSettings:
    """`waiting` bounds what waits; `together` is how many are told at once, `tellings` how many tellings are under way.
    `pause_s` passes before a thing is told again, twice as much each time, at most `longest_pause_s`."""

    waiting: int = 20_000
    together: int = 100
    tellings: int = 1
    pause_s: float = 0.1
    longest_pause_s: float = 2.0


class Telling(Generic[Thing]):
    """Tells `tell` what is `put`. What raises StoreError is told again; any other error loses what was told."""

    def __init__(
        self,
        what: str,
        tell: Callable[[Sequence[Thing]], Awaitable[None]],
        observer: Observer,
        settings: TellingSettings = TellingSettings(),
    ) -> None:
        """`what` names it to the observer."""
        self._what, self._tell, self._observer, self._settings = what, tell, observer, settings
        self._waiting: deque[Thing] = deque()
        self._under_way = self._running = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def owed(self) -> int:
        """Things that nobody has taken yet."""
        return len(self._waiting) + self._under_way

    def put(self, thing: Thing) -> None:
        """Tell it soon, inside a running loop."""
        if self.owed >= self._settings.waiting:
            self._observer.account_lost(self._what, 1)
            return
        self._waiting.append(thing)
        if self._running < self._settings.tellings:
            self._running += 1
            task = asyncio.get_running_loop().create_task(self._run())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def quiet(self) -> None:
        """Wait until nothing is owed."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self, within_s: float) -> None:
        """Wait for what is owed, so long at most; the rest is lost."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self.quiet()
        lost = self.owed
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if lost:
            self._observer.account_lost(self._what, lost)

    async def _run(self) -> None:
        """Until nothing waits."""
        try:
            while self._waiting:
                things = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._settings.together))]
                self._under_way += len(things)
                try:
                    await self._until_taken(things)
                finally:
                    self._under_way -= len(things)
        finally:
            self._running -= 1

    async def _until_taken(self, things: Sequence[Thing]) -> None:
        pause = self._settings.pause_s
        while True:
            try:
                await self._tell(things)
            except StoreError as error:
                self._observer.account_failed(self._what, error.reason)
                await asyncio.sleep(pause)
                pause = min(2 * pause, self._settings.longest_pause_s)
            except Exception as error:  # noqa: BLE001 (a fault must not end the telling of everything else)
                log.error("not told", what=self._what, error=type(error).__name__)
                self._observer.fault("accounts")
                self._observer.account_lost(self._what, len(things))
                return
            else:
                return

"""Has records on the disk, for all of a process's streams together.

The one rule: a `durable` that is done means that everything kept before it was asked for is on the disk, or that it was
counted that it is not. One fdatasync is under way at a time, in a thread; who asks meanwhile shares the next.
"""

from __future__ import annotations

import asyncio
import enum
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from safeguards_extproc.core.record import Record


class Sync(enum.StrEnum):
    """When records have to be on the disk, and not with the operating system alone.

    `never` leaves it to the operating system; `interval` waits for nobody; `enforced` lets an answer that changes or
    refuses something wait until its record is there, and `every` each answer. All but `never` sync once an interval.
    """

    NEVER = "never"
    INTERVAL = "interval"
    ENFORCED = "enforced"
    EVERY = "every"


HARMLESS = frozenset({"allow", "annotate", "pass"})
"""Outcomes with which an exchange went on as it was."""


@dataclass(frozen=True, slots=True)
class SyncSettings:
    """Who waits goes on after `budget_s`, and it is counted that the disk was too slow."""

    when: Sync = Sync.ENFORCED
    interval_s: float = 1.0
    budget_s: float = 1.0


class Batch(Protocol):
    """What has to be on the disk (records.spool.Batch)."""

    def sync(self) -> None:
        """Wait for the disk, in any thread. Raises OSError."""
        ...


class Spool(Protocol):
    """Who keeps the records (records.spool.Spool)."""

    def unsynced(self) -> Batch | None: ...

    def unwell(self, error: OSError) -> None: ...

    def slow(self) -> None: ...


class Syncing:
    """Made within a running event loop; `close` it before the spool."""

    def __init__(self, spool: Spool, settings: SyncSettings) -> None:
        self._spool, self._settings = spool, settings
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "fdatasync")
        self._waiting: asyncio.Future[None] | None = None
        self._running: asyncio.Task[None] | None = None
        self._next = self._loop.call_later(settings.interval_s, self._interval)

    def durable(self, record: Record) -> asyncio.Future[None] | None:
        """See ports.RecordSink."""
        when = self._settings.when
        if when is Sync.EVERY or (when is Sync.ENFORCED and record.outcome not in HARMLESS):
            return self.soon()
        return None

    def soon(self) -> asyncio.Future[None]:
        """Done when everything that was kept until now is on the disk, or counted as late or failed."""
        waiting = self._waiting
        if waiting is None or waiting.done():
            self._waiting = waiting = self._loop.create_future()
            late = self._loop.call_later(self._settings.budget_s, self._late, waiting)
            waiting.add_done_callback(lambda _: late.cancel())
            if self._running is None:
                self._running = self._loop.create_task(self._run())
        return asyncio.shield(waiting)

    async def close(self) -> None:
        """Wait for what is under way, no longer than who waits for it would."""
        self._next.cancel()
        if self._running is not None:
            await asyncio.wait((self._running,), timeout=self._settings.budget_s)
        self._thread.shutdown(wait=False)

    async def _run(self) -> None:
        while (waiting := self._waiting) is not None:
            self._waiting = None
            batch = self._spool.unsynced()
            if batch is not None:
                try:
                    await self._loop.run_in_executor(self._thread, batch.sync)
                except OSError as error:
                    self._spool.unwell(error)
            if not waiting.done():
                waiting.set_result(None)
        self._running = None

    def _late(self, waiting: asyncio.Future[None]) -> None:
        if not waiting.done():
            self._spool.slow()
            waiting.set_result(None)

    def _interval(self) -> None:
        self._next = self._loop.call_later(self._settings.interval_s, self._interval)
        self.soon()

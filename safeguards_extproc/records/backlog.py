"""What cannot be written waits in memory, in order, for the next attempt.

The one rule: nothing is lost in silence. A failure is counted and told when it begins and when it ends; what waits is
bounded, and the oldest that give way are counted.
"""

from __future__ import annotations

import enum
import errno
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

log = structlog.get_logger()

REASONS = {errno.ENOSPC: "disk-full", errno.EDQUOT: "quota", errno.EROFS: "read-only"}
SLOW_S = 0.25
"""A write to the page cache takes microseconds; one that takes so long waited for the disk, and the loop with it."""


class OnFailure(enum.StrEnum):
    """What becomes of traffic while records cannot be written."""

    GO_ON = "go-on"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class FailureSettings:
    """Up to `backlog_bytes` wait in memory while the disk refuses them, and another attempt is made every `retry_s`."""

    on_failure: OnFailure = OnFailure.GO_ON
    backlog_bytes: int = 16 << 20
    retry_s: float = 1.0


class Observer(Protocol):
    """Who wants to know (telemetry.Metrics). `sink` is "records" or "spool"."""

    def record_kept(self, sink: str, size: int) -> None: ...

    def record_failed(self, sink: str, reason: str) -> None:
        """`reason`: "disk-full", "quota", "read-only", "io", "slow" or "deleted"."""
        ...

    def records_lost(self, sink: str, count: int) -> None: ...

    def degraded(self, what: str, is_so: bool) -> None: ...


class Backlog:
    """Writes records in order with `write`, which writes one whole or raises OSError and writes nothing. A record is
    its sequence number and its bytes. `look` sees whether the disk is well again."""

    def __init__(
        self,
        sink: str,
        settings: FailureSettings,
        observer: Observer,
        write: Callable[[int, bytes], None],
        look: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sink, self._settings, self._observer = sink, settings, observer
        self._put, self._look, self._clock = write, look, clock
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self._failing = False
        self._doubted_until = 0.0
        self._next = clock() + settings.retry_s

    @property
    def failing(self) -> bool:
        """Whether the last attempt to write failed."""
        return self._failing

    def due(self) -> bool:
        """Once in `retry_s`: time to look whether all is well."""
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + self._settings.retry_s
        return True

    def hurry(self) -> None:
        """It is time to look now."""
        self._next = self._clock()

    def refuses(self) -> bool:
        """Whether new exchanges are to be refused, because their records could not be written, or not in time. Asking
        is also what finds out that the disk is well again."""
        if self._failing:
            self._look()
        unwell = self._failing or (self._doubted_until > 0 and self._clock() < self._doubted_until)
        return unwell and self._settings.on_failure is OnFailure.REFUSE

    def keep(self, sequence: int, data: bytes) -> None:
        """Write it, or hold it for the next attempt."""
        if self._failing or not self._write(sequence, data):
            self._wait(sequence, data)

    def flush(self) -> None:
        """Write what waits, in order, as far as it goes."""
        if not self._failing:
            return
        while self._waiting:
            if not self._write(*self._waiting[0]):
                return
            self._bytes -= len(self._waiting.popleft()[1])
        self._failing = False
        self._observer.degraded(self._sink, False)
        log.warning("records are written again", sink=self._sink)

    def close(self) -> None:
        """Write what waits; give up what cannot be written."""
        self.flush()
        self.lose(len(self._waiting))
        self._waiting.clear()
        self._bytes = 0

    def report(self, error: OSError) -> str:
        """Count a failure that keeps no record from being written; its reason."""
        reason = REASONS.get(error.errno or 0, "io")
        self.count(reason)
        return reason

    def count(self, reason: str) -> None:
        """Count a failure by its reason."""
        self._observer.record_failed(self._sink, reason)

    def doubt(self) -> None:
        """The disk takes what it is given too late, or not at all: for a while it is not to be relied on."""
        self._doubted_until = self._clock() + self._settings.retry_s

    def lose(self, count: int) -> None:
        """So many records are given up."""
        if count:
            self._observer.records_lost(self._sink, count)
            log.error("records are lost", sink=self._sink, count=count)

    def _write(self, sequence: int, data: bytes) -> bool:
        began = self._clock()
        try:
            self._put(sequence, data)
        except OSError as error:
            self._fail(error)
            return False
        if self._clock() - began > SLOW_S:
            self.count("slow")
            self.doubt()
        self._observer.record_kept(self._sink, len(data))
        return True

    def _fail(self, error: OSError) -> None:
        reason = self.report(error)
        if not self._failing:
            self._failing = True
            self._observer.degraded(self._sink, True)
            log.error("records cannot be written", sink=self._sink, reason=reason, on_failure=self._settings.on_failure)

    def _wait(self, sequence: int, data: bytes) -> None:
        """The oldest ones give way."""
        self._waiting.append((sequence, data))
        self._bytes += len(data)
        lost = 0
        while self._bytes > self._settings.backlog_bytes:
            self._bytes -= len(self._waiting.popleft()[1])
            lost += 1
        self.lose(lost)

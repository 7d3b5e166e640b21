"""Turns of streams: what exchanges still have to do without any event, a millisecond at a stretch.

All streams of a process share one loop, and timers that are due at once run at once: many long texts, each of which
takes a short turn, would together hold up everybody else. What sockets hold goes first, because taking a document in
costs next to nothing, and behind it, on the same socket, other streams have a word to say. That is for bursts: where
sockets give without end, turns get half of the time, or what has been begun would never be done.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

BATCH_S = 0.001
"""Seconds after which no other turn begins before the loop has seen to what else is due."""

READING_S = 0.02
"""Seconds for which turns wait, at most, while sockets go on to give: for as long as turns were done before."""

FULL = 48 << 10
"""Bytes of a read behind which there is probably more."""


class RunQueue:
    """Turns of one loop, in the order in which they were asked for. `wait_s` is how long the last one waited, 0 where
    none does."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: deque[tuple[float, Callable[[], None]]] = deque()
        self.wait_s = 0.0
        self._under_way = self._more = False
        self._rested = 0.0  # when turns were last done
        self._credit = READING_S  # seconds for which they may wait since then

    def ask(self, turn: Callable[[], None]) -> None:
        """Call `turn` soon: behind all that were asked for before, and not from within this call."""
        now = self._clock()
        self._waiting.append((now, turn))
        if not self._under_way:
            self._under_way = True
            self._credit = min(READING_S, self._credit + now - self._rested)
            self._rested = now
            asyncio.get_running_loop().call_soon(self._go)

    def heard(self, size: int) -> None:
        """A read of a socket gave so many bytes."""
        if size >= FULL:
            self._more = True

    def _go(self) -> None:
        waiting, now = self._waiting, self._clock()
        more, self._more = self._more, False
        waited = now - self._rested
        if not more or waited >= self._credit:
            began, until = now, now + BATCH_S
            while waiting:
                asked, turn = waiting.popleft()
                self.wait_s = now - asked
                turn()
                now = self._clock()
                if now >= until:
                    break
            self._credit = min(READING_S, max(0.0, self._credit - waited) + now - began)
            self._rested = now
        self._under_way = bool(waiting)
        if waiting:
            asyncio.get_running_loop().call_soon(self._go)
        else:
            self.wait_s = 0.0

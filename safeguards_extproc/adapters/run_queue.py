"""Turns of streams: what exchanges still have to do without any event, a millisecond at a stretch.

All streams of a process share one loop, and timers that are due at once run at once: many long texts, each of which
takes a short turn, would together hold up everybody else.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

BATCH_S = 0.001
"""Seconds after which no other turn begins before the loop has seen to what else is due."""


class RunQueue:
    """Turns of one loop, in the order in which they were asked for."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._waiting: deque[Callable[[], None]] = deque()
        self._under_way = False

    def ask(self, turn: Callable[[], None]) -> None:
        """Call `turn` soon: behind all that were asked for before, and not from within this call."""
        self._waiting.append(turn)
        if not self._under_way:
            self._under_way = True
            asyncio.get_running_loop().call_soon(self._go)

    def _go(self) -> None:
        waiting, until = self._waiting, self._clock() + BATCH_S
        while waiting:
            waiting.popleft()()
            if self._clock() >= until:
                break
        self._under_way = bool(waiting)
        if waiting:
            asyncio.get_running_loop().call_soon(self._go)

"""An event loop in a thread: the places that a test talks to while it waits for an answer itself."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Made = TypeVar("Made")

PATIENCE_S = 30.0
"""How long anything may take on a machine that is busy with other things."""


class Background:
    """Runs coroutines for callers of other threads."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Made]) -> Made:
        """The result of `work`, which runs on the loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE_S)

    def close(self) -> None:
        """End everything that still runs."""
        self.run(self._cancel())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE_S)
        self.loop.close()

    async def _cancel(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def until(ask: Callable[[], Made], what: str, patience_s: float = PATIENCE_S) -> Made:
    """What `ask` says once it is true; AssertionError with `what` if it never is."""
    deadline = time.monotonic() + patience_s
    while not (found := ask()):
        assert time.monotonic() < deadline, f"{what}: not within {patience_s:g} s"
        time.sleep(0.02)
    return found

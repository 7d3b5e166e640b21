"""Several worker processes, one per core, each with its own port: Python uses one core, and Envoy balances better
over endpoints than the kernel does over connections.

The parent serves nothing and loads no server. It starts the same program once for each index, passes signals on,
and starts a worker again that dies, after a pause that doubles while it keeps dying.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

INDEX_VARIABLE = "SAFEGUARDS_WORKER"
"""Environment variable that tells a worker its index, 0 to N-1; unset in the parent and where there are no workers."""

_PR_SET_PDEATHSIG = 1  # prctl(2)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """`settle_s`: a worker that ends with an error this soon after its first start cannot start, and the parent gives
    up. Pauses double from `pause_s` to `longest_pause_s`; a worker that lived that long begins with `pause_s` again.
    `stop_s`: how long workers have to end after a signal before they are killed; more than their drain takes.
    """

    count: int
    settle_s: float = 10.0
    pause_s: float = 0.5
    longest_pause_s: float = 30.0
    stop_s: float = 620.0


def index() -> int | None:
    """Which worker this process is; None if it is none."""
    text = os.environ.get(INDEX_VARIABLE, "")
    return int(text) if text.isascii() and text.isdecimal() else None


def end_with_parent() -> None:
    """Called by a worker at its start: SIGTERM comes when the parent is gone, however it went (Linux; else nothing)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Workers:
    """The processes of one parent."""

    def __init__(
        self, command: Sequence[str], settings: WorkerSettings, restarted: Callable[[int], None] = lambda _: None
    ) -> None:
        """`command` starts this program as it was started; `restarted` is told the index of each worker restarted."""
        self._command, self._settings, self._restarted = list(command), settings, restarted
        self._alive: dict[int, asyncio.subprocess.Process] = {}
        self._stop = asyncio.Event()

    async def run(self) -> int:
        """Until SIGTERM or SIGINT and the last worker's end. The exit code: 0, or what a worker could not start with,
        or 1 if one had to be killed."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ending, number)
        loop.add_signal_handler(signal.SIGHUP, self._pass_on, signal.SIGHUP)
        tasks = [asyncio.create_task(self._keep(number)) for number in range(self._settings.count)]
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait({stop, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        if not self._stop.is_set():
            self._ending(signal.SIGTERM)
        _, late = await asyncio.wait(tasks, timeout=self._settings.stop_s)
        if late:
            log.error("workers killed", workers=sorted(self._alive))
            self._pass_on(signal.SIGKILL)
        codes = await asyncio.gather(*tasks)
        return max(codes, default=0) or (1 if late else 0)

    def _ending(self, number: int) -> None:
        self._stop.set()
        self._pass_on(number)

    def _pass_on(self, number: int) -> None:
        for process in self._alive.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    async def _keep(self, number: int) -> int:
        """Keep worker `number` running until we stop; 0, or the code it could not start with."""
        settings, pause, first = self._settings, self._settings.pause_s, True
        environment = {**os.environ, INDEX_VARIABLE: str(number)}
        while not self._stop.is_set():
            began = time.monotonic()
            process = await asyncio.create_subprocess_exec(*self._command, env=environment)
            self._alive[number] = process
            if self._stop.is_set():
                process.terminate()
            code = await process.wait()
            del self._alive[number]
            lived = time.monotonic() - began
            if self._stop.is_set():
                break
            if first and lived < settings.settle_s:
                log.error("worker cannot start", worker=number, code=code)
                return code if code > 0 else 1
            first = False
            if lived >= settings.longest_pause_s:
                pause = settings.pause_s
            log.error("worker died", worker=number, code=code, lived_s=round(lived, 1), pause_s=pause)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause)
            if not self._stop.is_set():
                self._restarted(number)
            pause = min(2 * pause, settings.longest_pause_s)
        return 0

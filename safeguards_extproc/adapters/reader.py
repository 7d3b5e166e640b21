"""A worker's reader: one process that reads and edits large bodies, one after the other, while the loop goes on.

It is started for the first large body, ends with its worker or when it has had nothing to do for a while, and is
started anew if it dies. A body that kills it is tried once more; one that takes too long, or for which there is no
room in the queue, is not read, which is a value that policy judges: never a pass.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from safeguards_extproc.adapters.reader_frames import HEAD, Joiner, of_task
from safeguards_extproc.core.aside import Outcome, Parsed, Rewritten, Task

PROGRAM = "safeguards_extproc.adapters.reader_process"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ReaderSettings:
    """`queue`: tasks that may wait, and `patience_s` for how long. `work_s` is the most that one may take: 10 MB take
    0.2 s. After `idle_s` without a task the process ends, and what it had of memory is free."""

    queue: int = 64
    patience_s: float = 20.0
    work_s: float = 10.0
    idle_s: float = 60.0


class _Died(Exception):
    """The process is gone."""


class Reader:
    """A `ports.Reader`. `erred` is called for every task that was not done through a fault of this side."""

    def __init__(
        self, command: Sequence[str], settings: ReaderSettings | None = None, erred: Callable[[], None] = lambda: None
    ) -> None:
        """`command` starts a process that does what `reader_process` does."""
        self._command, self._settings, self._erred = list(command), settings or ReaderSettings(), erred
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._jobs: set[asyncio.Task[Outcome]] = set()
        self._idle: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        return self._process.pid if self._process is not None else None

    async def do(self, task: Task) -> Outcome:
        """See ports.Reader. A task whose caller goes away is done all the same once it has begun."""
        if self._waiting >= self._settings.queue or self._closed:
            return self._undone(task, "no room")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._settings.patience_s):
                await self._turn.acquire()
        except TimeoutError:
            return self._undone(task, "waited too long")
        finally:
            self._waiting -= 1
        job = asyncio.get_running_loop().create_task(self._job(task))
        self._jobs.add(job)
        job.add_done_callback(self._done)
        return await asyncio.shield(job)

    async def close(self) -> None:
        """End the process; what is still to be done is not."""
        self._closed = True
        for job in self._jobs:
            job.cancel()
        await self._end()

    async def _job(self, task: Task) -> Outcome:
        try:
            async with asyncio.timeout(self._settings.work_s):
                try:
                    return await self._ask(task)
                except _Died:
                    await self._end()
                    return await self._ask(task)
        except TimeoutError:
            why = "took too long"
        except _Died:
            why = "died"
        except OSError as error:
            why = type(error).__name__
        except BaseException:
            await self._end()  # it is in the midst of something that nobody waits for
            raise
        await self._end()
        return self._undone(task, why)

    async def _ask(self, task: Task) -> Outcome:
        """Have the process do it. Raises _Died; after any other error it has to be ended."""
        process = await self._started()
        sending, receiving = process.stdin, process.stdout
        assert sending is not None
        assert receiving is not None
        joiner = Joiner()
        try:
            for frame in of_task(task):
                sending.write(frame)
                await sending.drain()
                await asyncio.sleep(0)
            while True:
                kind, size = HEAD.unpack(await receiving.readexactly(HEAD.size))
                said = joiner.take(kind, await receiving.readexactly(size))
                if isinstance(said, Parsed | Rewritten):
                    return said
                if said:
                    return self._undone(task, str(said))
                await asyncio.sleep(0)  # what has been read ahead would be taken in without a pause
        except (asyncio.IncompleteReadError, ConnectionError):
            raise _Died from None

    async def _started(self) -> asyncio.subprocess.Process:
        if self._idle is not None:
            self._idle.cancel()
        if self._process is None:
            pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
            self._process = await asyncio.create_subprocess_exec(*self._command, stdin=pipe, stdout=pipe, stderr=null)
        return self._process

    async def _end(self) -> None:
        process, self._process = self._process, None
        if self._idle is not None:
            self._idle.cancel()
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def _done(self, job: asyncio.Task[Outcome]) -> None:
        self._jobs.discard(job)
        self._turn.release()
        if not self._closed and not self._waiting and self._process is not None:
            self._idle = asyncio.get_running_loop().call_later(self._settings.idle_s, self._rest)

    def _rest(self) -> None:
        """There has been nothing to do for a while: the process ends when its input does."""
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            process.stdin.close()

    def _undone(self, task: Task, why: str) -> Outcome:
        log.warning("body not read", why=why, bytes=len(task.body))
        self._erred()
        return task.undone()

"""Texts of many streams in few requests: sent at once while the peer is idle, gathered while it is busy.

The one rule: a call is late, refused or wrong only through its own texts and its own budget, whoever shares its
request. Knows no protocol: `ask` does the asking.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog

from safeguards_extproc.adapters.kserve import Scored

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Failed:
    """A request without scores: a slug of errors.FAILURES."""

    failure: str


@dataclass(frozen=True, slots=True)
class TooLarge:
    """The peer takes at most `largest` texts in a request; nothing was asked."""

    largest: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What a caller gets: the maximum per label over its texts, or a failure."""

    scores: dict[str, float] = field(default_factory=dict)
    version: str = ""
    failure: str = ""


class Call:
    """One caller's texts, until it has an answer, its time is over or it goes away."""

    __slots__ = (
        "answer",
        "batches",
        "best",
        "budget_s",
        "deadline",
        "prompt",
        "queued",
        "since",
        "texts",
        "timer",
        "unanswered",
    )

    def __init__(self, texts: Sequence[str], prompt: str, budget_s: float, loop: asyncio.AbstractEventLoop) -> None:
        self.texts = texts
        self.prompt = prompt
        self.budget_s = budget_s
        self.since = loop.time()
        self.deadline = self.since + budget_s
        self.answer: asyncio.Future[Answer] = loop.create_future()
        self.queued = self.unanswered = len(texts)
        self.best: dict[str, float] = {}
        self.batches: set[Batch] = set()
        self.timer: asyncio.TimerHandle | None = None


@dataclass(slots=True)
class Part:
    """Texts [start, stop) of a call; `alone` if a request with others in it failed."""

    call: Call
    start: int
    stop: int
    alone: bool = False


@dataclass(slots=True, eq=False)
class Batch:
    """One request: texts, and the prompt of each.

    `deadline` is its last caller's (loop time), `budget_s` the largest that a caller had.
    `left` is "" while somebody waits, then why the last caller left: "timeout" or "cancelled".
    """

    parts: list[Part]
    texts: list[str]
    prompts: list[str]
    deadline: float
    budget_s: float
    waited_s: float
    callers: set[Call]
    left: str = ""
    task: asyncio.Task[Scored | Failed | TooLarge] | None = None


class Lane:
    """The queue before one model: at most `in_flight` requests, each of at most `largest` texts, `bound` texts waiting.

    `ask` answers a batch; it is cancelled when nobody waits for the batch any more.
    """

    def __init__(
        self,
        ask: Callable[[Batch], Coroutine[Any, Any, Scored | Failed | TooLarge]],
        *,
        in_flight: int,
        largest: int,
        bound: int,
    ) -> None:
        self.largest = largest
        self._ask = ask
        self._in_flight = in_flight
        self._bound = bound
        self._queue: deque[Part] = deque()
        self._queued = 0
        self._flying: set[Batch] = set()
        self._calls: set[Call] = set()
        self._pumping = False

    @property
    def queued(self) -> int:
        """Texts that wait for a request."""
        return self._queued

    async def score(self, texts: Sequence[str], budget_s: float, prompt: str = "") -> Answer:
        """The answer, within `budget_s` seconds from now; "cancelled" for no texts. `prompt` is what all of the texts
        answer. Raises CancelledError only."""
        loop = asyncio.get_running_loop()
        if not texts:
            return Answer(failure="cancelled")
        if self._queued + len(texts) > self._bound:
            return Answer(failure="overload")
        call = Call(texts, prompt, budget_s, loop)
        call.timer = loop.call_at(call.deadline, self._settle, call, Answer(failure="timeout"))
        self._calls.add(call)
        self._queue.append(Part(call, 0, len(texts)))
        self._queued += len(texts)
        self._wake()
        try:
            return await call.answer
        finally:
            self._settle(call, Answer(failure="cancelled"))

    def close(self) -> None:
        """Answer everybody "cancelled"; requests in flight are cancelled."""
        for call in list(self._calls):
            self._settle(call, Answer(failure="cancelled"))

    def _wake(self) -> None:
        """Send in the next turn of the loop: what arrives in this turn goes together."""
        if not self._pumping and len(self._flying) < self._in_flight:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        self._pumping = False
        while len(self._flying) < self._in_flight and (batch := self._take()):
            self._flying.add(batch)
            batch.task = asyncio.get_running_loop().create_task(self._ask(batch))
            batch.task.add_done_callback(partial(self._landed, batch))

    def _take(self) -> Batch | None:
        """The next request: parts in order of arrival, a part cut only where it fits in no request."""
        parts: list[Part] = []
        room = self.largest
        while room and self._queue:
            part = self._queue[0]
            size = part.stop - part.start
            if part.call not in self._calls:
                self._queue.popleft()
                continue
            if parts and (part.alone or size > room):
                break
            if size > room:
                parts.append(Part(part.call, part.start, part.start + room, part.alone))
                part.start += room
                break
            parts.append(self._queue.popleft())
            room -= size
            if part.alone:
                break
        if not parts:
            return None
        now = asyncio.get_running_loop().time()
        callers = {part.call for part in parts}
        batch = Batch(
            parts=parts,
            texts=[text for part in parts for text in part.call.texts[part.start : part.stop]],
            prompts=[part.call.prompt for part in parts for _ in range(part.start, part.stop)],
            deadline=max(call.deadline for call in callers),
            budget_s=max(call.budget_s for call in callers),
            waited_s=max(now - call.since for call in callers),
            callers=callers,
        )
        for part in parts:
            part.call.queued -= part.stop - part.start
            part.call.batches.add(batch)
        self._queued -= len(batch.texts)
        return batch

    def _landed(self, batch: Batch, task: asyncio.Task[Scored | Failed | TooLarge]) -> None:
        self._flying.discard(batch)
        for call in batch.callers:
            call.batches.discard(batch)
        if not task.cancelled():
            error = task.exception()
            if error:
                log.error("asking a model broke", error=type(error).__name__)
            self._deliver(batch, Failed("bad-response") if error else task.result())
        self._pump()

    def _deliver(self, batch: Batch, result: Scored | Failed | TooLarge) -> None:
        match result:
            case Scored():
                self._share(batch, result)
            case TooLarge(largest):
                self.largest = min(self.largest, largest)
                self._again(batch.parts)
            case Failed("bad-response") if any(part.call is not batch.parts[0].call for part in batch.parts):
                for part in batch.parts:
                    part.alone = True
                self._again(batch.parts)
            case Failed(failure):
                self._fail(batch, failure)

    def _share(self, batch: Batch, scored: Scored) -> None:
        row = 0
        for part in batch.parts:
            call, size = part.call, part.stop - part.start
            best = scored.best(row, row + size)
            row += size
            if best is None:
                self._settle(call, Answer(failure="bad-response"))
                continue
            known = call.best
            for label, score in zip(scored.labels, best, strict=True):
                if score > known.get(label, -1.0):
                    known[label] = score
            call.unanswered -= size
            if not call.unanswered:
                self._settle(call, Answer(known, scored.version))

    def _again(self, parts: list[Part]) -> None:
        """Put parts back at the head of the queue, in their order."""
        for part in reversed(parts):
            if part.call in self._calls:
                self._queue.appendleft(part)
                part.call.queued += part.stop - part.start
                self._queued += part.stop - part.start

    def _fail(self, batch: Batch, failure: str) -> None:
        for call in batch.callers:
            self._settle(call, Answer(failure=failure))

    def _settle(self, call: Call, answer: Answer) -> None:
        """Answer a call, once; its texts leave the queue, and a request that nobody waits for any more ends."""
        if call not in self._calls:
            return
        self._calls.discard(call)
        self._queued -= call.queued
        call.texts = ()
        if call.timer:
            call.timer.cancel()
        if not call.answer.done():
            call.answer.set_result(answer)
        for batch in call.batches:
            batch.callers.discard(call)
            if not batch.callers and batch.task:
                batch.left = answer.failure or "cancelled"
                batch.task.cancel()

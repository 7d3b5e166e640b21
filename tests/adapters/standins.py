"""Small real exchanges, a scorer and a sink, for tests of the driver: what they say is what the test chose."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from safeguards_extproc.core.account import Admitted
from safeguards_extproc.core.decision import Model, Result
from safeguards_extproc.core.effects import AnswerBody, Effect, Keep, SendBody, SendHeaders, SendTrailers
from safeguards_extproc.core.events import Aborted, Body, BodyMode, Event, Headers, Opened, Trailers
from safeguards_extproc.core.record import Record
from safeguards_extproc.core.text import Direction


class Echo:
    """Lets everything through as it is, at once; ends with the response."""

    def __init__(self, opened: Opened, at: float) -> None:
        self._modes = (opened.request, opened.response)
        self.finished = False
        self.held = 0
        self.waiting = False

    def feed(self, event: Event) -> list[Effect]:
        match event:
            case Body():
                duplex = self._modes[event.direction is Direction.RESPONSE] is BodyMode.DUPLEX
                last = event.end
                answer: Effect = SendBody(event.direction, event.data, last) if duplex else AnswerBody(event.direction)
            case Headers():
                last = event.end or self._modes[event.direction is Direction.RESPONSE] is BodyMode.NONE
                answer = SendHeaders(event.direction)
            case Trailers():
                last = True
                answer = SendTrailers(event.direction)
            case Aborted():
                return self._keep(event.cause)
            case _:
                return []
        if last and event.direction is Direction.RESPONSE:
            return [*self._keep("complete"), answer]
        return [answer]

    def _keep(self, termination: str) -> list[Effect]:
        if self.finished:
            return []
        self.finished = True
        return [Keep(Record("echo", termination=termination))]


class Scripted:
    """Does what `react` says; the test sets `finished`, `held` and `waiting`. Aborted keeps the record if none was."""

    def __init__(self, react: Callable[[Scripted, Event], list[Effect]]) -> None:
        self._react = react
        self.events: list[Event] = []
        self.finished = False
        self.held = 0
        self.waiting = False

    def feed(self, event: Event) -> list[Effect]:
        self.events.append(event)
        if isinstance(event, Aborted):
            return [] if self.finished else self.keep(event.cause)
        return self._react(self, event)

    def keep(self, termination: str = "complete") -> list[Effect]:
        self.finished = True
        return [Keep(Record("scripted", termination=termination))]


class Counts:
    """Telemetry that a test reads."""

    def __init__(self) -> None:
        self.opened = 0
        self.closed: list[str] = []
        self.bytes: list[tuple[int, int]] = []
        self.refused: list[str] = []
        self.faults: list[str] = []
        self.admitted_by: list[str] = []
        self.drain_ends: list[float] = []

    def stream_opened(self) -> None:
        self.opened += 1

    def stream_closed(self, how: str, seconds: float, received: int, sent: int) -> None:
        self.closed.append(how)
        self.bytes.append((received, sent))

    def stream_refused(self, reason: str) -> None:
        self.refused.append(reason)

    def fault(self, where: str) -> None:
        self.faults.append(where)

    def admitted(self, answer: Admitted) -> None:
        self.admitted_by.append(answer.source)

    def draining(self, ends: float) -> None:
        self.drain_ends.append(ends)


class Memory:
    """Keeps records in a list. Those that are kept while `disk` is set have to wait for it."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.disk: asyncio.Future[None] | None = None

    def keep(self, record: Record) -> None:
        self.records.append(record)

    def durable(self, record: Record) -> asyncio.Future[None] | None:
        return self.disk

    def close(self) -> None: ...


async def harmless(model: Model, _: Sequence[str]) -> Result:
    """Score 0 for everything."""
    return Result(model.detector, {f"{model.detector}.unsafe": 0.0})


class Scores:
    """Answers every question with what `answer` says."""

    def __init__(self, answer: Callable[[Model, Sequence[str]], Awaitable[Result]] = harmless) -> None:
        self._answer = answer

    async def start(self) -> None: ...

    async def score(self, model: Model, texts: Sequence[str], prompt: str = "") -> Result:
        return await self._answer(model, texts)

    async def ready(self, model: Model) -> bool:
        return True

    async def close(self) -> None: ...

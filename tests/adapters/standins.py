"""Small real exchanges, a scorer and a sink, for tests of the driver: what they say is what the test chose."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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


class Memory:
    """Keeps records in a list."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def keep(self, record: Record) -> None:
        self.records.append(record)

    def close(self) -> None: ...


class Scores:
    """Answers every question with what `answer` says."""

    def __init__(self, answer: Callable[[Model, Sequence[str]], Result] | None = None) -> None:
        self._answer = answer or (lambda model, _: Result(model.detector, {f"{model.detector}.unsafe": 0.0}))

    async def start(self) -> None: ...

    async def score(self, model: Model, texts: Sequence[str]) -> Result:
        return self._answer(model, texts)

    async def ready(self, model: Model) -> bool:
        return True

    async def close(self) -> None: ...

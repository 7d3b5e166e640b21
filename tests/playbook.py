"""The language in which tests of an exchange are written: what happens (>>), and what is done about it (<<).

    book = Playbook(policy)
    book >> request(BODY) << Classify(1) ...

`Conversation` plays whole exchanges: it feeds chunks, answers every Classify at once (or in any order that a test
chooses), carries out timers that a test fires, and keeps what the client and the upstream would have seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from safeguards_extproc.core import account
from safeguards_extproc.core.account import NOBODY_KNOWN, Admission, Who
from safeguards_extproc.core.aside import Outcome
from safeguards_extproc.core.decision import Policy, Result
from safeguards_extproc.core.effects import (
    Admit,
    AnswerBody,
    Cancel,
    Classify,
    Effect,
    Keep,
    Offload,
    Refuse,
    SendBody,
    SendHeaders,
    SendTrailers,
    Wake,
)
from safeguards_extproc.core.events import (
    Aborted,
    Admitted,
    Body,
    BodyMode,
    Event,
    Headers,
    Offloaded,
    Opened,
    Scored,
    Trailers,
    Woke,
)
from safeguards_extproc.core.exchange import TURN, Exchange
from safeguards_extproc.core.record import Record
from safeguards_extproc.core.text import Direction, Wire
from tests.world import PLAIN_WIRE

REQUEST, RESPONSE = Direction.REQUEST, Direction.RESPONSE

Model = Callable[[str], dict[str, float]]
"""Scores of one text, by "detector.label"."""

Accounts = Callable[[Admission], account.Admitted]
"""The answer to an admission."""


def chunks(data: bytes, size: int) -> list[bytes]:
    """`data` cut into pieces of `size` bytes; 0 leaves it whole."""
    if not size:
        return [data]
    return [data[start : start + size] for start in range(0, len(data), size)] or [b""]


def request_headers(path: str = "/v1/chat/completions", *, end: bool = False, **extra: str) -> Headers:
    fields = {":method": "POST", ":path": path, ":authority": "models.test", "content-type": "application/json"}
    fields.update({name.replace("_", "-"): value for name, value in extra.items()})
    return Headers(REQUEST, fields, end, 1.0)


def response_headers(
    content_type: str = "application/json", *, status: int = 200, end: bool = False, **extra: str
) -> Headers:
    fields = {":status": str(status), "content-type": content_type}
    fields.update({name.replace("_", "-"): value for name, value in extra.items()})
    return Headers(RESPONSE, fields, end, 2.0)


@dataclass
class Seen:
    """One direction, as its receiver sees it."""

    headers: SendHeaders | None = None
    body: bytearray = field(default_factory=bytearray)
    ended: int = 0
    answers: int = 0


class Conversation:
    """An exchange with an Envoy that does what the real one does with our answers.

    What is to be done elsewhere is done at once; without `aside` it waits until `offloaded` is called. `model` scores
    texts; None leaves Classify unanswered until `answer` is called. `accounts` admit; None leaves Admit unanswered
    until `admitted` is called. Everything fed is kept in `log`.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        mode: BodyMode = BodyMode.DUPLEX,
        response_mode: BodyMode | None = None,
        silent: bool = False,
        aside: bool = True,
        model: Model | None = None,
        wire: Wire = PLAIN_WIRE,
        attributes: Mapping[str, str] | None = None,
        who: Who = NOBODY_KNOWN,
        accounts: Accounts | None = None,
    ) -> None:
        self.opened = Opened(mode, response_mode or mode, silent, attributes or {})
        self.exchange = Exchange(policy, wire, "exchange-1", self.opened, 1.0, who)
        self.accounts = accounts
        self.admission: Admission | None = None
        self.undecided = False
        self.model, self.aside = model, aside
        self.seen = {REQUEST: Seen(), RESPONSE: Seen()}
        self.refused: Refuse | None = None
        self.records: list[Record] = []
        self.wire = wire
        self.out: list[Classify] = []
        self.away: list[Offload] = []
        self.timers: list[str] = []
        self.cancelled: list[int] = []
        self.log: list[Event | Effect] = []
        self.now = 1.0
        self._unanswered: dict[Direction, list[bytes]] = {REQUEST: [], RESPONSE: []}

    @property
    def record(self) -> Record:
        """The one record."""
        assert len(self.records) == 1, f"{len(self.records)} records"
        return self.records[0]

    def feed(self, event: Event) -> list[Effect]:
        """Feed one event, and answer what it asks of the model."""
        self.now += 0.001
        event.at = self.now
        self.log.append(event)
        if isinstance(event, Body):
            self._unanswered[event.direction].append(event.data)
        effects = self.exchange.feed(event)
        for effect in effects:
            self._carry_out(effect)
        while self.away and self.aside:
            self.offloaded()
        if self.undecided and self.accounts is not None and self.admission is not None:
            self.admitted(self.accounts(self.admission))
        while TURN in self.timers:
            self.fire(TURN)
        if self.model is not None:
            while self.out:
                self.answer(self.out[0].ticket)
        return effects

    def answer(self, ticket: int, results: Sequence[Result] | None = None) -> list[Effect]:
        """Answer one Classify: with `results`, or as the model says."""
        asked = next(one for one in self.out if one.ticket == ticket)
        self.out.remove(asked)
        if results is None:
            assert self.model is not None
            results = [self._result(asked, model.detector) for model in asked.models]
        return self.feed(Scored(ticket, results))

    def offloaded(self, outcome: Outcome | None = None) -> list[Effect]:
        """Answer the first Offload: with `outcome`, or by doing what it says."""
        asked = self.away.pop(0)
        return self.feed(Offloaded(asked.direction, outcome or asked.task.run(self.wire)))

    def admitted(self, answer: account.Admitted) -> list[Effect]:
        """Answer the Admit."""
        assert self.undecided, "nobody asks"
        self.undecided = False
        return self.feed(Admitted(answer))

    def fire(self, timer: str) -> list[Effect]:
        """Let a timer go off."""
        self.timers.remove(timer)
        return self.feed(Woke(timer))

    def request(
        self, body: bytes, size: int = 0, *, path: str = "/v1/chat/completions", **headers: str
    ) -> Conversation:
        """Send a whole request, in chunks of `size` bytes."""
        self.feed(request_headers(path, **headers))  # type: ignore[arg-type]
        return self.send(REQUEST, chunks(body, size))

    def response(
        self, body: bytes, size: int = 0, *, content_type: str = "application/json", status: int = 200, **headers: str
    ) -> Conversation:
        """Answer it, in chunks of `size` bytes, unless it was refused."""
        if not self.refused:
            self.feed(response_headers(content_type, status=status, **headers))  # type: ignore[arg-type]
            self.send(RESPONSE, chunks(body, size))
        return self

    def stream(self, body: bytes, size: int = 0, **headers: str) -> Conversation:
        """Answer it with an event stream."""
        return self.response(body, size, content_type="text/event-stream", **headers)  # type: ignore[arg-type]

    def send(self, direction: Direction, pieces: Iterable[bytes], *, end: bool = True) -> Conversation:
        """Send chunks; Envoy sends nothing more of a direction that was refused or cut."""
        pieces = list(pieces)
        if self._mode(direction) is BodyMode.BUFFERED:
            pieces = [b"".join(pieces)]
        for number, piece in enumerate(pieces):
            if self.refused or (self.seen[direction].ended and self._mode(direction) is BodyMode.DUPLEX):
                break
            self.feed(Body(direction, piece, end and number == len(pieces) - 1))
        return self

    def trailers(self, direction: Direction) -> Conversation:
        self.feed(Trailers(direction))
        return self

    def abort(self, cause: str = "closed") -> Conversation:
        self.feed(Aborted(cause))
        return self

    def upstream_saw(self) -> bytes:
        return bytes(self.seen[REQUEST].body)

    def client_saw(self) -> bytes:
        """The body that the client has: ours if it was refused."""
        return self.refused.body if self.refused else bytes(self.seen[RESPONSE].body)

    def _mode(self, direction: Direction) -> BodyMode:
        return self.opened.request if direction is REQUEST else self.opened.response

    def _result(self, asked: Classify, detector: str) -> Result:
        assert self.model is not None
        scores: dict[str, float] = {}
        for text in asked.texts:
            for name, score in self.model(text).items():
                if name.startswith(f"{detector}."):
                    scores[name] = max(score, scores.get(name, 0.0))
        return Result(detector, scores, version="1")

    def _carry_out(self, effect: Effect) -> None:
        self.log.append(effect)
        match effect:
            case Keep():
                self.records.append(effect.record)
            case Admit():
                assert self.admission is None, "asked twice"
                assert not self.records, "asked after the record was kept"
                self.admission, self.undecided = effect.admission, True
            case Classify():
                self.out.append(effect)
            case Offload():
                assert all(other.direction is not effect.direction for other in self.away), "two at a time"
                self.away.append(effect)
            case Cancel():
                self.cancelled += effect.tickets
                self.out = [one for one in self.out if one.ticket not in effect.tickets]
            case Wake():
                if effect.timer not in self.timers:
                    self.timers.append(effect.timer)
            case Refuse():
                assert self.refused is None, "refused twice"
                assert self.seen[RESPONSE].headers is None or self.opened.response is BodyMode.BUFFERED
                self.refused = effect
            case SendHeaders():
                seen = self.seen[effect.direction]
                assert seen.headers is None, "headers twice"
                seen.headers = effect
            case SendBody():
                seen = self.seen[effect.direction]
                assert self._mode(effect.direction) is BodyMode.DUPLEX
                assert seen.headers is not None, "body before headers"
                assert not seen.ended, "after the end"
                assert len(effect.data) <= 62_000
                seen.body += effect.data
                seen.ended += effect.end
            case AnswerBody():
                seen = self.seen[effect.direction]
                assert self._mode(effect.direction) is not BodyMode.DUPLEX
                assert self._unanswered[effect.direction], "an answer to nothing"
                original = self._unanswered[effect.direction].pop(0)
                seen.body += original if effect.data is None else effect.data
                seen.answers += 1
            case SendTrailers():
                self.seen[effect.direction].ended += 1

    def owed(self, direction: Direction) -> int:
        """Body messages without an answer (paired modes)."""
        return len(self._unanswered[direction])

"""An exchange played again into the filter's core, without Envoy, network or clock: the same capture, the same verdict.

A capture's own times are the clock. Under the policy that the exchange was taken with, timers, answers and work done
elsewhere come exactly when they came; under another one, timers go off when they are due, and the answer of the
upstream begins once the request has been let go.

Models are answered for by what they said of the same window then. Of a window that they were not asked about nobody
knows what they would say: such questions go to whoever drives `play`, who may know a model to ask.
"""

from __future__ import annotations

import heapq
from bisect import bisect
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass

from safeguards_extproc.adapters import extproc
from safeguards_extproc.core import account
from safeguards_extproc.core.account import Identity
from safeguards_extproc.core.decision import Model, Policy, Result
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
    Offloaded,
    Opened,
    Scored,
    Woke,
)
from safeguards_extproc.core.exchange import TURN, Exchange
from safeguards_extproc.core.record import Record
from safeguards_extproc.core.taken import Answer, Message, Note, Taken, shown
from safeguards_extproc.core.text import Direction, Wire
from safeguards_extproc.errors import PeerError

EARLY, LATE = 1000, 1_000_000
"""Microseconds by which a timer may have gone off before and after it was due."""

TOGETHER = 1000
"""Microseconds within which chunks of an exchange of which nothing is noted count as one."""

_BEGIN = 1.0
"""Seconds of the core's clock at the first message."""

_LAST = 1 << 60
"""A place after all that was noted."""


@dataclass(slots=True)
class Asked:
    """A question that the capture does not answer."""

    texts: Sequence[str]
    model: Model
    prompt: str

    def __repr__(self) -> str:
        return f"Asked({self.model.detector}, {len(self.texts)} views)"


@dataclass(slots=True)
class Played:
    """What came of it. `unknown` is of how many windows the capture did not say what models make of them. `taken` is
    the exchange as a filter would have taken it that decided so, if that was wanted."""

    record: Record
    unknown: int = 0
    taken: Taken | None = None

    def __repr__(self) -> str:
        return f"Played({self.record.outcome}, {self.unknown} unknown)"


Play = Generator[Sequence[Asked], Sequence[Result], Played]
"""Yields questions, wants their results in the same order, and returns what came of it."""


def play(taken: Taken, policy: Policy, wire: Wire, *, recorded: bool = True, keep: bool = False) -> Play:
    """Play an exchange. Without `recorded` every question is asked; with `keep` there is `Played.taken`. PeerError if
    its first message cannot be read."""
    return (yield from _Play(taken, policy, wire, recorded=recorded, keep=keep).run())


def alone(play: Play, answer: Callable[[Asked], Result] | None = None) -> Played:
    """Play to the end; `answer` says what the capture does not, without it such a check is unavailable."""
    try:
        asked = next(play)
        while True:
            if answer is None:
                results = [Result(one.model.detector, failure="unavailable") for one in asked]
            else:
                results = [answer(one) for one in asked]
            asked = play.send(results)
    except StopIteration as stop:
        played: Played = stop.value
        return played


class _Recorded:
    """An `account.Who`: whom the record names, by the pseudonyms that it names them with."""

    wants: tuple[str, ...] = ()
    sketch: Callable[[str], int] | None = None

    def __init__(self, record: Record | None) -> None:
        names = {kind: name for kind, name in (record.identity if record else {}).items() if kind != "model"}
        token = record.request.features.get("token", "") if record else ""
        self._identity = Identity(names, {}, str(token))

    def identify(self, fields: Mapping[str, str], opened: Opened, told: Mapping[str, str]) -> Identity:
        return self._identity


@dataclass(slots=True)
class _Question:
    """A Classify, when it came, and what is known of its answer: how long it took then, and where it stood."""

    asked: Classify
    results: list[tuple[bytes, Result | None]]
    at: int
    took: int = 0
    place: int = -1


class _Play:
    def __init__(self, taken: Taken, policy: Policy, wire: Wire, *, recorded: bool, keep: bool) -> None:
        self._taken, self._policy, self._wire = taken, policy, wire
        self._kept = Taken(taken.id, taken.time, admitted=taken.admitted, expected=taken.expected) if keep else None
        self._places = 0
        record = taken.record
        self._exact = recorded and record is not None and record.policy == policy.digest and bool(taken.messages)
        self._messages = deque(message for message in taken.messages if message.from_envoy)
        self._due: list[tuple[int, int, int, Event]] = []
        self._count = 0
        self._now = self._place = self._shift = 0
        self._timers: dict[str, Woke] = {}
        self._ahead: extproc.Message | None = None
        self._unheard: list[Message] = []
        self._cancelled: set[int] = set()
        self._notes: defaultdict[tuple[str, str], deque[Note]] = defaultdict(deque)
        for note in taken.notes:
            self._notes[note.what, note.of if note.what in ("woke", "offloaded") else ""].append(note)
        self._known: dict[tuple[bytes, str], deque[tuple[Result, int, int]]] = {}
        if recorded:
            for answer in taken.answers:
                for digest, result in answer.results:
                    row = (result, answer.at - answer.asked, answer.place)
                    self._known.setdefault((digest, result.detector), deque()).append(row)
        moments = [note.place for note in taken.notes] + [answer.place for answer in taken.answers]
        timers = any(note.what == "woke" for note in taken.notes)
        self._marks = None if keep or (timers and not self._exact) else sorted(moments)
        self._span = self._spanned = 0  # microseconds from the first to the last of the chunks that are one event
        self._released = self._over = False
        self._ended: set[Direction] = set()
        self._asked: list[_Question] = []
        self._open: dict[int, _Question] = {}
        self._records: list[Record] = []
        self._played = Played(Record(taken.id))

    def run(self) -> Play:
        first = self._messages.popleft()
        opened, event = extproc.opened(first.raw)
        self._note(first)
        record = self._taken.record
        id = record.id if record is not None else self._taken.id
        exchange = Exchange(self._policy, self._wire, id, opened, _BEGIN, _Recorded(record))
        self._released = self._exact or opened.silent or opened.request is not BodyMode.DUPLEX
        next_: Event | None = event
        while next_ is not None:
            try:
                self._feed(exchange, next_)
                if self._records and exchange.finished:
                    break
                next_ = self._next()
                while next_ is None and self._asked:
                    yield from self._questions(self._unanswered())
                    next_ = self._next()
            except PeerError:
                self._feed(exchange, Aborted("error"))
                break
        if not self._records:
            self._note(Note(0, 0, "aborted", self._cause()))
            self._feed(exchange, Aborted(self._cause()))
        played = self._played
        played.record = self._records[0]
        if record is not None:
            for name in ("time", "region", "producer", "epoch", "sequence"):
                setattr(played.record, name, getattr(record, name))
        if self._kept is not None:
            self._kept.record, played.taken = played.record, self._kept
            self._kept.messages += [message._replace(place=-1) for message in (*self._unheard, *self._messages)]
        return played

    def _note(self, what: Message | Answer | Note) -> None:
        """Something happens now, after all that happened before."""
        kept = self._kept
        if kept is None:
            return
        found = what._replace(place=self._places, at=self._now)
        self._places += 1
        match found:
            case Message():
                kept.messages.append(found)
            case Answer():
                kept.answers.append(found)
            case Note():
                kept.notes.append(found)

    def _cause(self) -> str:
        """Why an exchange ended that was not over: what was noted, or that Envoy went away."""
        return next((note.of for note in self._taken.notes if note.what == "aborted"), "closed")

    def _next(self) -> Event | None:
        """The event that comes next; None if none does, until questions are answered."""
        while True:
            ahead = self._ahead or self._look()
            waits = ahead is not None and ahead.direction is Direction.RESPONSE and not self._released
            if ahead is not None and not waits:
                message = self._messages[0]
                at = message.at + self._shift
                if not self._due or (at, message.place) < self._due[0][:2]:
                    self._messages.popleft()
                    self._ahead, self._now, self._place = None, max(at, self._now), message.place
                    self._spanned, self._span = self._span, 0
                    self._note(message)
                    return ahead
            if not self._due or self._stands():
                return None
            at, place, _, found = heapq.heappop(self._due)
            if not self._current(found, at, place):
                continue
            self._now, self._place = at, place
            self._noted(found)
            if waits:
                self._shift = max(self._shift, at - self._messages[0].at)
            return found

    def _noted(self, found: Event) -> None:
        match found:
            case Scored(ticket):
                question = self._open.pop(ticket)
                said = [(digest, result) for digest, result in question.results if result is not None]
                self._note(Answer(0, question.at, 0, said))
            case Woke(timer) if timer != TURN:
                self._note(Note(0, 0, "woke", timer))
            case Offloaded(direction):
                self._note(Note(0, 0, "offloaded", direction.value))
            case Admitted():
                self._note(Note(0, 0, "admitted"))

    def _look(self) -> extproc.Message | None:
        """What Envoy would say next: after a refusal nothing, of a direction that was ended nothing more."""
        while self._messages:
            event = extproc.decode(self._messages[0].raw)
            heard = self._messages[0].place >= 0 if self._exact else event.direction not in self._ended
            if heard and not self._over:
                self._ahead = event
                if self._marks is not None and isinstance(event, Body):
                    self._join(event, self._marks)
                return event
            self._unheard.append(self._messages.popleft())
        return None

    def _join(self, body: Body, marks: Sequence[int]) -> None:
        """Add the chunks that follow at once: how a body was chunked changes no verdict."""
        first, chunks = self._messages.popleft(), [body.data]
        then = bisect(marks, first.place)
        since = marks[then - 1] if then else -1
        until = marks[then] if then < len(marks) else _LAST
        last = _LAST if marks else first.at + TOGETHER
        while not body.end and self._messages:
            message = self._messages[0]
            if message.at > last or not since <= message.place < until:
                break
            chunk = extproc.chunk(message.raw, body.direction)
            if chunk is None:
                break
            self._messages.popleft()
            chunks.append(chunk[0])
            body.end = chunk[1]
            self._span = message.at - first.at
        if len(chunks) > 1:
            body.data = b"".join(chunks)
        self._messages.appendleft(first)

    def _stands(self) -> bool:
        """Whether nothing but a timer comes next, and somebody waits for an answer: time does not pass meanwhile."""
        found = self._due[0][3]
        return not self._exact and bool(self._asked) and isinstance(found, Woke) and found.timer != TURN

    def _current(self, found: Event, at: int, place: int) -> bool:
        """Whether an event still comes: a timer may have been set anew, an answer may be wanted no more."""
        if isinstance(found, Scored):
            return found.ticket not in self._cancelled
        if isinstance(found, Woke) and found.timer != TURN:
            if self._timers.get(found.timer) is not found:
                return False
            del self._timers[found.timer]
            notes = self._notes["woke", found.timer]
            while notes and (notes[0].at, notes[0].place) <= (at, place):
                notes.popleft()
        return True

    def _feed(self, exchange: Exchange, event: Event) -> None:
        event.at = _BEGIN + self._now / 1e6
        for effect in exchange.feed(event):
            self._carry_out(effect)
        self._spanned = 0

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case SendBody() | SendHeaders() | AnswerBody() | SendTrailers() | Refuse():
                self._said(effect)
            case Classify():
                self._ask(effect)
            case Cancel(tickets):
                self._cancelled.update(tickets)
            case Offload(direction, task):
                self._later(Offloaded(direction, task.run(self._wire)), self._notes["offloaded", direction.value])
            case Admit():
                self._later(Admitted(self._taken.admitted or account.Admitted()), self._notes["admitted", ""])
            case Wake(timer, after_s):
                self._wake(timer, after_s)
            case Keep(record):
                self._records.append(record)

    def _said(self, effect: SendBody | SendHeaders | AnswerBody | SendTrailers | Refuse) -> None:
        if self._kept is not None:
            self._note(Message(0, 0, False, extproc.encode(effect)))
        match effect:
            case Refuse():
                self._over = True
            case SendHeaders(direction=Direction.REQUEST):
                self._released = True
            case SendBody(direction=direction, end=True):
                self._ended.add(direction)

    def _later(self, event: Event, notes: deque[Note]) -> None:
        """When it was then, and never if it never was; under another policy at once, ahead of Envoy's next message."""
        if not self._exact:
            self._push(self._now, self._place, event)
        elif notes:
            note = notes.popleft()
            self._push(note.at, note.place, event)

    def _push(self, at: int, place: int, event: Event) -> None:
        self._count += 1
        heapq.heappush(self._due, (max(at, self._now), place, self._count, event))

    def _wake(self, timer: str, after_s: float) -> None:
        event = Woke(timer)
        if timer == TURN:
            self._push(self._now, self._place, event)
            return
        self._timers[timer] = event
        due = self._now + round(after_s * 1e6)
        if not self._exact:
            self._push(due, _LAST, event)
            return
        latest = due + self._spanned + LATE
        note = next((note for note in self._notes["woke", timer] if due - EARLY <= note.at <= latest), None)
        if note is not None:
            self._push(note.at, note.place, event)

    def _ask(self, asked: Classify) -> None:
        """Answer from the capture what it says, and leave the rest to `_questions`."""
        plain = shown(asked.texts)
        pair = shown(asked.texts, asked.prompt) if asked.prompt else plain
        question = _Question(asked, [], self._now)
        for model in asked.models:
            digest = pair if model.exchange else plain
            rows = self._known.get((digest, model.detector))
            result = None
            if rows:
                result, took, place = rows.popleft() if self._exact or len(rows) > 1 else rows[0]
                question.took, question.place = max((took, place), (question.took, question.place))
            question.results.append((digest, result))
        if any(result is None for _, result in question.results):
            self._asked.append(question)
        else:
            self._answer(question)

    def _unanswered(self) -> list[_Question]:
        """Questions that somebody has to answer now: none while anything else may happen that makes them needless, and
        none of an exchange that ended before they were answered."""
        open_, self._asked = [each for each in self._asked if each.asked.ticket not in self._cancelled], []
        aborted = self._exact and any(note.what == "aborted" for note in self._taken.notes)
        return [] if aborted else open_

    def _questions(self, open_: Sequence[_Question]) -> Generator[Sequence[Asked], Sequence[Result], None]:
        wanted = [
            (question, number)
            for question in open_
            for number, (_, result) in enumerate(question.results)
            if result is None
        ]
        if not wanted:
            return
        answers = yield [
            Asked(question.asked.texts, model, question.asked.prompt if model.exchange else "")
            for question, number in wanted
            for model in (question.asked.models[number],)
        ]
        for (question, number), result in zip(wanted, answers, strict=True):
            question.results[number] = (question.results[number][0], result)
        self._played.unknown += len(open_)
        for question in open_:
            self._answer(question)

    def _answer(self, question: _Question) -> None:
        ticket = question.asked.ticket
        place = question.place if question.place >= 0 else self._place
        self._open[ticket] = question
        results = [result for _, result in question.results if result is not None]
        self._push(question.at + question.took, place, Scored(ticket, results))

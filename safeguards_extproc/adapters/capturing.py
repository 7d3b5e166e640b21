"""Takes exchanges down as they happen, for those who agreed, and has them kept.

The one rule: no stream ever waits for a capture. What is taken is held until the exchange is over, because only then is
it known whether it is wanted; encrypting and writing is a thread's. What cannot be held or written in time is dropped
and counted.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Thread
from typing import Protocol

from safeguards_extproc.core.effects import Classify
from safeguards_extproc.core.events import Aborted, Admitted, Event, Offloaded, Scored, Woke
from safeguards_extproc.core.exchange import TURN
from safeguards_extproc.core.record import Record
from safeguards_extproc.core.taken import Answer, Message, Note, Taken, shown

EVERYBODY = "*"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a policy lets be captured: exchanges of `tenants` (pseudonyms, or EVERYBODY) on `routes` (none is all), by
    chance a `share` of them, and each in which one of `rules` took part. They may be read for `keep_s`; one of more
    than `exchange_bytes` is not captured."""

    tenants: frozenset[str]
    routes: frozenset[str] = frozenset()
    share: float = 0.0
    rules: frozenset[str] = frozenset()
    keep_s: float = 7 * 86_400.0
    exchange_bytes: int = 4 << 20

    def want(self, record: Record, *, drawn: bool) -> bool:
        """Whether the exchange is captured, if it was `drawn` or not."""
        if EVERYBODY not in self.tenants and record.identity.get("tenant") not in self.tenants:
            return False
        if self.routes and record.route not in self.routes:
            return False
        fired = (*record.request.fired, *record.response.fired)
        return drawn or any(each.rule in self.rules for each in fired)


class Keeper(Protocol):
    """Keeps what was taken. Used from one thread."""

    def keep(self, taken: Taken, keep_s: float) -> str:
        """Write it; "kept", or why it was not: "full" or "disk". Never raises."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class CaptureLimits:
    """Bytes of messages that are held of exchanges under way, and that wait to be written."""

    held_bytes: int = 64 << 20
    waiting_bytes: int = 64 << 20


@dataclass(slots=True)
class _Open:
    """A window that models were asked about."""

    asked: Classify
    at: float


class Taking:
    """One exchange, taken down. Told all that happens to it, in order; times are the loop's."""

    __slots__ = ("_answers", "_at", "_capturing", "_drawn", "_open", "_places", "_record", "_taken", "_terms", "size")

    def __init__(self, capturing: Capturing, terms: Terms, at: float, *, drawn: bool) -> None:
        self._capturing, self._terms, self._at, self._drawn = capturing, terms, at, drawn
        self._taken: Taken | None = Taken("")
        self._open: dict[int, _Open] = {}
        self._answers: list[tuple[int, _Open, Scored]] = []
        self._record: Record | None = None
        self._places = self.size = 0

    def took(self, raw: bytes, at: float) -> None:
        """What Envoy said."""
        self._message(raw, at, from_envoy=True)

    def gave(self, raw: bytes, at: float) -> None:
        """What Envoy was told."""
        self._message(raw, at, from_envoy=False)

    def asked(self, effect: Classify, at: float) -> None:
        """Models were asked about a window."""
        if self._taken is not None:
            self._open[effect.ticket] = _Open(effect, at)

    def heard(self, event: Event) -> None:
        """Something happened between messages."""
        taken = self._taken
        if taken is None:
            return
        match event:
            case Scored(ticket) if ticket in self._open:
                self._answers.append((self._place(), self._open.pop(ticket), event))
            case Woke(timer) if timer != TURN:
                self._note("woke", event.at, timer)
            case Offloaded(direction):
                self._note("offloaded", event.at, direction.value)
            case Admitted(answer):
                self._note("admitted", event.at)
                taken.admitted = answer
            case Aborted(cause):
                self._note("aborted", event.at, cause)

    def kept(self, record: Record) -> None:
        """What was decided, once it bears its name and number."""
        self._record = record

    def over(self) -> None:
        """Nothing happens any more."""
        if self._taken is None:
            return
        if self._record is None or not self._terms.want(self._record, drawn=self._drawn):
            self._drop("unwanted")
        elif not self._capturing.hand_over(self, self._terms.keep_s):
            self._drop("behind")

    def taken(self) -> Taken:
        """All of it; digests of windows are worked out here, off the loop."""
        taken = self._taken or Taken("")
        for place, open_, scored in self._answers:
            asked = open_.asked
            results = [
                (shown(asked.texts, asked.prompt if model.exchange else ""), result)
                for model, result in zip(asked.models, scored.results, strict=False)
            ]
            taken.answers.append(Answer(place, self._since(open_.at), self._since(scored.at), results))
        if self._record is not None:
            taken.id, taken.time, taken.record = self._record.id, self._record.time, self._record
        return taken

    def _message(self, raw: bytes, at: float, *, from_envoy: bool) -> None:
        taken = self._taken
        if taken is None:
            return
        self.size += len(raw)
        taken.messages.append(Message(self._place(), self._since(at), from_envoy, raw))
        if reason := self._capturing.holds(len(raw), self.size, self._terms):
            self._drop(reason)

    def _note(self, what: str, at: float, of: str = "") -> None:
        if self._taken is not None:
            self._taken.notes.append(Note(self._place(), self._since(at), what, of))

    def _place(self) -> int:
        self._places += 1
        return self._places - 1

    def _since(self, at: float) -> int:
        return round((at - self._at) * 1e6)

    def _drop(self, reason: str) -> None:
        """Hold nothing of it any more."""
        if self._taken is not None:
            self._taken = None
            self._open, self._answers = {}, []
            self._capturing.let_go(self.size, reason)


@dataclass(slots=True, eq=False)
class Capturing:
    """What a worker takes down, on its loop. `terms` are those of the policy in force, None where it lets nothing be
    captured. `count` is told what becomes of each exchange that was begun: "kept", "unwanted", or why it was dropped:
    "too-large" (of itself), "held" (all together), "behind" (writing), "full" or "disk"."""

    terms: Callable[[], Terms | None]
    keeper: Keeper
    count: Callable[[str], None]
    limits: CaptureLimits = CaptureLimits()
    held: int = 0
    waiting: int = 0
    _queue: SimpleQueue[tuple[Taking, float] | None] = field(default_factory=SimpleQueue)
    _done: SimpleQueue[tuple[int, str]] = field(default_factory=SimpleQueue)
    _thread: Thread | None = None

    def begin(self, opened: bytes, at: float) -> Taking | None:
        """Begin with an exchange's first message, unless it will not be wanted whatever becomes of it."""
        terms = self.terms()
        if terms is None:
            return None
        self._settle()
        drawn = random.random() < terms.share  # noqa: S311 (a sample, no secret)
        if not drawn and not terms.rules:
            return None
        taking = Taking(self, terms, at, drawn=drawn)
        taking.took(opened, at)
        return taking

    def holds(self, more: int, size: int, terms: Terms) -> str:
        """Hold `more` bytes of an exchange that then has `size`; "" or why it cannot be held on to."""
        self.held += more
        if size > terms.exchange_bytes:
            return "too-large"
        return "held" if self.held > self.limits.held_bytes else ""

    def let_go(self, size: int, reason: str) -> None:
        """Hold an exchange no more."""
        self.held -= size
        self.count(reason)

    def hand_over(self, taking: Taking, keep_s: float) -> bool:
        """Have an exchange written that is over, unless too much waits for that."""
        self._settle()
        if self.waiting + taking.size > self.limits.waiting_bytes:
            return False
        self.held -= taking.size
        self.waiting += taking.size
        if self._thread is None:
            self._thread = Thread(target=self._write, name="captures", daemon=True)
            self._thread.start()
        self._queue.put((taking, keep_s))
        return True

    def close(self) -> None:
        """Write what waits, and end."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None
        self._settle()
        self.keeper.close()

    def _settle(self) -> None:
        """Count what the thread has done."""
        while not self._done.empty():
            size, result = self._done.get()
            self.waiting -= size
            self.count(result)

    def _write(self) -> None:
        while (handed := self._queue.get()) is not None:
            taking, keep_s = handed
            self._done.put((taking.size, self.keeper.keep(taking.taken(), keep_s)))

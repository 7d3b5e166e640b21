"""Records against what Envoy says itself: its access log, and its counters.

The one rule: every request has one record, or a gap is named. Nothing here reads files or clocks: what was logged, kept
and counted is told, with the time at which it was learned, and `due` gives the gaps that have had their time to close.
"""

from __future__ import annotations

import enum
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from safeguards_extproc.core.record import Record
from safeguards_extproc.records.access_log import Line

NAMED = 10
"""Ids that a gap names; it counts the others."""

REMEMBERED = 200_000
"""Pairs of line and record that are remembered, so that a second of either is noticed."""


class Kind(enum.StrEnum):
    """What a gap is."""

    MISSING = "missing"  # Envoy logged an exchange with an id of ours, and no record has it
    UNSEEN = "unseen"  # Envoy logged a request that no filter gave an id
    UNLOGGED = "unlogged"  # a record of an exchange that Envoy did not log
    DOUBLED = "doubled"  # two records of one exchange
    LOST = "lost"  # numbers that no record of a life of a producer has
    UNCOUNTED = "uncounted"  # Envoy counted more requests than there are records and lines


@dataclass(frozen=True, slots=True)
class Counters:
    """What Envoy counted since it started. `completed` and `active` are requests; `notes` are counters that say what
    went wrong."""

    completed: int
    active: int
    notes: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Gap:
    """Requests of one kind and cause. `ids` are the first of them, `first` and `last` their times at either end."""

    kind: Kind
    why: str
    count: int = 0
    ids: list[str] = field(default_factory=list)
    first: str = ""
    last: str = ""

    def add(self, id: str, time: str, count: int = 1) -> None:
        self.count += count
        if id and len(self.ids) < NAMED:
            self.ids.append(id)
        if time:
            self.first = min(self.first or time, time)
            self.last = max(self.last, time)


Life = tuple[str, str]
"""A producer and an epoch."""


class Elsewhere(Protocol):
    """Where records may be that were never told: in the store, sealed between two looks."""

    def ids(self, ids: Sequence[str]) -> set[str]:
        """Those of the ids that a record has."""
        ...

    def numbers(self, producer: str, epoch: str, first: int, last: int) -> set[int]:
        """Those of the numbers that a record of this life has."""
        ...


@dataclass(slots=True)
class Totals:
    """What was told so far. `first` and `last` are the times of the earliest and the latest line."""

    lines: int = 0
    records: int = 0
    gaps: int = 0
    first: str = ""
    last: str = ""


@dataclass(slots=True)
class _Waiting:
    """Something that lacks its counterpart, until a time."""

    until: float
    time: str
    why: str = ""


class Reconciliation:
    """A gap is named when it is `grace_s` old. Both may begin in the middle: a record that is told with `before`
    needs no line. Without `logs` none does."""

    def __init__(self, grace_s: float, elsewhere: Elsewhere, *, logs: bool = True) -> None:
        self._grace, self._elsewhere, self._logs = grace_s, elsewhere, logs
        self._lines: dict[str, _Waiting] = {}
        self._records: dict[str, _Waiting] = {}
        self._unseen: deque[Line] = deque()
        self._paired: OrderedDict[str, bool] = OrderedDict()  # whether a record has the id
        self._doubled: list[tuple[str, str]] = []
        self._numbers = _Numbers()
        self._counting = _Counting()
        self.totals = Totals()

    def logged(self, line: Line, at: float) -> None:
        """Envoy wrote a line."""
        totals = self.totals
        totals.lines += 1
        totals.first, totals.last = min(totals.first or line.time, line.time), max(totals.last, line.time)
        if not line.id:
            self._counting.known += 1
            self._unseen.append(line)
        elif self._records.pop(line.id, None) is not None:
            self._pair(line.id)
        elif line.id not in self._paired:
            self._counting.known += 1
            self._lines[line.id] = _Waiting(at + self._grace, line.time, line.why)

    def recorded(self, record: Record, at: float, *, before: bool = False) -> None:
        """A record was kept. One that was told before, because it lies in two places, is passed over."""
        if not self._numbers.add((record.producer, record.epoch), record.sequence, at + self._grace):
            return
        self.totals.records += 1
        if self._paired.get(record.id) or record.id in self._records:
            self._doubled.append((record.id, record.time))
        elif self._lines.pop(record.id, None) is not None or record.id in self._paired or before:
            self._pair(record.id)
        else:
            self._counting.known += 1
            if self._logs:
                self._records[record.id] = _Waiting(at + self._grace, record.time)
            else:
                self._pair(record.id)

    def counted(self, counters: Counters) -> None:
        """Envoy was asked for its counters, and then what it logged and what was kept was told."""
        self._counting.look(counters)

    def due(self, at: float) -> list[Gap]:
        """The gaps that have become old enough, each once, those of one cause together."""
        found: dict[tuple[Kind, str], Gap] = {}

        def add(kind: Kind, why: str, id: str, time: str, count: int = 1) -> None:
            found.setdefault((kind, why), Gap(kind, why)).add(id, time, count)

        while self._unseen:
            line = self._unseen.popleft()
            add(Kind.UNSEEN, line.why, "", line.time)
        for id, time in self._doubled:
            add(Kind.DOUBLED, "two records have its id", id, time)
        self._doubled.clear()
        self._missing(at, add)
        for id, record in _old(self._records, at):
            add(Kind.UNLOGGED, "Envoy logged no request with its id", id, record.time)
            self._pair(id)
        for passed in self._numbers.due(at):
            producer, epoch = passed.life
            there = self._elsewhere.numbers(producer, epoch, passed.first, passed.last)
            if not self._logs:
                self._counting.known += len(there)
            if lost := passed.last - passed.first + 1 - len(there):
                add(Kind.LOST, f"{producer} {epoch}, between {passed.first} and {passed.last}", "", "", lost)
        more, notes = self._counting.due(at, self._grace)
        if more:
            add(Kind.UNCOUNTED, f"Envoy's counters: {notes}", "", "", more)
        self.totals.gaps += sum(gap.count for gap in found.values())
        return list(found.values())

    def _missing(self, at: float, add: Callable[[Kind, str, str, str], None]) -> None:
        lines = dict(_old(self._lines, at))
        there = self._elsewhere.ids(list(lines)) if lines else set()
        for id, line in lines.items():
            self._pair(id, recorded=id in there)
            if id not in there:
                add(Kind.MISSING, line.why, id, line.time)

    def _pair(self, id: str, *, recorded: bool = True) -> None:
        self._paired[id] = recorded
        if len(self._paired) > REMEMBERED:
            self._paired.popitem(last=False)


def _old(waiting: dict[str, _Waiting], at: float) -> Iterator[tuple[str, _Waiting]]:
    """Take out what has waited long enough; what came first is first."""
    while waiting:
        id = next(iter(waiting))
        if waiting[id].until > at:
            return
        yield id, waiting.pop(id)


@dataclass(slots=True)
class _Passed:
    """Numbers of a life that were passed over, which may still come until a time."""

    life: Life
    first: int
    last: int
    until: float


class _Numbers:
    """Which numbers of a life came, from the first that was told."""

    def __init__(self) -> None:
        self._first: dict[Life, int] = {}
        self._highest: dict[Life, int] = {}
        self._passed: list[_Passed] = []

    def add(self, life: Life, number: int, until: float) -> bool:
        """Whether the number is a new one."""
        highest = self._highest.get(life)
        if highest is None:
            self._first[life] = self._highest[life] = number
        elif number > highest:
            if number > highest + 1:
                self._passed.append(_Passed(life, highest + 1, number - 1, until))
            self._highest[life] = number
        elif number >= self._first[life]:
            return self._late(life, number)
        return True

    def due(self, at: float) -> list[_Passed]:
        """The numbers that did not come in time, each once."""
        old = [passed for passed in self._passed if passed.until <= at]
        self._passed = [passed for passed in self._passed if passed.until > at]
        return old

    def _late(self, life: Life, number: int) -> bool:
        for index, passed in enumerate(self._passed):
            if passed.life == life and passed.first <= number <= passed.last:
                parts = (replace(passed, last=number - 1), replace(passed, first=number + 1))
                self._passed[index : index + 1] = [part for part in parts if part.first <= part.last]
                return True
        return False


class _Counting:
    """Requests that Envoy counted, less those that its log or a record tells of. Its log is some seconds late, so what
    counts is the least difference of a whole while. Requests that were active at the first look may be known from
    before it."""

    def __init__(self) -> None:
        self.known = 0
        self._first: Counters | None = None
        self._last: Counters | None = None
        self._known_at_first = self._named = 0
        self._differences: deque[tuple[float, int]] = deque()

    def look(self, counters: Counters) -> None:
        """Envoy was asked."""
        if self._first is None or self._last is None or counters.completed < self._last.completed:
            self._first, self._known_at_first, self._named = counters, self.known, counters.active
            self._differences.clear()
        self._last = counters

    def due(self, at: float, while_s: float) -> tuple[int, str]:
        """How many more requests nobody tells of than were named before, and what else Envoy has counted since the
        first look."""
        if self._first is None or self._last is None:
            return 0, ""
        looks = self._differences
        counted = self._last.completed - self._first.completed
        looks.append((at, counted - (self.known - self._known_at_first)))
        while len(looks) > 1 and looks[1][0] <= at - while_s:
            looks.popleft()
        if looks[0][0] > at - while_s:
            return 0, ""
        more = min(difference for _, difference in looks) - self._named
        if more <= 0:
            return 0, ""
        self._named += more
        since = {name: value - self._first.notes.get(name, 0) for name, value in self._last.notes.items()}
        return more, ", ".join(f"{name} {value}" for name, value in since.items() if value) or "nothing else"

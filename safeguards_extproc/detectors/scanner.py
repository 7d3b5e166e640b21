"""One engine for every table of patterns: rows of RE2 expressions, each with a check.

All rows are one sieve, so that text without a match costs one pass of a finite automaton; only rows that may match are
looked at again. RE2 runs in time linear in the text, whatever the pattern.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import re2  # type: ignore[import-untyped]

from safeguards_extproc.core.decision import Findings, Span
from safeguards_extproc.detectors.expression import Expression
from safeguards_extproc.detectors.prefixes import beginnings
from safeguards_extproc.detectors.sieve import MEMORY, Sieve, relaxed
from safeguards_extproc.errors import ConfigError

UNION = 20_000
"""Characters of beginnings that are compiled as one expression."""

CACHED = 64
"""Sets of entities whose union of beginnings is kept compiled."""


@dataclass(frozen=True, slots=True)
class Row:
    """One form of an entity.

    `core` is what is marked, if `before` and `after` match around it: these two may hold no capturing groups, and
    `after` may only look at what follows. `check` is given the core and says how many of its characters, from its
    first, are the entity: 0 for none. `score` is what a hit is worth.
    """

    entity: str
    core: str
    before: str = ""
    after: str = ""
    check: Callable[[str], int] | None = None
    score: float = 1.0


@dataclass(frozen=True, slots=True)
class _Compiled:
    row: Row
    expression: Expression
    begun: str | None
    longest: int | None


class Scanner:
    """A detector made of rows."""

    def __init__(self, name: str, rows: Sequence[Row]) -> None:
        """Raises ConfigError, without a place, where the rows together are too large for RE2."""
        self.name = name
        self.entities = frozenset(row.entity for row in rows)
        self.scores = frozenset(f"{name}.{entity}" for entity in self.entities)
        self._rows = [compile_row(row) for row in rows]
        self._none = dict.fromkeys(sorted(self.scores), 0.0)
        self._nothing = Findings(self._none, ())
        self._tails: dict[frozenset[str], tuple[list[Expression], int | None]] = {}
        self.patterns = tuple(relaxed(_pattern(compiled.row)) for compiled in self._rows)
        try:
            self._sieve = Sieve(self.patterns)
            self._beginnings(self.entities)
        except re2.error as error:
            raise ConfigError("the patterns together are too large", hint="use fewer or shorter ones") from error

    def __repr__(self) -> str:
        return f"Scanner({self.name}, {len(self._rows)} rows)"

    def find(self, text: str, views: Sequence[str] = ()) -> Findings:
        """See Detector.find."""
        data = text.encode("utf-8", "surrogatepass")
        hits = self._sieve.may(data)
        if not hits and (not views or (len(views) == 1 and views[0] == text)):
            return self._nothing
        scores = dict(self._none)
        marks: list[tuple[int, int, str, float]] = []
        for index in hits:
            compiled = self._rows[index]
            entity = compiled.row.entity
            before = len(marks)
            marks.extend((start, end, entity, compiled.row.score) for start, end in _matches(compiled, data))
            if len(marks) > before:
                self._raise(scores, compiled.row)
        for view in views:
            if view != text:
                self._look(view, scores)
        if not marks and scores == self._none:
            return self._nothing
        return Findings(scores, _spans(marks, data, text))

    def tail(self, text: str, entities: frozenset[str]) -> int:
        """See Detector.tail."""
        expressions, longest = self._tails[entities] if entities in self._tails else self._beginnings(entities)
        if not expressions:
            return 0
        at = 0
        if longest is not None and len(text) > longest:
            # The search begins one character later, so that the cut does not look like the start of the text.
            text = text[-longest - 1 :]
            at = len(text[0].encode("utf-8", "surrogatepass"))
        data = text.encode("utf-8", "surrogatepass")
        begun = [start for expression in expressions if (start := expression.span(data, at)[0]) >= 0]
        return len(data[min(begun) :].decode("utf-8", "surrogatepass")) if begun else 0

    def _raise(self, scores: dict[str, float], row: Row) -> None:
        name = f"{self.name}.{row.entity}"
        scores[name] = max(scores[name], row.score)

    def _look(self, view: str, scores: dict[str, float]) -> None:
        """Score a view: a row that could raise nothing is not looked at."""
        data = view.encode("utf-8", "surrogatepass")
        for index in self._sieve.may(data):
            compiled = self._rows[index]
            row = compiled.row
            if scores[f"{self.name}.{row.entity}"] < row.score and any(True for _ in _matches(compiled, data)):
                self._raise(scores, row)

    def _beginnings(self, entities: frozenset[str]) -> tuple[list[Expression], int | None]:
        chosen = [c for c in self._rows if c.begun is not None and (c.row.entity in entities or "*" in entities)]
        unions: list[list[str]] = []
        room = 0
        for pattern in dict.fromkeys(f"{c.row.before}{c.begun}" for c in chosen):
            if room < len(pattern):
                unions.append([])
                room = UNION
            unions[-1].append(pattern)
            room -= len(pattern)
        lengths = [c.longest for c in chosen]
        longest = None if None in lengths else max((length for length in lengths if length is not None), default=0) + 2
        known = [Expression(f"(?:{'|'.join(union)})\\z", MEMORY) for union in unions], longest
        if len(self._tails) >= CACHED:
            self._tails.clear()
        self._tails[entities] = known
        return known


def compile_row(row: Row) -> _Compiled:
    """Raises ConfigError with RE2's message where the pattern is wrong."""
    try:
        # Alone first: "a)(b" must not become well-formed by the parentheses put around it.
        Expression(row.core)
        expression = Expression(_pattern(row))
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        message = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise ConfigError(f"not a regular expression of RE2: {message}") from error
    begun = beginnings(row.core)
    context = 0 if not row.before else beginnings(row.before).longest
    longest = None if begun.longest is None or context is None else begun.longest + context
    return _Compiled(row, expression, begun.pattern, longest)


def _pattern(row: Row) -> str:
    return f"{row.before}({row.core}){row.after}"


def _matches(compiled: _Compiled, data: bytes) -> Iterator[tuple[int, int]]:
    """Places in `data`, in bytes, that the row accepts: the leftmost, then the next after it.

    After a candidate that the check refuses the search goes on within it.
    """
    spans, check = compiled.expression.spans, compiled.row.check
    at = 0
    while at < len(data):
        (whole, _), (start, end), *_ = spans(data, at)
        if whole < 0:
            return
        if check is not None and start < end:
            core = data[start:end].decode("utf-8", "surrogatepass")
            length = check(core)
            if length < len(core):
                end = start + len(core[:length].encode("utf-8", "surrogatepass"))
        if start < end:
            yield start, end
            at = end
        else:
            at = whole + 1


def _spans(marks: list[tuple[int, int, str, float]], data: bytes, text: str) -> Sequence[Span]:
    """In order and without overlap: the longer mark keeps the shared part, the shorter one what is left of it, so that
    no marked character is lost. Of two in the same place the surer one is kept."""
    marks.sort(key=lambda mark: (mark[0], -mark[1], -mark[3]))
    kept: list[tuple[int, int, str]] = []
    for start, end, entity, _ in marks:
        while kept and start < kept[-1][1]:
            first, last, other = kept[-1]
            if end <= last:
                break
            if end - start > last - first:
                kept.pop()
                if first < start:
                    kept.append((first, start, other))
            else:
                start = last
        else:
            kept.append((start, end, entity))
    if len(data) == len(text):
        return [Span(*mark) for mark in kept]
    spans, byte, char = [], 0, 0
    for start, end, entity in kept:
        first = char + len(data[byte:start].decode("utf-8", "surrogatepass"))
        char, byte = first + len(data[start:end].decode("utf-8", "surrogatepass")), end
        spans.append(Span(first, char, entity))
    return spans

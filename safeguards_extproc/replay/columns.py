"""The columns of a table of records (records/table.py) as a policy's SQL reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from safeguards_extproc.core.text import Direction, Kind
from safeguards_extproc.policy.cel import Type
from safeguards_extproc.policy.sql import NULL, literal
from safeguards_extproc.records import table
from safeguards_extproc.records.query import column as quoted
from safeguards_extproc.replay.facts import RESTRICTED

TYPES = {"BIGINT": Type.INT, "DOUBLE": Type.DOUBLE, "VARCHAR": Type.STRING, "BOOLEAN": Type.BOOL}
"""DuckDB's types of features, as the language calls them."""


_ITEM = "item"
_KNOWN, _SCORES, _FAILED = (quoted(f"response.item_facts.{name}") for name in ("known", "scores", "failed"))


@dataclass(frozen=True, slots=True)
class Columns:
    """policy.asks.Row of one direction; `types` are the columns that there are."""

    direction: Direction
    types: Mapping[str, str]

    def heard(self, kind: Kind) -> str:
        return self._column(table.kind_column(self.direction, kind), "FALSE")

    def score(self, kind: Kind, name: str) -> str:
        return self._column(table.score_column(self.direction, kind, name))

    def feature(self, name: str) -> tuple[str, Type] | None:
        column = table.feature_column(self.direction, name)
        return (quoted(column), TYPES[self.types[column]]) if column in self.types else None

    def failed(self, detector: str) -> str:
        return self._column(table.failed_column(self.direction, detector))

    def skipped(self, detector: str) -> str:
        return self._column(table.skipped_column(self.direction, detector))

    @property
    def uninspectable(self) -> str:
        return quoted(f"{self.direction}.account.uninspectable")

    @property
    def step(self) -> str:
        return quoted("account")

    @property
    def restricted(self) -> str:
        return f"(len(list_filter({quoted('request.fired')}, lambda f: f.rule = {literal(RESTRICTED)})) > 0)"

    def over(self, limit: str) -> str:
        return f"(len(list_filter(limits, lambda l: NOT l.allowed AND l.name = {literal(limit)})) > 0)"

    @property
    def lists(self) -> bool:
        """Whether there are the columns: files of early versions lack them."""
        return self.types.keys() >= table.LATER

    @property
    def listed(self) -> str:
        return f"(coalesce({_KNOWN}, '') <> '')" if self.lists else "FALSE"

    @property
    def outside(self) -> Within:
        return Within(self, "-1")

    def lists_of(self, names: Iterable[str], detectors: Iterable[str]) -> Mapping[str, str]:
        """Columns that `outside` and `item` read, and what they are made of. They come first: what is within an item's
        expression is worked out for each item, and to look a name up in a map takes most of the time."""
        if not self.lists:
            return {}
        found = {_failed(detector): f"{_FAILED}[{literal(detector)}]" for detector in detectors}
        for kind in (each for each in Kind if self.heard(each) != "FALSE"):
            of = f"{_SCORES}[{literal(kind.value)}]"
            found[_items(kind)] = f"{of}.items"
            found |= {_numbers(kind, name): f"{of}.scores[{literal(name)}]" for name in names}
        return found

    @property
    def item(self) -> Within:
        return Within(self, _ITEM)

    def first_item(self, code: str) -> str:
        """As facts.facts has it: items are known where each was judged by itself."""
        if not self.lists:
            return NULL
        codes = f"list_transform(range({quoted('response.items.listed')}), lambda {_ITEM}: {code})"
        return f"CASE WHEN {_KNOWN} = 'all' THEN list_filter({codes}, lambda c: c IS NOT NULL)[1] END"

    def _column(self, name: str, missing: str = NULL) -> str:
        return quoted(name) if name in self.types else missing


@dataclass(frozen=True, slots=True)
class Within:
    """policy.asks.Text of one item of an answer's list, or of what is in none. `at` is its position, as SQL. The answer
    has every kind of text and every score that one of its items has."""

    answer: Columns
    at: str

    def heard(self, kind: Kind) -> str:
        there = self.answer.lists and self.answer.heard(kind) != "FALSE"
        return f"list_contains({_items(kind)}, {self.at})" if there else "FALSE"

    def score(self, kind: Kind, name: str) -> str:
        if not self.answer.lists or self.answer.score(kind, name) == NULL:
            return NULL
        place = f"list_position({_items(kind)}, {self.at})"
        return f"nullif({_numbers(kind, name)}[{place}], CAST(-1 AS DOUBLE))"

    def feature(self, name: str) -> tuple[str, Type] | None:
        return self.answer.feature(name)

    def failed(self, detector: str) -> str:
        if not self.answer.lists:
            return NULL
        return f"(CASE WHEN list_contains({_failed(detector)}, {self.at}) THEN '' END)"

    def skipped(self, detector: str) -> str:
        return NULL


def _items(kind: Kind) -> str:
    return quoted(f"items {kind}")


def _numbers(kind: Kind, name: str) -> str:
    return quoted(f"items {kind} {name}")


def _failed(detector: str) -> str:
    return quoted(f"items without {detector}")

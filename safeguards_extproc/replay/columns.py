"""The columns of a table of records (records/table.py) as a policy's SQL reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from safeguards_extproc.core.text import Direction, Kind
from safeguards_extproc.policy.cel import Type
from safeguards_extproc.policy.sql import NULL, literal
from safeguards_extproc.records import table
from safeguards_extproc.records.query import column as quoted
from safeguards_extproc.replay.facts import RESTRICTED

TYPES = {"BIGINT": Type.INT, "DOUBLE": Type.DOUBLE, "VARCHAR": Type.STRING, "BOOLEAN": Type.BOOL}
"""DuckDB's types of features, as the language calls them."""


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

    def _column(self, name: str, missing: str = NULL) -> str:
        return quoted(name) if name in self.types else missing

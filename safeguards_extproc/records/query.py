"""Questions to sealed records, in SQL.

The one rule: nobody who asks can change anything. One SELECT is run, by a DuckDB in memory that can open the store's
files, writes nothing and forgets its settings' keys; the table is called `records`, and `ts` is a record's time as a
TIMESTAMP in UTC. table.py says what the other columns are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from safeguards_extproc.core.decision import TERMINAL, Action
from safeguards_extproc.core.record import Record
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.records import sealed, table
from safeguards_extproc.records.stores import Store

_READ_AT_ONCE = 16

TS = "try_cast(time AS TIMESTAMP) AS ts"


@dataclass(frozen=True, slots=True)
class Span:
    """Which records are looked at: of times in [since, until), written as records write theirs, and of a region."""

    since: str = ""
    until: str = ""
    region: str | None = None


EVERYTHING = Span()


class Records:
    """The records of a store as they were when it was opened. A context manager. OSError if the store cannot be read,
    ConfigError if DuckDB cannot read what lies there."""

    def __init__(self, store: Store, span: Span = EVERYTHING) -> None:
        hours = sealed.hours(store, span.since, span.until, span.region)
        files = [file for hour in hours for file in sealed.files(store, hour)]
        self._connection = duckdb.connect(":memory:")
        try:
            _offer(self._connection, store, files, span)
        except duckdb.Error as error:
            self._connection.close()
            raise ConfigError(_first(error), where=store.url) from None
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Records:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(self, sql: str, values: Sequence[Any] = ()) -> Answer:
        """The answer to one SELECT; `?` in it stand for `values`. ConfigError if it is not one, or is wrong."""
        try:
            statements = duckdb.extract_statements(sql)
        except duckdb.Error as error:
            raise ConfigError(_first(error), where="sql") from None
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise ConfigError("is not one SELECT", where="sql", hint="records can be read, and nothing else done here")
        try:
            found = self._connection.execute(statements[0], list(values) or None)
            return Answer([str(column[0]) for column in found.description or []], found)
        except duckdb.Error as error:
            raise ConfigError(_first(error), where="sql") from None

    def find(self, id: str) -> Iterator[Record]:
        """The records of an id; there should be one."""
        return map(table.to_record, self.ask("SELECT * FROM records WHERE id = ?", [id]))

    def latest(self, rows: int) -> list[Record]:
        """The latest records, the oldest of them first."""
        found = self.ask("SELECT * FROM records ORDER BY time DESC, producer, sequence DESC LIMIT ?", [rows])
        return [table.to_record(row) for row in found][::-1]


class Answer:
    """Rows, as they come."""

    def __init__(self, columns: list[str], found: duckdb.DuckDBPyConnection) -> None:
        self.columns, self._found = columns, found

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while rows := self._found.fetchmany(1000):
            for row in rows:
                yield dict(zip(self.columns, row, strict=True))


BY = {
    "route": "route",
    "rule": "rule",
    "category": "category",
    "outcome": "outcome",
    "termination": "termination",
    "status": "status",
    "format": "format",
    "model": "model",
    "policy": "policy",
    "region": "region",
    "producer": "producer",
    "tenant": "identity['tenant']",
    "organisation": "identity['organisation']",
    "key": "identity['key']",
    "end_user": "identity['end_user']",
    "account": "account",
    "hour": "substr(time, 1, 13)",
}
"""What `top` can count by, as SQL."""

_TOP = """
SELECT {by} AS "{name}",
       count(*) AS exchanges,
       round(100 * count(*) / sum(count(*)) OVER (), 2) AS percent,
       count(*) FILTER (outcome IN ({refusals})) AS refused,
       count(*) FILTER ("request.decided" <> "request.action" OR "response.decided" <> "response.action") AS shadowed,
       round(quantile_cont(duration_ms, 0.5), 1) AS p50_ms,
       round(quantile_cont(duration_ms, 0.99), 1) AS p99_ms,
       max(time) AS latest
FROM records GROUP BY ALL ORDER BY exchanges DESC, 1 LIMIT {rows}
"""

_FIRED = """
SELECT fired.rule AS "fired", fired.mode AS mode, fired.action AS action, fired.cause AS cause, count(*) AS exchanges,
       max(time) AS latest
FROM (SELECT time, unnest(list_concat("request.fired", "response.fired")) AS fired FROM records)
GROUP BY ALL ORDER BY exchanges DESC, 1, 2, 3, 4 LIMIT {rows}
"""

REFUSED = (*(action.value for action in Action if action in TERMINAL), "refuse")
"""Outcomes of which the client got a refusal, or no end."""


def top(by: str, rows: int) -> str:
    """The question that counts exchanges by a name of `BY`, or by each rule that "fired"; the most frequent first."""
    if by == "fired":
        return _FIRED.format(rows=rows)
    return _TOP.format(by=BY[by], name=by, refusals=", ".join(map(quote, REFUSED)), rows=rows)


def _offer(connection: duckdb.DuckDBPyConnection, store: Store, files: Sequence[str], span: Span) -> None:
    """Make the view `records`, and take from the connection what else it could do."""
    source, allowed = "nothing", ""
    if not files:
        connection.register("nothing", table.table([]))
    elif store.folder is None:
        source = "sealed"
        connection.register(source, _dataset(store, files))
    else:
        paths = [str(store.folder / file) for file in files]
        allowed = quote(f"{store.folder}/")
        source = f"read_parquet([{', '.join(map(quote, paths))}], union_by_name = true, hive_partitioning = false)"
    connection.execute(f"SET allowed_directories = [{allowed}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET python_enable_replacements = false")
    connection.execute("SET lock_configuration = true")
    bounds = [f"time >= {quote(span.since)}"] if span.since else []
    bounds += [f"time < {quote(span.until)}"] if span.until else []
    where = f" WHERE {' AND '.join(bounds)}" if bounds else ""
    connection.execute(f"CREATE VIEW records AS SELECT {TS}, * FROM {source}{where}")  # noqa: S608


def quote(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def column(name: str) -> str:
    """A column's name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def _dataset(store: Store, files: Sequence[str]) -> Any:
    """Files of an object store, of which only the columns that a question names are fetched."""

    def schema(file: str) -> pa.Schema:
        with store.files.open_input_file(file) as opened:
            return pq.read_schema(opened)

    with ThreadPoolExecutor(_READ_AT_ONCE) as pool:
        schemas = list(pool.map(schema, files))
    fields: dict[str, pa.DataType] = {}
    for each in schemas:
        for field in each:
            known = fields.setdefault(field.name, field.type)
            if known != field.type:
                fields[field.name] = _both(known, field.type)
    return ds.dataset(list(files), schema=pa.schema(list(fields.items())), filesystem=store.files, format="parquet")


def _both(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """The type that holds values of both, as DuckDB unites them."""
    order = [pa.bool_(), pa.int64(), pa.float64(), pa.string()]
    return max(one, other, key=order.index)


def _first(error: duckdb.Error) -> str:
    """What DuckDB says, without the excerpt of the question that follows."""
    return str(error).partition("\n")[0]

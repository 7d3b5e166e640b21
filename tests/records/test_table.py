"""A record becomes a row and the row the same record, whatever names and numbers it has."""

from __future__ import annotations

import io
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safeguards_extproc.core.decision import Value
from safeguards_extproc.core.record import Account, ChannelAccount, FiredRule, Phase, Record, Tokens
from safeguards_extproc.records import table
from tests.records.samples import RECORDS

pytestmark = pytest.mark.long


def through_parquet(records: list[Record]) -> list[dict[str, Any]]:
    """The rows that a reader of the file sees."""
    file = io.BytesIO()
    pq.write_table(table.table(records), file)
    return [dict(row) for row in pq.read_table(io.BytesIO(file.getvalue())).to_pylist()]


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(RECORDS, max_size=4))
def test_every_record_comes_back(records: list[Record]) -> None:
    """Fields, names and types, odd ones too, through a Parquet file."""
    assert records == [table.to_record(row) for row in through_parquet(records)]


def test_the_law_bites() -> None:
    """A row that lost a column is another record."""
    (row,) = through_parquet([phased(scores={"user": {"screen.attack": 0.5}})])
    lost = {name: value for name, value in row.items() if name != "request.scores.user.screen.attack"}
    assert table.to_record(row) != table.to_record(lost)


def phased(**fields: Any) -> Record:
    """A record whose request has these fields."""
    return Record(id="1", request=Phase(**fields))


def test_what_rules_read_are_columns_of_their_names() -> None:
    """Scores by kind, detector and label; features by name and of their type; failures by detector."""
    features: dict[str, Value] = {"bytes": 7, "format": "openai_chat", "streamed": True, "share": 0.5}
    scored = phased(scores={"user": {"screen.attack": 0.9}, "tool": {}}, features=features)
    scored.response = Phase(failed={"guard": "timeout"}, skipped={"pii": "budget"})
    schema, (first, second) = table.table([scored, Record(id="2")]).schema, through_parquet([scored, Record(id="2")])
    expected = {
        table.score_column("request", "user", "screen.attack"): (pa.float64(), 0.9),
        table.kind_column("request", "user"): (pa.bool_(), True),
        table.kind_column("request", "tool"): (pa.bool_(), True),
        table.feature_column("request", "bytes"): (pa.int64(), 7),
        table.feature_column("request", "format"): (pa.string(), "openai_chat"),
        table.feature_column("request", "streamed"): (pa.bool_(), True),
        table.feature_column("request", "share"): (pa.float64(), 0.5),
        table.failed_column("response", "guard"): (pa.string(), "timeout"),
        table.skipped_column("response", "pii"): (pa.string(), "budget"),
    }
    assert expected == {name: (schema.field(name).type, first[name]) for name in expected}
    assert set(expected) == {name for name in schema.names if name not in table.FIXED.names}
    assert {None} == {second[name] for name in expected}


def test_an_empty_table_has_the_fixed_columns() -> None:
    """A file without records can still be queried."""
    assert table.FIXED == table.table([]).schema


@pytest.mark.parametrize(
    "record",
    [
        phased(scores={"User": {}, "user": {"Screen.attack": 0.5, "screen.a.b": 1.0, "": 0.0}}),
        phased(failed={"User Input": "timeout"}, skipped={"a'b": "x"}),
        phased(features={"max_tokens": 10**30, "N": 1}),
        Record(id="1", usage=Tokens(output_tokens=1 << 63)),
        phased(account=Account(channels={"user": ChannelAccount(1 << 70, 2)})),
    ],
    ids=["scores", "failures", "features", "a number", "a map"],
)
def test_what_fits_into_no_column_is_kept_beside(record: Record) -> None:
    """Nothing that a client or a provider says keeps a record from being a row of a table, or changes it there."""
    rows = through_parquet([Record(id="0"), record])
    assert [Record(id="0"), record] == [table.to_record(row) for row in rows]
    assert [False, True] == [bool(row[table.REST]) for row in rows]


def test_a_feature_has_the_type_of_most() -> None:
    """One odd value costs neither the column nor itself; 1 and true stay two facts."""
    records = [phased(features={"tools": value}) for value in (1, True, False)]
    found = table.table(records)
    assert pa.bool_() == found.schema.field("request.features.tools").type
    read = [table.to_record(row).request.features["tools"] for row in found.to_pylist()]
    assert [(1, int), (True, bool), (False, bool)] == [(value, type(value)) for value in read]


def test_duckdb_gives_the_same_record() -> None:
    """Rows that DuckDB hands out, whose maps are dicts, are read alike."""
    record = Record(id="1", identity={"tenant": "t_1"}, versions={"screen": "3"})
    record.request = Phase(fired=[FiredRule("r", "block", "enforce", "true")], scores={"user": {"screen.attack": 0.5}})
    record.request.account.channels = {"user": ChannelAccount(3, 3)}
    rows = table.table([record])
    with duckdb.connect() as connection:
        found = connection.from_arrow(rows).fetchall()
    assert record == table.to_record(dict(zip(rows.column_names, found[0], strict=True)))


def test_a_row_without_a_record_is_an_error_that_quotes_nothing() -> None:
    """Which field is wrong is said, not what stands there."""
    with pytest.raises(ValueError, match="Expected `int`, got `str`") as caught:
        table.to_record({"id": "1", "status": "my secret"})
    assert "secret" not in str(caught.value)


def test_columns_of_later_versions_are_passed_over() -> None:
    """What this version does not know is no part of its record; what a file lacks has its default."""
    assert Record(id="1") == table.to_record({"id": "1", "later": 7, "request.later.x": 1, "date": "2026-01-01"})

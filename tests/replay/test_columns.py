"""Columns of a table of records, as a policy's SQL reads them."""

from __future__ import annotations

import duckdb
import pytest

from safeguards_extproc.core.record import Account, FiredRule, LimitState, Phase, Record
from safeguards_extproc.core.text import Direction, Kind
from safeguards_extproc.policy.cel import Type
from safeguards_extproc.policy.sql import NULL
from safeguards_extproc.records import table
from safeguards_extproc.replay.columns import Columns

RECORD = Record(
    id="x",
    account="restricted",
    limits=[LimitState("hour", False, 0, True), LimitState("day", True, 3, True)],
    request=Phase(
        scores={"user": {"s.a": 0.5}},
        features={"n": 3, "r": 0.5, "word": "x", "yes": True},
        failed={"s": "timeout"},
        skipped={"t": "busy"},
        fired=[FiredRule("account:restricted", "block", "enforce", "true")],
        account=Account(uninspectable="opaque"),
    ),
)


@pytest.fixture
def row():
    """The columns of the record's request, and what SQL over them says."""
    rows = table.table([RECORD])
    with duckdb.connect() as db:
        db.register("records", rows)
        types = {name: type_ for name, type_, *_ in db.execute("DESCRIBE records").fetchall()}
        yield Columns(Direction.REQUEST, types), lambda sql: db.execute(f"SELECT {sql} FROM records").fetchone()[0]


def test_what_the_record_says(row) -> None:
    """Each fact by its own column."""
    columns, value = row
    assert [0.5, True, "timeout", "busy", "opaque", "restricted", True, True, False] == [
        value(sql)
        for sql in (
            columns.score(Kind.USER, "s.a"),
            columns.heard(Kind.USER),
            columns.failed("s"),
            columns.skipped("t"),
            columns.uninspectable,
            columns.step,
            columns.restricted,
            columns.over("hour"),
            columns.over("day"),
        )
    ]


def test_features_have_types(row) -> None:
    """As the language calls them."""
    columns, _ = row
    types = {name: columns.feature(name)[1] for name in ("n", "r", "word", "yes")}
    assert {"n": Type.INT, "r": Type.DOUBLE, "word": Type.STRING, "yes": Type.BOOL} == types


def test_what_no_record_says(row) -> None:
    """No column, no value."""
    columns, _ = row
    missing = (columns.score(Kind.TOOL, "s.a"), columns.failed("t"), columns.skipped("s"))
    assert {NULL} == set(missing)
    assert "FALSE" == columns.heard(Kind.TOOL)
    assert columns.feature("gone") is None

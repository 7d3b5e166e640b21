"""Columns of a table of records, as a policy's SQL reads them."""

from __future__ import annotations

import duckdb
import pytest

from safeguards_extproc.core.record import Account, FiredRule, ItemFacts, Items, ItemScores, LimitState, Phase, Record
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


def test_items_of_a_list_have_facts_of_their_own() -> None:
    """By position: their scores, which kinds of text they have and what failed for them; -1 is what is in none."""
    told = ItemFacts("all", {"content": ItemScores([-1, 1], {"s.a": [0.5, -1.0]})}, {"s": [1]})
    answer = Phase(scores={"content": {"s.a": 0.5}}, items=Items(listed=2), item_facts=told)
    rows = table.table([Record("x", response=answer), Record("y")])
    with duckdb.connect() as db:
        db.register("records", rows)
        types = {name: type_ for name, type_, *_ in db.execute("DESCRIBE records").fetchall()}
        columns = Columns(Direction.RESPONSE, types)
        lists = ", ".join(f"{sql} AS {name}" for name, sql in columns.lists_of(["s.a"], ["s"]).items())
        outside, item = columns.outside, columns.item

        def value(sql: str) -> list[object]:
            return [said for (said,) in db.execute(f"SELECT {sql} FROM (SELECT *, {lists} FROM records)").fetchall()]

        assert [True, False] == value(columns.listed)
        assert [0.5, None] == value(outside.score(Kind.CONTENT, "s.a"))
        assert [True, None] == value(outside.heard(Kind.CONTENT))
        assert [None, None] == value(outside.failed("s"))
        assert [1, None] == value(columns.first_item(f"CASE WHEN {item.failed('s')} IS NOT NULL THEN item END"))
        assert [1, None] == value(columns.first_item(f"CASE WHEN {item.heard(Kind.CONTENT)} THEN item END"))
        nothing = f"CASE WHEN {item.score(Kind.CONTENT, 's.a')} IS NOT NULL THEN item END"
        assert [None, None] == value(columns.first_item(nothing))
    assert "FALSE" == Columns(Direction.RESPONSE, {}).listed
    assert NULL == Columns(Direction.RESPONSE, {}).first_item("1")


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

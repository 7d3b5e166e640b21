"""Questions in SQL get true answers, the same from a disk and from S3, and change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from safeguards_extproc.core.decision import Value
from safeguards_extproc.core.record import FiredRule, Phase, Record
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.records.query import BY, REFUSED, Records, Span, top
from safeguards_extproc.records.seal import seal
from safeguards_extproc.records.stores import Store, open_store
from tests.records.object_store import CLOUDS
from tests.records.sealing import record, segment

pytestmark = pytest.mark.long


def exchanges() -> list[Record]:
    """An hour in two regions: some are blocked, one would have been."""
    found = [record(number, hour=10 + (number > 4), region="eu" if number < 8 else "us") for number in range(1, 11)]
    for each in found[:3]:
        each.outcome, each.rule, each.identity = "block", "attack", {"tenant": "t_1"}
        each.request.fired = [FiredRule("attack", "block", "enforce", "true")]
        each.duration_ms = 7.0
    found[3].response = Phase(decided="redact", action="allow")
    found[3].response.fired = [FiredRule("mask", "redact", "shadow", "true")]
    odd: list[Value] = [1, True, 0.5, "one"]
    for each, value in zip(found[4:], odd, strict=False):
        each.request.features["odd"] = value
    return found


@pytest.fixture(scope="module", params=["folder", *(pytest.param(cloud, marks=pytest.mark.real) for cloud in CLOUDS)])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """The exchanges, sealed into a store of each kind."""
    folder = tmp_path_factory.mktemp("query")
    for each in exchanges():
        segment(folder / "spool", [each])
    if request.param == "folder":
        yield sealed(folder, str(folder / "sealed"))
    else:
        with CLOUDS[request.param]() as url:
            yield sealed(folder, url)


def sealed(folder: Path, url: str) -> Store:
    store = open_store(url)
    assert {} == seal(folder / "spool", store).left
    return store


def test_a_question_is_answered(store: Store) -> None:
    """By columns that not every file has; a feature of several types is read as text."""
    with Records(store) as records:
        answer = records.ask(
            'SELECT sequence, "request.scores.user.screen.attack" AS score, hour(ts) AS hour,'
            ' "request.features.odd" AS odd FROM records WHERE outcome = ? OR sequence > 6 ORDER BY sequence LIMIT 4',
            ["block"],
        )
        assert ["sequence", "score", "hour", "odd"] == answer.columns
        rows = [tuple(row.values()) for row in answer]
    assert [(1, 0.001, 10, None), (2, 0.002, 10, None), (3, 0.003, 10, None), (7, 0.007, 11, "0.5")] == rows


def test_records_come_back_whole(store: Store) -> None:
    """One by its id; the latest, oldest first."""
    every = exchanges()
    with Records(store) as records:
        assert [every[1]] == list(records.find(every[1].id))
        assert [] == list(records.find("none"))
        assert every[1:4] == [found for found in records.latest(9) if found.sequence < 5]


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (Span(), range(1, 11)),
        (Span(since="2026-01-31T10:03"), range(3, 11)),
        (Span(until="2026-01-31T11"), range(1, 5)),
        (Span("2026-01-31T10:03", "2026-01-31T11:06"), range(3, 6)),
        (Span(region="us"), range(8, 11)),
        (Span(since="2027-01-01"), range(0)),
    ],
)
def test_a_span_bounds_what_is_looked_at(span: Span, expected: range, store: Store) -> None:
    """To the record, not to the hour; nothing is there for a time without files."""
    with Records(store, span) as records:
        found = [row["sequence"] for row in records.ask("SELECT sequence FROM records ORDER BY 1")]
    assert list(expected) == found


@pytest.mark.parametrize(
    "question",
    [
        "COPY (SELECT 1) TO '{folder}/stolen.csv'",
        "COPY records TO '{folder}/stolen.parquet'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{folder}/stolen.csv'",
        "ATTACH '{folder}/stolen.db'",
        "CREATE TABLE stolen (x INT)",
        "DROP VIEW records",
        "SET enable_external_access = true",
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM '/etc/hostname'",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM query('COPY (SELECT 1) TO ''{folder}/stolen.csv''')",
        "INSTALL httpfs",
        "SELECT 1; SELECT 2",
        "SELECT nonsense FROM records",
        "SELEC",
        "",
    ],
)
def test_nothing_else_can_be_done(question: str, store: Store, tmp_path: Path) -> None:
    """Not written, not read elsewhere, not set; what is wrong is said."""
    folder = store.folder or tmp_path
    before = list(store.all())
    with Records(store) as records, pytest.raises(ConfigError):
        list(records.ask(question.format(folder=folder)))
    assert before == list(store.all())
    assert [] == list(folder.glob("stolen*"))


def test_top_counts(store: Store) -> None:
    """Exchanges with their share, refusals, those that only shadows would have touched, and times."""
    with Records(store) as records:
        rows = list(records.ask(top("tenant", 5)))
    counts = [(row["tenant"], row["exchanges"], row["percent"], row["refused"], row["shadowed"]) for row in rows]
    assert [(None, 7, 70.0, 0, 1), ("t_1", 3, 30.0, 3, 0)] == counts
    assert 7.0 == rows[1]["p50_ms"] == rows[1]["p99_ms"]


def test_top_counts_rules_that_fired(store: Store) -> None:
    """In either direction, enforced or in shadow."""
    with Records(store) as records:
        rows = list(records.ask(top("fired", 5)))
    assert [("attack", "enforce", 3), ("mask", "shadow", 1)] == [
        (row["fired"], row["mode"], row["exchanges"]) for row in rows
    ]


@pytest.mark.parametrize("by", [*BY, "fired"])
def test_every_name_can_be_counted_by(by: str, tmp_path: Path) -> None:
    """Of a store without records too."""
    with Records(open_store(str(tmp_path))) as records:
        assert [] == list(records.ask(top(by, 5)))


def test_refusals_are_what_ends_an_exchange() -> None:
    """The actions that do, and a limit's refusal."""
    assert ("stop", "throttle", "block", "suspend", "refuse") == REFUSED

"""The command line of records: sealed, verified, asked and shown as an operator would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from safeguards_extproc.cli import app
from safeguards_extproc.records import segments
from safeguards_extproc.records.encode import from_json, to_json
from safeguards_extproc.records.stores import open_store
from tests.records.sealing import EPOCH, in_store, key, record, segment

pytestmark = pytest.mark.long


def said(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["records", *map(str, arguments)])


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """Three records, of which one was refused."""
    records = [record(1), record(2), record(3, hour=11)]
    records[1].outcome, records[1].rule, records[1].route = "block", "attack", "chat"
    segment(tmp_path / "spool", records)
    return tmp_path / "spool"


@pytest.fixture
def store(spool: Path, tmp_path: Path) -> Path:
    """The same, sealed."""
    assert 0 == said("seal", spool, tmp_path / "sealed").exit_code
    return tmp_path / "sealed"


def test_a_spool_is_sealed(spool: Path, tmp_path: Path) -> None:
    """What was done is said; what cannot be done is named and is an exit status."""
    done = said("seal", spool, tmp_path / "sealed", "--json")
    assert 0 == done.exit_code
    assert (1, 2, 3, {}) == tuple(json.loads(done.stdout)[name] for name in ("segments", "files", "records", "left"))
    segment(spool, [record(9)], tail=segments.frame(b"{}"))
    again = said("seal", spool, tmp_path / "sealed")
    assert 1 == again.exit_code
    assert f"LEFT  worker-{EPOCH}-{9:012d}.closed: not a decision record" in again.stdout


def test_what_was_sealed_is_verified(store: Path, spool: Path) -> None:
    """All is well; then a file goes, and numbers are missing."""
    assert "all is well" in said("verify", store, "--spool", spool).stdout
    segment(spool, [record(7)])
    next(iter((store / "eu/date=2026-01-31/hour=11").glob("*.parquet"))).unlink()
    found = said("verify", store, "--spool", spool, "--quick")
    assert 1 == found.exit_code
    assert "NOT WELL" in found.stdout
    assert "000000000003.parquet is missing" in found.stdout
    assert f"MISSING  worker {EPOCH}: 4 to 6" in found.stdout
    told = json.loads(said("verify", store, "--spool", spool, "--json").stdout)
    assert [{"producer": "worker", "epoch": EPOCH, "sequences": [[4, 6]]}] == told["missing"]


def test_sql_is_answered(store: Path) -> None:
    """As a table, as JSON, as CSV."""
    question = "SELECT route, count(*) AS n, max(ts) AS latest FROM records GROUP BY route ORDER BY n"
    assert "1 rows" in said("sql", store, question, "--since", "2026-01-31T10:02", "--until", "2026-01-31T10:03").stdout
    rows = json.loads(said("sql", store, question, "--json").stdout)
    assert {"route": "chat", "n": 1, "latest": "2026-01-31T10:02:00"} == rows[0]
    assert "chat,1,2026-01-31 10:02:00" in said("sql", store, question, "--csv").stdout.splitlines()


def test_values_of_every_type_are_json(store: Path) -> None:
    """Maps, lists, decimals, dates."""
    question = 'SELECT versions, "request.fired" AS fired, 1.5::DECIMAL(4, 1) AS d, ts::DATE AS day FROM records'
    row = json.loads(said("sql", store, question, "--json").stdout)[0]
    assert {"versions": {}, "fired": [], "d": "1.5", "day": "2026-01-31"} == row


def test_top_says_what_is_frequent(store: Path) -> None:
    """By rule unless told otherwise."""
    rows = json.loads(said("top", store, "--json").stdout)
    assert [("", 2, 0), ("attack", 1, 1)] == [(row["rule"], row["exchanges"], row["refused"]) for row in rows]
    assert "by route" in said("top", store, "--by", "route").stdout


@pytest.mark.parametrize("place", ["store", "spool", "lines"])
def test_a_record_is_shown_whole(place: str, spool: Path, tmp_path: Path) -> None:
    """From wherever it lies."""
    lines = tmp_path / "records.jsonl"
    lines.write_bytes(to_json(record(3, hour=11)) + b"\n")
    if place == "store":
        said("seal", spool, tmp_path / "sealed")
    where = {"store": tmp_path / "sealed", "spool": spool, "lines": lines}[place]
    assert record(3, hour=11) == from_json(said("show", where, record(3).id).stdout.encode())
    latest = said("tail", where, "-n", 1, "--json").stdout.splitlines()
    assert [3] == [from_json(line.encode()).sequence for line in latest]


def test_the_latest_are_told_a_line_each(store: Path) -> None:
    """Oldest first; a field that says nothing is a dash."""
    lines = said("tail", store, "-n", 2).stdout.splitlines()
    expected = f"2026-01-31T10:02:00.000+00:00  worker-{EPOCH}-2  chat  -  block  attack  -  complete  0  0"
    assert [expected, lines[1]] == lines
    assert lines[1].startswith("2026-01-31T11:03")


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("show", "{store}", "none"), "no such record"),
        (("sql", "{store}", "DROP VIEW records"), "is not one SELECT"),
        (("sql", "{store}", "SELECT 1", "--since", "yesterday"), "must be a time"),
        (("top", "{store}", "--by", "colour"), "cannot count by 'colour'"),
        (("tail", "{store}", "--follow"), "follow the spool"),
        (("seal", "{spool}", "hdfs://x/y"), "names no store"),
        (("verify", "{store}", "--spool", "{store}/none"), "cannot be read"),
    ],
)
def test_what_is_asked_wrongly_is_said(arguments: tuple[str, ...], hint: str, store: Path, spool: Path) -> None:
    """What, where, how to mend it; never a traceback."""
    found = said(*(argument.format(store=store, spool=spool) for argument in arguments))
    assert hint in str(found.exception)
    assert "ConfigError" == type(found.exception).__name__


@pytest.mark.real
def test_a_sealer_goes_on_until_it_is_told_to_end(spool: Path, tmp_path: Path) -> None:
    """It seals what comes, and SIGTERM ends it in good order."""
    command = [sys.executable, "-m", "safeguards_extproc", "records", "seal", str(spool), str(tmp_path / "sealed")]
    process = subprocess.Popen([*command, "--every", "1s", "--json"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert 3 == json.loads(process.stdout.readline())["records"]
        segment(spool, [record(4)])
        assert 1 == json.loads(process.stdout.readline())["records"]
    finally:
        process.send_signal(signal.SIGTERM)
    assert 0 == process.wait(20)
    assert key(record(4)) in in_store(open_store(str(tmp_path / "sealed")))


@pytest.mark.real
def test_a_sealer_seals_what_was_closed_before_its_end(spool: Path, tmp_path: Path) -> None:
    """In a pod the filter ends first: what it closed then is in the store when its sealer has ended."""
    command = [sys.executable, "-m", "safeguards_extproc", "records", "seal", str(spool), str(tmp_path / "sealed")]
    process = subprocess.Popen([*command, "--every", "1h", "--json"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    segment(spool, [record(4)])
    process.send_signal(signal.SIGTERM)
    assert 0 == process.wait(20)
    assert key(record(4)) in in_store(open_store(str(tmp_path / "sealed")))


@pytest.mark.real
def test_a_spool_is_followed(spool: Path) -> None:
    """New records appear; the reader goes away, and the follower with it."""
    command = [sys.executable, "-m", "safeguards_extproc", "records", "tail", str(spool), "-n", "1", "-f", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert 3 == json.loads(process.stdout.readline())["sequence"]
        segment(spool, [record(4)], state=segments.OPEN)
        assert 4 == json.loads(process.stdout.readline())["sequence"]
    finally:
        os.kill(process.pid, signal.SIGTERM)
        process.wait(20)


def test_what_serves_does_without_the_libraries_of_asking() -> None:
    """Neither pyarrow nor DuckDB is in the filter's memory, or needed to install it; nor, until it is asked for, what
    counts in Redis, keeps a ledger, checks tokens or encrypts captures."""
    heavy = "{'pyarrow', 'duckdb', 'ray', 'redis', 'sqlalchemy', 'jwt', 'cryptography'}"
    program = f"import sys, safeguards_extproc.cli, safeguards_extproc.app; print(sorted({heavy} & set(sys.modules)))"
    assert "[]\n" == subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

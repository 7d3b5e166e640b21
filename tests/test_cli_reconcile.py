"""The command `records reconcile`: gaps are told to people, to programs and to Prometheus."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from safeguards_extproc.cli import app
from safeguards_extproc.local.processes import free_port
from safeguards_extproc.records.seal import seal
from safeguards_extproc.records.stores import open_store
from tests.envoy.background import until
from tests.records.sealing import record, segment


def said(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["records", *map(str, arguments)])


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return segment(tmp_path / "spool", [record(1), record(2), record(3, hour=11)]).parent


@pytest.fixture
def store(spool: Path, tmp_path: Path) -> Path:
    """Three records, sealed."""
    seal(spool, open_store(str(tmp_path / "sealed")))
    return tmp_path / "sealed"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Envoy's log of the first of the three, of one that has no record, and of one that no filter saw."""
    lines = [
        {"time": record(number).time, "status": status, "flags": flags, "safeguards": {"id": id} if id else None}
        for number, status, flags, id in ((1, 200, "-", record(1).id), (2, 200, "-", "gone"), (3, 503, "UF", ""))
    ]
    path = tmp_path / "access.log"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_records_are_compared_with_envoys_log(store: Path, log: Path) -> None:
    """A line for each gap: its kind, how many, why, when, which; and what was looked at."""
    found = said("reconcile", store, "--access-log", log)
    assert 1 == found.exit_code
    second, third = record(2).time, record(3).time
    assert [
        f"UNSEEN  1  status 503, flags UF  {third}",
        f"MISSING  1  status 200  {second}  gone",
        f"UNLOGGED  1  Envoy logged no request with its id  {second}  {record(2).id}",
        "3 lines, 3 records, 3 gaps",
    ] == found.stdout.splitlines()
    rows = [json.loads(row) for row in said("reconcile", store, "--access-log", log, "--json").stdout.splitlines()]
    assert [("unseen", 1, []), ("missing", 1, ["gone"]), ("unlogged", 1, [record(2).id])] == [
        (row["kind"], row["count"], row["ids"]) for row in rows
    ]
    log.write_text(log.read_text().splitlines()[0] + "\n")
    agreed = said("reconcile", store, "--access-log", log)
    assert (0, "1 lines, 3 records, 0 gaps\n") == (agreed.exit_code, agreed.stdout)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("reconcile", "{spool}"), "nothing to compare records with"),
        (("reconcile", "{spool}", "--admin", "127.0.0.1:1"), "nothing to compare records with"),
        (("reconcile", "{spool}", "--access-log", "{spool}/none"), "cannot be read"),
        (("reconcile", "{store}", "{store}/eu", "--access-log", "{store}/log"), "are two stores"),
    ],
)
def test_what_is_asked_wrongly_is_said(arguments: tuple[str, ...], hint: str, store: Path, spool: Path) -> None:
    """What, where, how to mend it; never a traceback."""
    segment(spool, [record(4)])
    found = said(*(argument.format(store=store, spool=spool) for argument in arguments))
    assert hint in str(found.exception)
    assert "ConfigError" == type(found.exception).__name__


@pytest.mark.real
def test_gaps_are_metrics_too(spool: Path, log: Path) -> None:
    """While it goes on; the exit status says that there was one."""
    at = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "safeguards_extproc", "records", "reconcile", str(spool), "--follow", "--json"]
    command += ["--access-log", str(log), "--every", "1s", "--grace", "1s", "--metrics", at]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "looking every 1 s\n" == process.stderr.readline()
        with log.open("a") as file:
            file.write(json.dumps({"time": record(9).time, "status": 200, "safeguards": {"id": "lost"}}) + "\n")
        assert ["lost"] == json.loads(process.stdout.readline())["ids"]

        def told() -> str:
            with urllib.request.urlopen(f"http://{at}/metrics") as answer:
                text: str = answer.read().decode()
            return text

        until(lambda: 'safeguards_record_gaps_total{kind="missing"} 1.0' in told(), "the gap as a metric")
        assert 'safeguards_reconciled_total{what="line"} 1.0' in told()
    finally:
        process.send_signal(signal.SIGTERM)
    assert 1 == process.wait(20)

"""The command `records compact`: what was joined is said, what could not be is an exit status."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from safeguards_extproc.cli import app
from safeguards_extproc.records.seal import seal
from safeguards_extproc.records.sealed import files
from safeguards_extproc.records.stores import Store, open_store
from tests.envoy.background import until
from tests.records.sealing import record, segment

pytestmark = pytest.mark.long

HOUR = "eu/date=2026-01-31/hour=10"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two small files of an hour that is long over."""
    for number in (1, 2):
        segment(tmp_path / "spool", [record(number)])
    made = open_store(str(tmp_path / "sealed"))
    seal(tmp_path / "spool", made)
    return made


def said(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["records", "compact", *map(str, arguments)])


def test_files_are_joined_and_it_is_said(store: Store) -> None:
    """As a table, then as JSON; again there is nothing to do until the parts have been kept long enough."""
    first = said(store.url)
    assert (0, True) == (first.exit_code, "joined in" in first.stdout)
    assert 1 == len(files(store, HOUR))
    again = json.loads(said(store.url, "--json").stdout)
    assert {"parts": 0, "joined": 0, "records": 0, "deleted": 0, "left": {}} == again


def test_a_young_hour_is_left_alone(store: Store) -> None:
    """All time since then is not enough."""
    assert 0 == said(store.url, "--older", "9999d").exit_code
    assert 2 == len(files(store, HOUR))


def test_what_cannot_be_joined_is_named(store: Store) -> None:
    """With exit status 1."""
    file = files(store, HOUR)[0]
    store.put(file, b"?")
    done = said(store.url)
    assert 1 == done.exit_code
    assert f"LEFT  {file}: {file} is not the file that its manifest describes" in done.stdout


@pytest.mark.real
def test_it_goes_on_until_it_is_told(store: Store) -> None:
    """What comes later is joined later."""
    command = [sys.executable, "-m", "safeguards_extproc", "records", "compact", store.url, "--every", "1s", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        until(lambda: len(files(store, HOUR)) == 1, "the files are one")
    finally:
        process.send_signal(signal.SIGTERM)
        told = process.communicate(timeout=30)[0]
    assert (0, 2) == (process.returncode, json.loads(told.splitlines()[0])["parts"])

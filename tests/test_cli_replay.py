"""Replays at the command line: what changes, and what was asked wrongly."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from safeguards_extproc.cli import app
from safeguards_extproc.replay import capture
from tests.replay.worlds import SAMPLES, decided, file


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in ("replay", *arguments)])


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "keys.yaml"
    path.write_text(capture.new_key("k"))
    return path


@pytest.fixture
def captured(tmp_path: Path, key: Path) -> Path:
    path, first, now = tmp_path / "one.capture", capture.read_keys(key)[0], time.time()
    writer = capture.Writer(path, capture.Head("one", now, now + 60, first.id), first)
    for name in SAMPLES:
        writer.write(decided(name))
    writer.close()
    return path


def said(*arguments: object) -> dict[str, object]:
    result = run(*arguments, "--json")
    assert 0 == result.exit_code, result.exception
    found: dict[str, object] = json.loads(result.output)
    return found


def test_the_same_policy_changes_nothing(captured: Path, key: Path, tmp_path: Path) -> None:
    """On every sample, through processes of their own."""
    found = said(captured, "--key", key, "--policy", file(tmp_path), "--jobs", 2)
    assert (len(SAMPLES), len(SAMPLES), 0) == (found["exchanges"], found["same"], found["not_comparable"])


def test_what_changes_is_counted(captured: Path, key: Path, tmp_path: Path) -> None:
    """A lower threshold refuses what passed, and sooner what was stopped; against itself it changes nothing."""
    strict = file(tmp_path, 0.05)
    found = said(captured, "--key", key, "--policy", strict, "--jobs", 1)
    assert (3, 2, 1) == (found["newly_refused"], found["otherwise"], found["same"])
    found = said(captured, "--key", key, "--policy", strict, "--against", strict, "--jobs", 1)
    assert len(SAMPLES) == found["same"]


def test_it_goes_on_where_it_was(captured: Path, key: Path, tmp_path: Path) -> None:
    """Rows that are known are not played again: a capture that would not open any more does not matter to them."""
    journal, policy = tmp_path / "journal", file(tmp_path)
    first = said(captured, "--key", key, "--policy", policy, "--resume", journal, "--jobs", 1)
    lines = journal.read_bytes().splitlines(keepends=True)
    assert len(SAMPLES) + 1 == len(lines)
    journal.write_bytes(b"".join(lines[:4]) + lines[4][:9])
    assert first == said(captured, "--key", key, "--policy", policy, "--resume", journal, "--jobs", 1)
    assert lines == journal.read_bytes().splitlines(keepends=True)


def test_what_was_replayed_can_be_written(captured: Path, key: Path, tmp_path: Path) -> None:
    """As a capture under a key of its own."""
    target = tmp_path / "two.capture"
    said(captured, "--key", key, "--policy", file(tmp_path), "--write", target, "--jobs", 1)
    assert len(SAMPLES) == said(target, "--key", key, "--policy", file(tmp_path), "--jobs", 1)["same"]


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--through", "wall"], "core or envoy"),
        (["--rescore"], "add --endpoint, --embedded or --local"),
        (["--write", "a.capture", "--resume", "b"], "give one of them"),
        (["--embedded", "m", "--local"], "give one of them"),
        (["--policy", "absent.yaml"], "is the path right?"),
    ],
)
def test_mistakes_say_what_helps(captured: Path, key: Path, arguments: list[str], hint: str) -> None:
    """Before anything is played."""
    assert hint in str(run(captured, "--key", key, *arguments).exception)

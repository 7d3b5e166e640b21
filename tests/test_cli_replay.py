"""Replays at the command line: what changes, and what was asked wrongly."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from safeguards_extproc.cli import app
from safeguards_extproc.records import table
from safeguards_extproc.replay import capture
from tests.replay.worlds import BAD, SAMPLES, decided, file


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


def said(*arguments: object) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert 0 == result.exit_code, result.exception
    found: dict[str, Any] = json.loads(result.output)
    assert found.pop("seconds") >= 0
    return found


@pytest.mark.long
def test_the_same_policy_changes_nothing(captured: Path, key: Path, tmp_path: Path) -> None:
    """On every sample, through processes of their own."""
    found = said(captured, "--key", key, "--policy", file(tmp_path), "--jobs", 2)
    assert (len(SAMPLES), 0, {}) == (found["total"]["exchanges"], found["total"]["changed"], found["undecided"])


def test_what_changes_is_counted(captured: Path, key: Path, tmp_path: Path) -> None:
    """A lower threshold refuses what passed, and sooner what was stopped; against itself it changes nothing."""
    strict = file(tmp_path, 0.05)
    found = said(captured, "--key", key, "--policy", strict, "--jobs", 1)
    assert (3, 5, len(SAMPLES)) == tuple(found["total"][name] for name in ("newly_blocked", "changed", "exchanges"))
    found = said(captured, "--key", key, "--policy", strict, "--against", strict, "--jobs", 1)
    assert f"{captured} --through core --policy {strict} --against {strict} --key {key}" in found["about"]["command"]
    assert (len(SAMPLES), 0) == (found["total"]["exchanges"], found["total"]["changed"])


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
    found = said(target, "--key", key, "--policy", file(tmp_path), "--jobs", 1)
    assert (len(SAMPLES), 0) == (found["total"]["exchanges"], found["total"]["changed"])


GATE = """
version: 1
hold:
  - {measure: exchanges, at_least: 1}
  - {measure: newly_allowed, at_most: 0}
  - {measure: recall_on_must_block, at_least: 1.0}
  - {measure: newly_allowed, by: rule, of: bad, at_most: 0}
"""


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """The samples' records as a Parquet file."""
    path = tmp_path / "records.parquet"
    pq.write_table(table.table([found for name in SAMPLES if (found := decided(name).record)]), path)
    return path


@pytest.fixture
def gate(tmp_path: Path) -> list[object]:
    """A gate, and labels by which it judges."""
    file_, labels = tmp_path / "gate.yaml", tmp_path / "labels.jsonl"
    file_.write_text(GATE)
    bad = [found for name in SAMPLES if (found := decided(name).record) and found.outcome in ("block", "stop")]
    labels.write_text("".join(json.dumps({"id": each.id, "label": "block"}) + "\n" for each in bad))
    return ["--gate", file_, "--labels", labels]


def test_what_was_said_is_shown_on_demand(captured: Path, key: Path, tmp_path: Path) -> None:
    """To whoever has the key and asks for it; a page without is free of it."""
    page = tmp_path / "page.html"
    options = [captured, "--key", key, "--policy", file(tmp_path, 0.05), "--jobs", 1, "--html", page]
    assert 0 == run(*options).exit_code
    assert BAD not in page.read_text()
    assert 0 == run(*options, "--examples").exit_code
    assert "user: " in page.read_text()


def test_records_by_the_same_policy_change_nothing(sealed: Path, tmp_path: Path, gate: list[object]) -> None:
    """Through records as through the core, and the gate holds."""
    found = said(sealed, "--through", "records", "--policy", file(tmp_path), *gate)
    assert (len(SAMPLES), 0) == (found["total"]["exchanges"], found["total"]["changed"])
    assert all(each["passed"] for each in found["gate"])
    assert found["about"]["command"].startswith("safeguards-extproc replay ")


def test_records_go_on_where_they_were(sealed: Path, tmp_path: Path) -> None:
    """What was counted is not looked at again, and it is the same that is said; of another replay it is not."""
    kept, strict = tmp_path / "kept.json", file(tmp_path, 0.05)
    command = (sealed, "--through", "records", "--resume", kept, "--policy")
    found = said(*command, strict)
    assert found["total"]["changed"]
    assert found == said(*command, strict)
    assert "is of another replay" in str(run(*command, file(tmp_path)).exception)


@pytest.mark.parametrize("through", ["records", "core"])
def test_a_threshold_that_slipped_is_caught(
    through: str, sealed: Path, captured: Path, key: Path, tmp_path: Path, gate: list[object]
) -> None:
    """The gate does not hold, and the report names threshold, rule and numbers, in every form; another number that
    changes nothing passes."""
    good, page, report = file(tmp_path), tmp_path / "page.html", tmp_path / "report.json"
    files = [sealed] if through == "records" else [captured, "--key", key, "--jobs", 1]
    options = ["--through", through, "--against", good, *gate, "--html", page, "--report", report]
    result = run(*files, *options, "--policy", file(tmp_path, 0.99))
    assert 1 == result.exit_code, result.exception
    assert "NOT HELD     newly_allowed" in result.output
    found = json.loads(report.read_text())
    assert any("bad-answer refused before (thresholds.bad: 0.8 → 0.99)" in each for each in found["findings"])
    assert "thresholds.bad" in page.read_text()
    assert 0 == run(*files, *options, "--policy", file(tmp_path, 0.85)).exit_code


@pytest.mark.long
@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--through", "wall"], "core, envoy or records"),
        (["--through", "records", "--store", "s"], "not both"),
        (["--through", "records", "--engine", "abacus"], "local or ray"),
        (["--engine", "ray"], "no store or engine"),
        (["--through", "records", "--write", "a.capture"], "no text to write"),
        (["--through", "records", "--engine", "ray", "--resume", "a"], "in one go"),
        (["--html", "absent/page.html"], "no such folder"),
        (["--gate", "absent.yaml"], "cannot be read"),
        (["--examples"], "add --html FILE"),
        (["--rescore"], "add --endpoint, --embedded or --local"),
        (["--write", "a.capture", "--resume", "b"], "give one of them"),
        (["--embedded", "m", "--local"], "give one of them"),
        (["--policy", "absent.yaml"], "is the path right?"),
    ],
)
def test_mistakes_say_what_helps(captured: Path, key: Path, arguments: list[str], hint: str) -> None:
    """Before anything is played."""
    assert hint in str(run(captured, "--key", key, *arguments).exception)

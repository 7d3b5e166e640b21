"""Where a report goes, and what is said before anything is replayed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from safeguards_extproc.cli_report import Outputs, Told, command, expected, told
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.replay.compare import Comparison
from tests.replay.decided import policy

GATE = "version: 1\nhold: [{measure: exchanges, at_least: %d}]\n"


def test_everything_that_was_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two files and standard output, and the gate's word."""
    gate = tmp_path / "gate.yaml"
    gate.write_text(GATE % 1)
    outputs = Outputs(tmp_path / "a.json", tmp_path / "a.html", gate, as_json=True)
    replayed = Told(Comparison(), policy(), policy(), "records", ["a.parquet"], "command", 1.0)
    assert not told(replayed, outputs, expected(outputs), lambda found: {})
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "a.json").read_text()
    assert "shop" == json.loads(printed)["about"]["before"]["name"]
    assert "The gate is not held" in (tmp_path / "a.html").read_text()
    gate.write_text(GATE % 0)
    assert told(replayed, outputs, expected(outputs), lambda found: {})


def test_what_cannot_be_written_is_said_first(tmp_path: Path) -> None:
    """A folder that is not there, before hours of work; a disk that is full, after."""
    with pytest.raises(ConfigError, match="no such folder"):
        expected(Outputs(html=tmp_path / "absent" / "page.html"))
    replayed = Told(Comparison(), policy(), None, "records", [], "command", 1.0)
    with pytest.raises(ConfigError, match="cannot be written"):
        told(replayed, Outputs(json=tmp_path), expected(Outputs()), lambda found: {})


def test_a_command_can_be_pasted() -> None:
    """Into a shell, whatever the names are."""
    assert "safeguards-extproc replay 'a b' --jobs 2" == command(["replay", Path("a b"), "--jobs", 2])

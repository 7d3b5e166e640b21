"""A replay that was interrupted goes on where it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from safeguards_extproc.errors import ConfigError
from safeguards_extproc.replay.journal import Begin, Journal
from safeguards_extproc.replay.many import Row
from safeguards_extproc.replay.verdict import Pair, Side, Verdict

BEGIN = Begin("files", "digest", "", True, "core")
ROWS = [
    Row(0, 10, Pair(Verdict("a"), Verdict("a", request=Side("block", "block", "block"), latency_ms=1.5), "block"), 2),
    Row(1, 20, None),
    Row(2, 30, Pair(Verdict("c"), Verdict("c"))),
]


def interrupted(path: Path, count: int) -> None:
    """A replay that got so far."""
    rows = Journal(path, BEGIN).rows(iter(ROWS))
    for _ in range(count):
        next(rows)
    rows.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("count", range(1, 4))
def test_rows_are_known_from_then_on(tmp_path: Path, count: int) -> None:
    """None is lost, none stands twice."""
    path = tmp_path / "journal"
    interrupted(path, count)
    journal = Journal(path, BEGIN)
    assert count == journal.known
    assert ROWS == list(journal.rows(iter(ROWS[count:])))
    assert 3 == Journal(path, BEGIN).known


@pytest.mark.parametrize("left", [1, 5, 40])
def test_half_a_line_is_no_row(tmp_path: Path, left: int) -> None:
    """A killed process leaves one."""
    path = tmp_path / "journal"
    interrupted(path, 2)
    data = path.read_bytes()
    path.write_bytes(data + data.splitlines()[1][:left])
    journal = Journal(path, BEGIN)
    assert (2, data) == (journal.known, path.read_bytes())
    assert ROWS == list(journal.rows(iter(ROWS[2:])))


def test_a_journal_is_of_one_replay(tmp_path: Path) -> None:
    """Another policy has its own."""
    path = tmp_path / "journal"
    interrupted(path, 1)
    with pytest.raises(ConfigError, match="is of another replay"):
        Journal(path, Begin("files", "other digest", "", True, "core"))
    path.write_text("xyzzy\n")
    with pytest.raises(ConfigError, match="is of another replay"):
        Journal(path, BEGIN)
    with pytest.raises(ConfigError, match="cannot be used"):
        Journal(tmp_path / "absent" / "journal", BEGIN)

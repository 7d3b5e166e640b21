"""A file of records: whole lines, whatever the disk, the operator and the kernel do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from safeguards_extproc.errors import ConfigError
from safeguards_extproc.records.backlog import FailureSettings, OnFailure
from safeguards_extproc.records.encode import to_json
from safeguards_extproc.records.jsonl import JsonLines, JsonLinesSettings
from safeguards_extproc.records.read import Reader, gaps
from tests.records.disk import Told, disk
from tests.records.samples import record

SIZE = len(to_json(record(0))) + 1


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records" / "worker.jsonl"


@contextmanager
def sink(
    told: Told,
    path: Path,
    *,
    max_bytes: int = 0,
    on_failure: OnFailure = OnFailure.GO_ON,
    backlog_bytes: int = 1 << 20,
) -> Iterator[JsonLines]:
    settings = JsonLinesSettings(path, max_bytes, FailureSettings(on_failure, backlog_bytes, retry_s=1))
    made = JsonLines(settings, told, lambda: told.now)
    try:
        yield made
    finally:
        made.close()


def sequences(*paths: Path) -> list[int]:
    """The numbers of the records in these files; every line is one."""
    reader = Reader(paths)
    found = [read.sequence for read in reader]
    assert reader.skipped == 0
    return found


def test_a_record_is_in_the_file_when_keep_returns(told: Told, path: Path) -> None:
    """Nothing waits in a buffer."""
    with sink(told, path) as made:
        for number in range(3):
            made.keep(record(number))
            assert sequences(path) == list(range(number + 1))
    assert told.kept == 3
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_new_life_goes_on_after_the_old_ones_torn_line(told: Told, path: Path) -> None:
    """The piece that a kill left is ended; the next record has its own line."""
    path.parent.mkdir()
    path.write_bytes(to_json(record(0)) + b"\n" + to_json(record(1))[:50])
    with sink(told, path) as made:
        made.keep(record(2))
    reader = Reader([path])
    assert [read.sequence for read in reader] == [0, 2]
    assert reader.skipped == 1


def test_a_renamed_file_is_let_go(told: Told, path: Path) -> None:
    """After logrotate's rename records go to the old file until the next look, a second later at most; none is lost."""
    old = path.with_name("old.jsonl")
    with sink(told, path) as made:
        made.keep(record(0))
        path.rename(old)
        made.keep(record(1))
        told.now = 1
        made.keep(record(2))
    assert sequences(old) == [0, 1]
    assert sequences(path) == [2]


def test_sighup_begins_a_new_file_at_once(told: Told, path: Path) -> None:
    """`reopen` looks now."""
    old = path.with_name("old.jsonl")
    with sink(told, path) as made:
        made.keep(record(0))
        path.rename(old)
        made.reopen()
        made.keep(record(1))
    assert sequences(old) == [0]
    assert sequences(path) == [1]


def test_a_full_file_is_left_whole_and_a_new_one_begun(told: Told, path: Path) -> None:
    """No file passes `max_bytes`, and together they hold every record in order."""
    with sink(told, path, max_bytes=2 * SIZE) as made:
        for number in range(5):
            made.keep(record(number))
    files = sorted(path.parent.iterdir(), key=lambda file: file.stat().st_mtime_ns)
    assert [sequences(file) for file in files] == [[0, 1], [2, 3], [4]]
    assert files[-1] == path


def test_where_a_new_file_cannot_be_begun_the_old_one_goes_on(told: Told, path: Path) -> None:
    """A rotation that fails is counted and loses nothing."""
    old = path.with_name("old.jsonl")
    with sink(told, path) as made:
        made.keep(record(0))
        path.rename(old)
        path.mkdir()
        told.now = 1
        made.keep(record(1))
        assert told.failures == ["io"]
        path.rmdir()
        told.now = 2
        made.keep(record(2))
    assert sequences(old) == [0, 1]
    assert sequences(path) == [2]


def test_a_full_disk_is_noticed_survived_and_made_up_for(
    told: Told, path: Path, logs: list[MutableMapping[str, Any]]
) -> None:
    """Half a line is taken back; what could not be written waits, in order, and is written when there is room."""
    with sink(told, path) as made:
        made.keep(record(0))
        with disk(SIZE + SIZE // 2):
            made.keep(record(1))
            made.keep(record(2))
            told.now = 1
            made.keep(record(3))
            assert made.backlog.failing
            assert sequences(path) == [0]
            assert path.stat().st_size == SIZE
        made.keep(record(4))
        told.now = 2
        made.keep(record(5))
        assert not made.backlog.failing
    assert sequences(path) == [0, 1, 2, 3, 4, 5]
    assert told.failures == ["io", "io"]
    assert told.kept == 6
    assert told.lost == 0
    assert told.states == [True, False]
    assert [line["event"] for line in logs] == ["records cannot be written", "records are written again"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_disk_without_room_is_called_so(told: Told) -> None:
    """The reason that operators are told is the kernel's, by name."""
    with sink(told, Path("/dev/full")) as made:
        made.keep(record(0))
    assert told.failures[0] == "disk-full"


def test_what_waits_is_bounded_and_the_oldest_gives_way(told: Told, path: Path) -> None:
    """Memory is not filled in place of the disk; what is given up is counted, and shows as a gap."""
    with sink(told, path, backlog_bytes=2 * SIZE) as made:
        made.keep(record(0))
        with disk(SIZE):
            for number in range(1, 5):
                made.keep(record(number))
        told.now = 1
        made.keep(record(5))
    assert told.lost == 2
    assert gaps(Reader([path])) == {("worker", ""): [range(1, 3)]}


@pytest.mark.parametrize("on_failure", OnFailure)
def test_the_operator_chooses_what_a_full_disk_means(told: Told, path: Path, on_failure: OnFailure) -> None:
    """With "refuse" new exchanges are refused until a later look finds room, though no record comes any more."""
    with sink(told, path, on_failure=on_failure) as made:
        assert not made.backlog.refuses()
        with disk(0):
            made.keep(record(0))
            refuse = on_failure is OnFailure.REFUSE
            assert refuse is made.backlog.refuses()
            told.now = 1
            assert refuse is made.backlog.refuses()
        told.now = 2
        assert not made.backlog.refuses()
    assert sequences(path) == [0]


@pytest.mark.parametrize("on_failure", OnFailure)
def test_a_file_that_is_deleted_to_make_room_is_let_go_of(told: Told, path: Path, on_failure: OnFailure) -> None:
    """Its room is free only then, and what had waited belongs into the next file, though nothing new is written."""
    with sink(told, path, on_failure=on_failure) as made:
        with disk(0):
            made.keep(record(0))
            path.unlink()
            told.now = 1
            made.backlog.refuses()
            assert path.exists()
        told.now = 2
        assert not made.backlog.refuses()
    assert sequences(path) == [0]


def test_what_still_waits_at_the_end_is_lost_and_said(told: Told, path: Path) -> None:
    """Closing makes a last attempt."""
    with disk(0), sink(told, path) as made:
        made.keep(record(0))
    assert told.lost == 1


def test_a_file_belongs_to_one_process(told: Told, path: Path) -> None:
    """A second writer is refused when it starts, with the reason; so is a path that is no file."""
    with sink(told, path), pytest.raises(ConfigError, match="another process writes there"), sink(told, path):
        pass
    with pytest.raises(ConfigError, match="cannot write records"), sink(told, path.parent):
        pass


WRITER = """
import os, sys
from pathlib import Path
from safeguards_extproc.core.record import Record
from safeguards_extproc.records.jsonl import JsonLines, JsonLinesSettings
from safeguards_extproc.records.origin import epoch
from safeguards_extproc.telemetry import Metrics

sink = JsonLines(JsonLinesSettings(Path(sys.argv[1]), max_bytes=1 << 20), Metrics())
life, number = epoch(), 1
while True:
    sink.keep(Record(id="x", epoch=life, sequence=number))
    os.write(1, f"{life} {number}\\n".encode())
    number += 1
"""


@pytest.mark.parametrize("kills", [1, pytest.param(12, marks=pytest.mark.real)])
def test_killing_the_process_loses_no_acknowledged_record(path: Path, kills: int) -> None:
    """SIGKILL in the middle of writing, again and again: every record whose `keep` returned is there, whole, once."""
    acknowledged = []
    for life in range(kills):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            heard = b""
            while len(heard) < 40_000 + 20_000 * life:
                heard += os.read(process.stdout.fileno(), 65_536)
            process.kill()
            heard += process.stdout.read()
        acknowledged += heard[: heard.rfind(b"\n")].decode().split("\n")
    reader = Reader(path.parent.iterdir())
    records = list(reader)
    kept = [f"{read.epoch} {read.sequence}" for read in records]
    assert len(kept) == len(set(kept))
    assert set(acknowledged) <= set(kept)
    assert gaps(records) == {}
    assert reader.skipped <= kills
    assert len(acknowledged) > 500 * kills

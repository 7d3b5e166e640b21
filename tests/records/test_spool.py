"""The spool: whole frames in segments, whatever the disk, the operator and the kernel do."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from safeguards_extproc.errors import ConfigError
from safeguards_extproc.records import segments
from safeguards_extproc.records.backlog import FailureSettings, OnFailure
from safeguards_extproc.records.encode import from_json, to_json
from safeguards_extproc.records.origin import Origin
from safeguards_extproc.records.segments import frame, read, recover
from safeguards_extproc.records.spool import Spool, SpoolSettings
from tests.records.disk import Told, disk
from tests.records.samples import record

EPOCH = "0" * 18 + "a"
ORIGIN = Origin("eu-1", "worker", EPOCH)
SIZE = len(frame(to_json(record(1))))


@pytest.fixture
def told() -> Told:
    return Told()


@contextmanager
def spool(
    told: Told,
    folder: Path,
    *,
    max_bytes: int = 1 << 20,
    synced: bool = False,
    on_failure: OnFailure = OnFailure.GO_ON,
    backlog_bytes: int = 1 << 20,
) -> Iterator[Spool]:
    failure = FailureSettings(on_failure, backlog_bytes, retry_s=1)
    settings = SpoolSettings(folder, max_bytes, max_age_s=10, synced=synced, failure=failure)
    made = Spool(settings, ORIGIN, told, lambda: told.now)
    try:
        yield made
    finally:
        made.close()


def sequences(folder: Path) -> list[list[int]]:
    """The numbers in each segment; none is torn, and each is named by its first."""
    found = []
    for one in segments.segments(folder):
        reading = read(one.path)
        numbers = [from_json(each).sequence for each in reading]
        assert reading.left == 0
        assert [one.first] == numbers[:1]
        found.append(numbers)
    return found


def states(folder: Path) -> list[str]:
    return [one.path.suffix for one in segments.segments(folder)]


def test_a_record_is_in_the_segment_when_keep_returns(told: Told, tmp_path: Path) -> None:
    """Nothing waits in a buffer; at the end the segment is closed, and no lock is left."""
    with spool(told, tmp_path) as made:
        assert [] == sequences(tmp_path)
        for number in range(1, 4):
            made.keep(record(number))
            assert [[*range(1, number + 1)]] == sequences(tmp_path)
        assert [".open"] == states(tmp_path)
        [path] = [one.path for one in segments.segments(tmp_path)]
        assert path.stat().st_mode & 0o777 == 0o640
    assert 3 == told.kept
    assert ["worker-000000000000000000a-000000000001.closed"] == os.listdir(tmp_path)


def test_a_segment_is_closed_when_full_when_old_and_when_asked(told: Told, tmp_path: Path) -> None:
    """None passes `max_bytes`; a quiet worker's is closed by the clock; SIGHUP closes what there is."""
    with spool(told, tmp_path, max_bytes=2 * SIZE) as made:
        for number in range(1, 4):
            made.keep(record(number))
        assert [".closed", ".open"] == states(tmp_path)
        told.now = 10
        made.tick()
        assert [".closed", ".closed"] == states(tmp_path)
        made.keep(record(4))
        made.reopen()
        made.reopen()
        made.keep(record(5))
    assert [[1, 2], [3], [4], [5]] == sequences(tmp_path)


def test_a_record_larger_than_a_segment_has_one_of_its_own(told: Told, tmp_path: Path) -> None:
    """A limit of a file's size is no limit of a record's."""
    with spool(told, tmp_path, max_bytes=10) as made:
        made.keep(record(1))
        made.keep(record(2))
    assert [[1], [2]] == sequences(tmp_path)


def test_a_full_disk_is_noticed_survived_and_made_up_for(
    told: Told, tmp_path: Path, logs: list[MutableMapping[str, Any]]
) -> None:
    """Half a frame is taken back; what could not be written waits, in order, and is written when there is room."""
    with spool(told, tmp_path) as made:
        made.keep(record(1))
        with disk(SIZE + SIZE // 2):
            made.keep(record(2))
            made.keep(record(3))
            told.now = 1
            made.keep(record(4))
            assert made.backlog.failing
            assert [[1]] == sequences(tmp_path)
        made.keep(record(5))
        told.now = 2
        made.tick()
        assert not made.backlog.failing
    assert [[1, 2, 3, 4, 5]] == sequences(tmp_path)
    assert ["io", "io"] == told.failures
    assert (5, 0, [True, False]) == (told.kept, told.lost, told.states)
    assert ["records cannot be written", "records are written again"] == [line["event"] for line in logs]


def test_a_segment_is_named_by_what_it_has_even_where_its_first_record_was_given_up(told: Told, tmp_path: Path) -> None:
    """Memory was full before the disk was well: the empty segment goes."""
    with spool(told, tmp_path, backlog_bytes=SIZE) as made:
        with disk(SIZE // 2):
            made.keep(record(1))
            made.keep(record(2))
        told.now = 1
        made.tick()
    assert 1 == told.lost
    assert [[2]] == sequences(tmp_path)


@pytest.mark.parametrize("on_failure", OnFailure)
def test_the_operator_chooses_what_a_full_disk_means(told: Told, tmp_path: Path, on_failure: OnFailure) -> None:
    """With "refuse" new exchanges are refused until a later look finds room, though no record comes any more."""
    refuse = on_failure is OnFailure.REFUSE
    with spool(told, tmp_path, on_failure=on_failure) as made:
        with disk(0):
            made.keep(record(1))
            assert refuse is made.backlog.refuses()
        told.now = 1
        assert not made.backlog.refuses()
        assert not made.backlog.failing
    assert [[1]] == sequences(tmp_path)


def test_a_folder_that_cannot_be_written_is_said_so_at_the_start(told: Told, tmp_path: Path) -> None:
    """With the place and the kernel's reason; so is a producer that cannot name a file."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot write records"):
        Spool(SpoolSettings(tmp_path / "file"), ORIGIN, told)
    with pytest.raises(ConfigError, match="--producer"):
        Spool(SpoolSettings(tmp_path), Origin("", "../etc", EPOCH), told)


def test_a_deleted_segment_is_noticed_and_its_records_counted_as_lost(told: Told, tmp_path: Path) -> None:
    """Who deletes it to make room has deleted records; the next ones go into a new segment."""
    with spool(told, tmp_path) as made:
        made.keep(record(1))
        made.keep(record(2))
        [path] = [one.path for one in segments.segments(tmp_path)]
        path.unlink()
        told.now = 1
        made.keep(record(3))
    assert (2, ["deleted"]) == (told.lost, told.failures)
    assert [[3]] == sequences(tmp_path)


def test_a_new_life_recovers_what_the_last_one_left(told: Told, tmp_path: Path) -> None:
    """As it is: the torn frame stays, unread."""
    left = segments.segment_path(tmp_path, "worker", "0" * 18 + "1", 1)
    left.write_bytes(frame(to_json(record(1))) + b"torn")
    segments.lock_path(tmp_path, "worker", "0" * 18 + "1").touch()
    with spool(told, tmp_path):
        reading = read(left.with_suffix(".closed"))
        assert [1] == [from_json(each).sequence for each in reading]
        assert 4 == reading.left


def test_what_is_not_on_the_disk_is_named_once(told: Told, tmp_path: Path) -> None:
    """A full segment too, until somebody has synced it."""
    with spool(told, tmp_path, max_bytes=SIZE, synced=True) as made:
        assert made.unsynced() is None
        made.keep(record(1))
        made.keep(record(2))
        batch = made.unsynced()
        assert batch is not None
        assert made.unsynced() is None
        batch.sync()
        made.keep(record(3))
        assert made.unsynced() is not None


def test_a_batch_is_every_segment_since_the_last_and_the_folder_where_one_is_new(
    told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file whose name is not on the disk is lost with all that it holds."""
    synced: list[int] = []

    def note(fd: int) -> None:
        synced.append(os.fstat(fd).st_ino)

    monkeypatch.setattr(os, "fdatasync", note)
    monkeypatch.setattr(os, "fsync", note)
    with spool(told, tmp_path, max_bytes=2 * SIZE, synced=True) as made:
        for number in range(1, 4):
            made.keep(record(number))
        first = made.unsynced()
        assert first is not None
        first.sync()
        segment, last = (one.path.stat().st_ino for one in segments.segments(tmp_path))
        assert [segment, last, tmp_path.stat().st_ino] == synced
        made.keep(record(4))
        again = made.unsynced()
        assert again is not None
        again.sync()
        assert [last] == synced[3:]


def test_a_batch_that_fails_says_so_and_leaves_no_file_open(
    told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file of it is tried."""
    tried = []

    def fail(fd: int) -> None:
        tried.append(fd)
        raise OSError(5, "Input/output error")

    with spool(told, tmp_path, max_bytes=SIZE, synced=True) as made:
        made.keep(record(1))
        made.keep(record(2))
        batch = made.unsynced()
        assert batch is not None
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", fail)
            with pytest.raises(OSError, match="Input/output"):
                batch.sync()
    assert 2 == len(tried)
    for fd in tried:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)


def test_after_a_sync_that_failed_a_new_segment_begins(told: Told, tmp_path: Path) -> None:
    """The kernel says once that it lost what was written, so that file is not asked again."""
    with spool(told, tmp_path, synced=True, on_failure=OnFailure.REFUSE) as made:
        made.keep(record(1))
        made.unwell(OSError(5, "Input/output error"))
        assert made.backlog.refuses()
        made.keep(record(2))
    assert [[1], [2]] == sequences(tmp_path)
    assert ["io"] == told.failures


def test_a_disk_that_is_slow_to_sync_is_for_the_operator_to_judge(told: Told, tmp_path: Path) -> None:
    """Counted, and refused for a while where that was chosen."""
    with spool(told, tmp_path, synced=True, on_failure=OnFailure.REFUSE) as made:
        made.slow()
        assert made.backlog.refuses()
        told.now = 1
        assert not made.backlog.refuses()
    assert ["slow"] == told.failures


WRITER = """
import os, sys, threading
from pathlib import Path
from safeguards_extproc.core.record import FiredRule, Phase, Record
from safeguards_extproc.records.origin import Origin, epoch
from safeguards_extproc.records.spool import Spool, SpoolSettings
from safeguards_extproc.telemetry import Metrics

origin = Origin("eu-1", "worker", epoch())
spool = Spool(SpoolSettings(Path(sys.argv[1]), max_bytes=1 << 18, synced=True), origin, Metrics())
scores = {"user": {"screen.attack": 0.25, "screen.unsafe": 0.5}}
number = 1
while True:
    fired = [FiredRule("r", "block", "shadow", "true")]
    one = Record(id=f"x{number}", sequence=number, request=Phase(scores=scores, fired=fired))
    origin.stamp(one)
    spool.keep(one)
    os.write(1, f"{origin.epoch} {number}\\n".encode())
    if number % 100 == 0 and (batch := spool.unsynced()) is not None:
        threading.Thread(target=batch.sync).start()
    number += 1
"""


HASTY = WRITER.replace(
    "    spool.keep(one)\n", "    held.append(one)\n    while len(held) > 20:\n        spool.keep(held.pop(0))\n"
)
HASTY = HASTY.replace("number = 1\n", "number, held = 1, []\n")
"""A planted fault: says that a record is kept which waits in its memory."""


def lives(folder: Path, kills: int, writer: str = WRITER) -> set[str]:
    """What writers acknowledged that were killed in the middle of it, one after the other."""
    acknowledged: set[str] = set()
    for _ in range(kills):
        with subprocess.Popen([sys.executable, "-c", writer, str(folder)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            heard, wanted = b"", random.randrange(20_000, 100_000)
            while len(heard) < wanted:
                heard += os.read(process.stdout.fileno(), 65_536)
            process.kill()
            heard += process.stdout.read()
        acknowledged |= set(heard[: heard.rfind(b"\n")].decode().split("\n"))
    recover(folder)
    return acknowledged


def wrong(folder: Path, acknowledged: set[str], kills: int) -> list[str]:
    """What is not as it was acknowledged."""
    found: list[str] = []
    kept: list[str] = []
    for one in segments.segments(folder):
        records = [from_json(each) for each in read(one.path)]
        numbers = [*range(one.first, one.first + len(records))]
        found += [] if one.closed else ["open"]
        found += [] if numbers == [each.sequence for each in records] else ["gap"]
        kept += [f"{each.epoch} {each.sequence}" for each in records]
    found += ["doubled"] * (len(kept) - len(set(kept)))
    found += ["lost"] * len(acknowledged - set(kept))
    return found + ["unacknowledged"] * (len(set(kept) - acknowledged) > kills)


@pytest.mark.long
@pytest.mark.parametrize("kills", [1, pytest.param(25, marks=pytest.mark.real)])
def test_killing_the_process_loses_tears_and_doubles_no_acknowledged_record(tmp_path: Path, kills: int) -> None:
    """SIGKILL in the middle of writing, again and again, while segments fill up and are synced. What recovery leaves
    holds every record whose `keep` returned, whole, once, and numbered without a gap."""
    acknowledged = lives(tmp_path, kills)
    assert [] == wrong(tmp_path, acknowledged, kills)
    assert len(acknowledged) > 700 * kills


@pytest.mark.long
def test_the_kill_bites(tmp_path: Path) -> None:
    """A writer that acknowledges too early is found out."""
    assert "lost" in wrong(tmp_path, lives(tmp_path, 1, HASTY), 1)

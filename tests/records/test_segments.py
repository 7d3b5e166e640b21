"""Segments: what a reader gets of a file that a kill, a full disk or a bad one left, and whose a file is."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeguards_extproc.records import segments
from safeguards_extproc.records.segments import HEADER, Reading, frame, lock, lock_path, read, recover, segment_path

EPOCH = "0" * 18 + "a"
PAYLOADS = st.lists(st.binary(min_size=1, max_size=40), max_size=8)


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def whole(payloads: Iterable[bytes], cut: int) -> list[bytes]:
    """The records whose frames lie before the cut."""
    kept, at = [], 0
    for payload in payloads:
        at += len(frame(payload))
        if at <= cut:
            kept.append(payload)
    return kept


Reader = Callable[[Path], Reading]


def broken(payloads: list[bytes], cut: int, damaged: int, path: Path, reader: Reader = read) -> str:
    """What is wrong with reading these records after `cut` bytes were kept and one byte was damaged; "" if nothing."""
    data = bytearray(b"".join(map(frame, payloads))[:cut])
    sound = len(data)
    if damaged < len(data):
        data[damaged] ^= 0x40
        sound = damaged
    found = reader(written(path, bytes(data)))
    records = list(found)
    expected = whole(payloads, sound)
    if records != expected:
        return "records"
    left = len(data) - sum(len(frame(record)) for record in expected)
    return "" if left == found.left else "left"


@given(PAYLOADS, st.integers(0, 400), st.integers(0, 800))
def test_what_is_read_is_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, payloads: list[bytes], cut: int, damaged: int
) -> None:
    """Up to the first frame that is cut off or damaged; the bytes from there on are counted."""
    path = tmp_path_factory.getbasetemp() / "law.open"
    assert broken(payloads, cut, damaged, path) == ""


class Trusting(Reading):
    """A planted fault: believes what lengths say and checks nothing."""

    def __iter__(self):
        data = self._path.read_bytes()
        while data:
            length, _ = HEADER.unpack(data[: HEADER.size].ljust(HEADER.size, b"\0"))
            yield data[HEADER.size : HEADER.size + length]
            data = data[HEADER.size + length :]


def test_the_law_bites(tmp_path: Path) -> None:
    """A reader that checks nothing gives a torn record and a damaged one."""
    path = tmp_path / "x.open"
    assert broken([b"abc", b"def"], 20, 99, path, Trusting) == "records"
    assert broken([b"abc"], 99, HEADER.size, path, Trusting) == "records"


@pytest.mark.parametrize("tail", [bytes(4096), b"\xff" * 9, b"\x01"], ids=["zeros", "a length past all", "a byte"])
def test_a_tail_that_is_no_frame_is_left(tmp_path: Path, tail: bytes) -> None:
    """A file system that had the size on the disk and not the bytes leaves zeros."""
    found = read(written(tmp_path / "x.open", frame(b"record") + tail))
    assert [b"record"] == list(found)
    assert len(tail) == found.left


def test_a_spool_is_listed_in_the_order_in_which_it_was_written(tmp_path: Path) -> None:
    """By producer, epoch and first number; what is no segment is passed over."""
    later = "0" * 18 + "b"
    names = [
        segment_path(tmp_path, "pod-1.a", EPOCH, 1).with_suffix(".closed"),
        segment_path(tmp_path, "pod-1.a", EPOCH, 10_000),
        segment_path(tmp_path, "pod-1.a", later, 1),
        segment_path(tmp_path, "pod-2", EPOCH, 10**12),
    ]
    for path in (*names, lock_path(tmp_path, "pod-1.a", EPOCH), tmp_path / "pod-1-x-1.open", tmp_path / "notes"):
        path.touch()
    found = segments.segments(tmp_path)
    assert names == [one.path for one in found]
    assert ("pod-1.a", EPOCH, 10_000, False) == (found[1].producer, found[1].epoch, found[1].first, found[1].closed)
    assert found[0].closed


def test_only_what_has_lost_its_writer_is_recovered(tmp_path: Path) -> None:
    """The lock of a life that lasts cannot be had, and its segment stays open; afterwards it is closed, as it is."""
    path = written(segment_path(tmp_path, "pod", EPOCH, 1), frame(b"record") + b"torn")
    held = lock(lock_path(tmp_path, "pod", EPOCH), make=True)
    assert held is not None
    assert [] == recover(tmp_path)
    held.free(delete=False)
    [closed] = recover(tmp_path)
    assert (tmp_path / path.with_suffix(".closed").name, True) == (closed.path, closed.closed)
    assert [b"record"] == list(read(closed.path))
    assert [closed.path] == list(tmp_path.iterdir())
    assert [] == recover(tmp_path)


def test_a_segment_whose_lock_somebody_deleted_is_recovered_when_it_is_old(tmp_path: Path) -> None:
    """Not before: its writer may live."""
    path = written(segment_path(tmp_path, "pod", EPOCH, 1), frame(b"record"))
    assert [] == recover(tmp_path)
    old = time.time() - segments.ABANDONED_S - 1
    os.utime(path, (old, old))
    assert [1] == [one.first for one in recover(tmp_path)]


LIVES = """
import sys
from pathlib import Path
from safeguards_extproc.records import segments

folder, name = Path(sys.argv[1]), sys.argv[2]
for number in range(200):
    epoch = f"{number:019x}"
    held = segments.lock(segments.lock_path(folder, name, epoch), make=True)
    path = segments.segment_path(folder, name, epoch, 1)
    path.write_bytes(segments.frame(b"x"))
    assert path.exists()
    with path.open("ab") as file:
        file.write(segments.frame(b"y"))
    assert path.exists() and segments._is_at(held._fd, held.path), "taken from a live writer"
    held.free(delete=False)
"""


@pytest.mark.long
def test_writers_and_recoverers_do_not_meet(tmp_path: Path) -> None:
    """While lives begin and end, somebody recovers: no live segment is taken, and in the end each is closed, once."""
    writers = [subprocess.Popen([sys.executable, "-c", LIVES, str(tmp_path), name]) for name in ("a", "b")]
    recovered = []
    while any(writer.poll() is None for writer in writers):
        recovered += recover(tmp_path)
    recovered += recover(tmp_path)
    assert [0, 0] == [writer.returncode for writer in writers]
    assert 400 == len(recovered) == len({one.path for one in recovered})
    assert {one.path for one in recovered} == set(tmp_path.iterdir())
    assert all([b"x", b"y"] == list(read(one.path)) for one in recovered)

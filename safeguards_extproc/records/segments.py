"""Segments of a spool: files of framed records, and whose they are.

The one rule: what is read is what was written, frame by frame; at the first frame that is not whole reading stops, and
says how many bytes it left.

A spool is a folder. A segment is `{producer}-{epoch}-{first sequence}.open` while its process writes there, and is
renamed to `.closed` for whoever seals it. Before its first segment a process makes `{producer}-{epoch}.lock` and keeps
it locked (flock) for as long as it lives, so a segment whose lock can be had has lost its writer. A frame is the length
of the record and its CRC-32, both 32 bits, little-endian, then the record as a line of JSON without its end.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import struct
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

OPEN, CLOSED, LOCK = ".open", ".closed", ".lock"
HEADER = struct.Struct("<II")
LARGEST = 1 << 28
"""Bytes of a record at most; a greater length is that of no frame."""
ABANDONED_S = 3600.0
"""An open segment without a lock file, which an operator deleted, is taken for abandoned when it was not written to for
so long; a live writer closes its segments far sooner."""

PRODUCER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_NAME = re.compile(rf"({PRODUCER.pattern})-([0-9a-f]{{19}})-([0-9]{{12,19}})(\.open|\.closed)")


@dataclass(frozen=True, slots=True)
class Segment:
    """A file of a spool, by what its name says."""

    path: Path
    producer: str
    epoch: str
    first: int

    @property
    def closed(self) -> bool:
        return self.path.suffix == CLOSED

    @property
    def lock(self) -> Path:
        """The file that its process keeps locked."""
        return lock_path(self.path.parent, self.producer, self.epoch)


def segment_path(folder: Path, producer: str, epoch: str, first: int) -> Path:
    """Where an open segment lies that begins with this sequence number."""
    return folder / f"{producer}-{epoch}-{first:012d}{OPEN}"


def lock_path(folder: Path, producer: str, epoch: str) -> Path:
    """Where this life of a process says that it lasts."""
    return folder / f"{producer}-{epoch}{LOCK}"


def segments(folder: Path) -> list[Segment]:
    """Every segment of a spool, by producer, epoch and first sequence number. OSError if it cannot be read."""
    found = []
    for name in os.listdir(folder):
        match = _NAME.fullmatch(name)
        if match is not None:
            producer, epoch, first, _ = match.groups()
            found.append(Segment(folder / name, producer, epoch, int(first)))
    return sorted(found, key=lambda one: (one.producer, one.epoch, one.first, one.closed))


def frame(record: bytes) -> bytes:
    """A record as it lies in a segment."""
    return HEADER.pack(len(record), zlib.crc32(record)) + record


class Reading:
    """Iterates over the records of one segment, from a byte at which a frame begins. `left` counts the bytes after the
    last whole frame: those of a frame that a kill or a full disk cut off, or everything from the first that is damaged;
    `end` is where they begin. OSError if it cannot be read."""

    def __init__(self, path: Path, begin: int = 0) -> None:
        self._path, self._begin = path, begin
        self.left, self.end = 0, begin

    def __iter__(self) -> Iterator[bytes]:
        self.left, self.end = 0, self._begin
        with self._path.open("rb", 1 << 20) as file:
            file.seek(self._begin)
            while head := file.read(HEADER.size):
                if len(head) == HEADER.size:
                    length, check = HEADER.unpack(head)
                    record = file.read(length) if 0 < length <= LARGEST else b""
                    if record and len(record) == length and zlib.crc32(record) == check:
                        self.end += HEADER.size + length
                        yield record
                        continue
                    self.left = len(record)
                self.left += len(head)
                while more := file.read(1 << 20):
                    self.left += len(more)
                return


def read(path: Path, begin: int = 0) -> Reading:
    """The records of a segment, open or closed, in the order in which they were written; from `begin`, the `end` of a
    reading before."""
    return Reading(path, begin)


class Locked:
    """A lock on a file, until `free`."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path, self._fd = path, fd

    def free(self, *, delete: bool) -> None:
        """Let go; with `delete` the file goes too, while nobody else can have it."""
        if delete:
            with contextlib.suppress(OSError):
                self.path.unlink()
        os.close(self._fd)


def lock(path: Path, *, make: bool) -> Locked | None:
    """The lock on the file at this path. With `make` the file is made if need be, and who has the lock is waited for
    (recovery has it for an instant); without, None says that somebody has it or that there is no file. OSError
    otherwise."""
    how = fcntl.LOCK_EX if make else fcntl.LOCK_EX | fcntl.LOCK_NB
    while True:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if make else 0), 0o640)
        except FileNotFoundError:
            if make:
                raise
            return None
        try:
            fcntl.flock(fd, how)
            if _is_at(fd, path):
                return Locked(path, fd)
        except BlockingIOError:
            os.close(fd)
            return None
        except OSError:
            os.close(fd)
            raise
        os.close(fd)  # whoever had it deleted it meanwhile


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def recover(folder: Path) -> list[Segment]:
    """Close every open segment whose writer is no more, as it is; what was closed. Any number of processes may do this
    at the same time, beside those that write. OSError if the folder cannot be read or renamed in."""
    found = segments(folder)
    done: list[Segment] = []
    for path in {lock_path(folder, one.producer, one.epoch) for one in found} | set(folder.glob(f"*{LOCK}")):
        mine = [one for one in found if one.lock == path and not one.closed]
        if not path.exists():
            done += _close(one for one in mine if _abandoned(one.path))
            continue
        held = lock(path, make=False)
        if held is None:
            continue
        try:
            mine = [one for one in segments(folder) if one.lock == path and not one.closed]
            done += _close(mine)
        except OSError:
            held.free(delete=False)
            raise
        held.free(delete=True)
    return done


def _close(found: Iterable[Segment]) -> Iterator[Segment]:
    for one in found:
        closed = one.path.with_suffix(CLOSED)
        try:
            one.path.rename(closed)
        except FileNotFoundError:
            continue  # somebody else was faster
        yield Segment(closed, one.producer, one.epoch, one.first)


def _abandoned(path: Path) -> bool:
    try:
        return path.stat().st_mtime < time.time() - ABANDONED_S
    except FileNotFoundError:
        return False

"""Decision records in a file, a line of JSON each (ports.RecordSink).

The one rule: when `keep` returns, the operating system has the whole line, or the failure is counted and the line
waits in memory for the next attempt. The system call is write(2) without a buffer, so that killing this process loses
nothing; a machine that loses power loses what it had not yet written back.

One process per file, held by a lock. A reader sees whole lines, except perhaps one, the last before a kill: skip a
line that is no record. A file that is renamed (logrotate) or outgrows `max_bytes` is left whole and a new one begun;
nothing here deletes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from safeguards_extproc.core.record import Record
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.records.backlog import Backlog, FailureSettings, Observer
from safeguards_extproc.records.encode import to_json
from safeguards_extproc.records.write import whole

SINK = "records"


@dataclass(frozen=True, slots=True)
class JsonLinesSettings:
    """`max_bytes` 0 lets a file grow. A renamed file is noticed every `failure.retry_s`."""

    path: Path
    max_bytes: int = 256 << 20
    failure: FailureSettings = field(default_factory=FailureSettings)


class JsonLines:
    """ports.RecordSink. Raises ConfigError where the file cannot be opened at the start. Blocks for a system call:
    the file belongs on a local disk."""

    def __init__(
        self, settings: JsonLinesSettings, observer: Observer, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._fd = -1
        self._size = 0
        self._inode = 0
        try:
            self._open()
        except OSError as error:
            hint = "another process writes there" if error.errno in (errno.EAGAIN, errno.EACCES) else ""
            message = f"cannot write records: {os.strerror(error.errno or 0)}"
            raise ConfigError(message, where=str(settings.path), hint=hint) from None
        self.backlog = Backlog(SINK, settings.failure, observer, self._write, self.tick, clock)
        self._rotate_at = clock()

    def keep(self, record: Record) -> None:
        """See ports.RecordSink."""
        self.tick()
        self.backlog.keep(record.sequence, to_json(record) + b"\n")

    def tick(self) -> None:
        """Once in `retry_s`: is the file still the one at its path, and is the disk well again? In this order: a file
        that was deleted to make room takes up its room until it is let go of, and keeps nothing."""
        if not self.backlog.due():
            return
        try:
            there = os.stat(self._settings.path)
        except FileNotFoundError:
            self._begin()
        except OSError as error:
            self.backlog.report(error)
        else:
            if there.st_ino == self._inode:
                self._size = there.st_size
            else:
                self._begin()
        self.backlog.flush()

    def reopen(self) -> None:
        """Begin a new file if the old one was renamed (SIGHUP)."""
        self.backlog.hurry()
        self.tick()

    def close(self) -> None:
        """Write what waits, have it on the disk, and let go of the file."""
        if self._fd < 0:
            return
        self.backlog.close()
        with contextlib.suppress(OSError):
            os.fsync(self._fd)
        os.close(self._fd)
        self._fd = -1

    def _write(self, sequence: int, line: bytes) -> None:
        """Write a whole line, or nothing."""
        limit = self._settings.max_bytes
        if limit and self._size and self._size + len(line) > limit and self._clock() >= self._rotate_at:
            self._rotate()
        whole(self._fd, line, self._undo)
        self._size += len(line)

    def _undo(self, done: int) -> None:
        """Take back a piece of a line. Where even that fails, end it, so that it spoils no other line."""
        try:
            os.ftruncate(self._fd, os.fstat(self._fd).st_size - done)
        except OSError:
            with contextlib.suppress(OSError):
                os.write(self._fd, b"\n")

    def _rotate(self) -> None:
        """Rename the full file and begin the next; where that fails, the full one goes on."""
        path = self._settings.path
        self._rotate_at = self._clock() + self._settings.failure.retry_s
        try:
            path.rename(path.with_name(f"{path.stem}.{time.time_ns()}{path.suffix}"))
        except OSError as error:
            self.backlog.report(error)
        else:
            self._begin()
            self._rotate_at = self._clock()

    def _begin(self) -> None:
        """Open the file at the path; where that fails, the old one goes on under its new name."""
        old = self._fd
        try:
            self._open()
        except OSError as error:
            self.backlog.report(error)
        else:
            os.close(old)

    def _open(self) -> None:
        path = self._settings.path
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            status = os.fstat(fd)
            size = status.st_size
            if size and os.pread(fd, 1, size - 1) != b"\n":
                size += os.write(fd, b"\n")
        except OSError:
            os.close(fd)
            raise
        self._fd, self._size, self._inode = fd, size, status.st_ino

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
import ctypes
import enum
import errno
import fcntl
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from safeguards_extproc.core.record import Record
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.records.encode import to_json

log = structlog.get_logger()


class OnFailure(enum.StrEnum):
    """What becomes of traffic while records cannot be written."""

    GO_ON = "go-on"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class JsonLinesSettings:
    """`max_bytes` 0 lets a file grow. Lines of up to `backlog_bytes` wait in memory while the disk refuses them, and
    another attempt is made every `retry_s`; so often too a renamed file is noticed."""

    path: Path
    max_bytes: int = 256 << 20
    on_failure: OnFailure = OnFailure.GO_ON
    backlog_bytes: int = 16 << 20
    retry_s: float = 1.0


class Observer(Protocol):
    """Who wants to know (telemetry.Metrics)."""

    def record_kept(self, size: int) -> None: ...

    def record_failed(self, reason: str) -> None:
        """`reason`: "disk-full", "quota", "read-only" or "io"."""
        ...

    def records_lost(self, count: int) -> None: ...

    def degraded(self, what: str, is_so: bool) -> None: ...


_libc_write = ctypes.PyDLL(None, use_errno=True).write
_libc_write.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t)
_libc_write.restype = ctypes.c_ssize_t


def write(fd: int, data: bytes) -> int:
    """write(2) that keeps the interpreter's lock: os.write gives it up, and gRPC's thread, which then has it, costs
    the caller far more than the microsecond that a copy to the page cache takes. Raises OSError."""
    while (done := int(_libc_write(fd, data, len(data)))) < 0:
        number = ctypes.get_errno()
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))
    return done


REASONS = {errno.ENOSPC: "disk-full", errno.EDQUOT: "quota", errno.EROFS: "read-only"}


class JsonLines:
    """ports.RecordSink. Raises ConfigError where the file cannot be opened at the start. Blocks for a system call:
    the file belongs on a local disk."""

    def __init__(
        self, settings: JsonLinesSettings, observer: Observer, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._observer = observer
        self._clock = clock
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._failing = False
        self._fd = -1
        self._size = 0
        self._inode = 0
        try:
            self._open()
        except OSError as error:
            hint = "another process writes there" if error.errno in (errno.EAGAIN, errno.EACCES) else ""
            message = f"cannot write records: {os.strerror(error.errno or 0)}"
            raise ConfigError(message, where=str(settings.path), hint=hint) from None
        self._next = clock() + settings.retry_s
        self._rotate_at = clock()

    @property
    def failing(self) -> bool:
        """Whether the last attempt to write failed."""
        return self._failing

    def refuses(self) -> bool:
        """Whether new exchanges are to be refused, because their records could not be written. Asking is also what
        finds out that the disk is well again."""
        if self._failing and self._clock() >= self._next:
            self._check()
        return self._failing and self._settings.on_failure is OnFailure.REFUSE

    def keep(self, record: Record) -> None:
        """See ports.RecordSink."""
        line = to_json(record) + b"\n"
        if self._clock() >= self._next:
            self._check()
        if self._failing:
            self._wait(line)
        elif self._write(line):
            self._observer.record_kept(len(line))
        else:
            self._wait(line)

    def reopen(self) -> None:
        """Begin a new file if the old one was renamed (SIGHUP)."""
        self._next = self._clock()
        self._check()

    def close(self) -> None:
        """Write what waits, have it on the disk, and let go of the file."""
        if self._fd < 0:
            return
        if self._waiting:
            self._flush()
            self._lose(len(self._waiting))
            self._waiting.clear()
        with contextlib.suppress(OSError):
            os.fsync(self._fd)
        os.close(self._fd)
        self._fd = -1

    def _check(self) -> None:
        """Once in `retry_s`: is the file still the one at its path, and is the disk well again? In this order: a file
        that was deleted to make room takes up its room until it is let go of, and keeps nothing."""
        self._next = self._clock() + self._settings.retry_s
        try:
            there = os.stat(self._settings.path)
        except FileNotFoundError:
            self._begin()
        except OSError as error:
            self._report(error)
        else:
            if there.st_ino == self._inode:
                self._size = there.st_size
            else:
                self._begin()
        if self._failing:
            self._flush()

    def _flush(self) -> None:
        """Write what waits, in order, as far as it goes."""
        self._next = self._clock() + self._settings.retry_s
        while self._waiting:
            if not self._write(self._waiting[0]):
                return
            line = self._waiting.popleft()
            self._waiting_bytes -= len(line)
            self._observer.record_kept(len(line))
        self._failing = False
        self._observer.degraded("records", False)
        log.warning("records are written again")

    def _write(self, line: bytes) -> bool:
        """Write a whole line, or nothing."""
        limit = self._settings.max_bytes
        if limit and self._size and self._size + len(line) > limit and self._clock() >= self._rotate_at:
            self._rotate()
        done = 0
        try:
            while done < len(line):
                done += write(self._fd, line[done:] if done else line)
        except OSError as error:
            if done:
                self._undo(done)
            self._fail(error)
            return False
        self._size += done
        return True

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
        self._rotate_at = self._clock() + self._settings.retry_s
        try:
            path.rename(path.with_name(f"{path.stem}.{time.time_ns()}{path.suffix}"))
        except OSError as error:
            self._report(error)
        else:
            self._begin()
            self._rotate_at = self._clock()

    def _begin(self) -> None:
        """Open the file at the path; where that fails, the old one goes on under its new name."""
        old = self._fd
        try:
            self._open()
        except OSError as error:
            self._report(error)
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

    def _report(self, error: OSError) -> str:
        reason = REASONS.get(error.errno or 0, "io")
        self._observer.record_failed(reason)
        return reason

    def _fail(self, error: OSError) -> None:
        reason = self._report(error)
        if not self._failing:
            self._failing = True
            self._observer.degraded("records", True)
            log.error("records cannot be written", reason=reason, on_failure=self._settings.on_failure)

    def _wait(self, line: bytes) -> None:
        """Hold a line for the next attempt; the oldest ones give way."""
        self._waiting.append(line)
        self._waiting_bytes += len(line)
        lost = 0
        while self._waiting_bytes > self._settings.backlog_bytes:
            self._waiting_bytes -= len(self._waiting.popleft())
            lost += 1
        self._lose(lost)

    def _lose(self, count: int) -> None:
        if count:
            self._observer.records_lost(count)
            log.error("records are lost", count=count)

"""Decision records in segments, for whoever seals them (ports.RecordSink).

The one rule: when `keep` returns, the operating system has the whole frame, or the failure is counted and the record
waits in memory. So killing this process loses nothing; what a power failure may lose is what `sync` has not covered.

A segment begins with its first record and is closed when it is full, old, asked for (SIGHUP) or the process goes down.
segments.py has the format and who may touch which file when. Nothing here deletes a record.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from safeguards_extproc.core.record import Record
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.records import segments
from safeguards_extproc.records.backlog import Backlog, FailureSettings, Observer
from safeguards_extproc.records.encode import to_json
from safeguards_extproc.records.origin import Origin
from safeguards_extproc.records.write import whole

SINK = "spool"


@dataclass(frozen=True, slots=True)
class SpoolSettings:
    """A segment is closed at `max_bytes`, or `max_age_s` after its first record. `synced` says whether anybody asks
    for `unsynced`: then files that are full stay open until they are on the disk."""

    folder: Path
    max_bytes: int = 64 << 20
    max_age_s: float = 300.0
    synced: bool = False
    failure: FailureSettings = field(default_factory=FailureSettings)


class Batch:
    """What has to be on the disk, so that every record that was kept before is."""

    def __init__(self, files: list[int], folder: Path | None) -> None:
        self._files, self._folder = files, folder

    def sync(self) -> None:
        """Wait for the disk: fdatasync of each file, and of the folder where one is new. May be called from any thread,
        once. Raises OSError if something is not on the disk."""
        failed: OSError | None = None
        for fd in self._files:
            try:
                os.fdatasync(fd)
            except OSError as error:
                failed = error
            with contextlib.suppress(OSError):
                os.close(fd)
        if self._folder is not None and failed is None:
            fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        if failed is not None:
            raise failed


class Spool:
    """ports.RecordSink. Raises ConfigError where the folder cannot be written at the start. `keep` blocks for a system
    call: the folder belongs on a local disk. Called from one thread."""

    def __init__(
        self,
        settings: SpoolSettings,
        origin: Origin,
        observer: Observer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._origin, self._clock = settings, origin, clock
        self._fd = -1
        self._path = settings.folder
        self._first = self._size = self._count = 0
        self._began = 0.0
        self._retired: list[int] = []
        self._new = self._dirty = False
        folder = settings.folder
        if segments.PRODUCER.fullmatch(origin.producer) is None:
            hint = "letters, figures, dots, lines and underscores; the first is a letter or figure"
            raise ConfigError("cannot be part of a file's name", where="--producer", hint=hint)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = segments.lock(segments.lock_path(folder, origin.producer, origin.epoch), make=True)
            segments.recover(folder)
        except OSError as error:
            message = f"cannot write records: {os.strerror(error.errno or 0)}"
            raise ConfigError(message, where=str(folder)) from None
        self.backlog = Backlog(SINK, settings.failure, observer, self._write, self.tick, clock)

    def keep(self, record: Record) -> None:
        """See ports.RecordSink."""
        self.tick()
        self.backlog.keep(record.sequence, segments.frame(to_json(record)))

    def tick(self) -> None:
        """Once in `retry_s`: close a segment that is old, begin anew where somebody deleted it, and see whether the
        disk is well again."""
        if not self.backlog.due():
            return
        if self._fd >= 0:
            if not self._is_there():
                self._deleted()
            elif self._clock() - self._began >= self._settings.max_age_s:
                self._retire()
        self.backlog.flush()

    def reopen(self) -> None:
        """Close the segment, so that it can be sealed (SIGHUP)."""
        self.backlog.hurry()
        self.tick()
        self._retire()

    def unsynced(self) -> Batch | None:
        """What is not known to be on the disk; None if everything is. Whoever takes it has to `sync` it."""
        if not self._dirty:
            return None
        files = self._retired
        if self._fd >= 0:
            files.append(os.dup(self._fd))
        folder = self._settings.folder if self._new else None
        self._retired, self._new, self._dirty = [], False, False
        return Batch(files, folder)

    def unwell(self, error: OSError) -> None:
        """A batch could not be synced. What the kernel could not write it has forgotten, so what comes next goes into a
        new segment, and nobody asks for that file again."""
        self.backlog.report(error)
        self.backlog.doubt()
        self._retire()

    def slow(self) -> None:
        """A batch takes too long."""
        self.backlog.count("slow")
        self.backlog.doubt()

    def close(self) -> None:
        """Write what waits, have it on the disk, close the segment, and say that this life is over."""
        if self._lock is None:
            return
        self.backlog.close()
        self._retire()
        batch = self.unsynced()
        if batch is not None:
            with contextlib.suppress(OSError):
                batch.sync()
        self._lock.free(delete=True)
        self._lock = None

    def _write(self, sequence: int, frame: bytes) -> None:
        """Write a whole frame, or nothing that anybody would read."""
        if self._size and self._size + len(frame) > self._settings.max_bytes:
            self._retire()
        if self._fd >= 0 and self._size == 0 and self._first != sequence:
            self._discard()
        if self._fd < 0:
            self._begin(sequence)
        whole(self._fd, frame, self._undo)
        self._size += len(frame)
        self._count += 1
        self._dirty = True

    def _begin(self, sequence: int) -> None:
        origin = self._origin
        path = segments.segment_path(self._settings.folder, origin.producer, origin.epoch, sequence)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o640)
        self._path, self._first, self._size, self._count, self._began = path, sequence, 0, 0, self._clock()
        self._new = True

    def _discard(self) -> None:
        """The segment is empty, and its name does not say with which record it will begin."""
        with contextlib.suppress(OSError):
            self._path.unlink()
        self._let_go()

    def _undo(self, done: int) -> None:
        """Take back a piece of a frame. Where even that fails, the next frame goes into another segment, because nobody
        reads past a torn one."""
        try:
            os.ftruncate(self._fd, self._size)
        except OSError:
            self._retire()

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._fd), self._path.stat())
        except FileNotFoundError:
            return False
        except OSError as error:
            self.backlog.report(error)
            return True

    def _deleted(self) -> None:
        """Somebody deleted the open segment, and with it records that were kept."""
        self.backlog.count("deleted")
        self.backlog.lose(self._count)
        self._let_go()

    def _retire(self) -> None:
        """Close the segment. Where renaming fails, recovery does it once this process is gone."""
        if self._fd < 0:
            return
        try:
            self._path.rename(self._path.with_suffix(segments.CLOSED))
        except OSError as error:
            self.backlog.report(error)
        if self._settings.synced:
            self._retired.append(self._fd)
            self._fd, self._size = -1, 0
        else:
            self._let_go()

    def _let_go(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self._fd)
        self._fd, self._size = -1, 0

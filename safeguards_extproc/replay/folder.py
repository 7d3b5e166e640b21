"""A folder of captures, and one process that writes into it: files are bounded, and so is the folder.

A capture is a file of a few hours at most, because all in it expires together. The one rule: what cannot be written is
told, never raised, and a file that failed is written no further.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from safeguards_extproc.core.taken import Taken
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.replay import capture
from safeguards_extproc.replay.capture import Head, Key, Writer

log = structlog.get_logger()

KEPT, FULL, DISK = "kept", "full", "disk"


@dataclass(frozen=True, slots=True)
class FolderLimits:
    """Bytes of all captures in the folder and of one of them, and how long one is written to: a quarter of the time
    that it may be read, at most. After a failure, or while the folder is full, it is tried again after `retry_s`."""

    folder_bytes: int = 10 << 30
    file_bytes: int = 256 << 20
    file_s: float = 3600.0
    retry_s: float = 10.0


class Folder:
    """Keeps exchanges (adapters.capturing.Keeper). `source`, `region` and `epoch` stand in heads. `clock` gives seconds
    since the epoch."""

    def __init__(
        self,
        path: Path,
        key: Key,
        limits: FolderLimits = FolderLimits(),
        *,
        source: str = "",
        region: str = "",
        epoch: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises ConfigError if the folder cannot be made."""
        self._path, self._key, self._limits, self._clock = path, key, limits, clock
        self._source, self._region, self._epoch = source, region, epoch
        self._writer: Writer | None = None
        self._keep_s = self._until = 0.0
        self._failed, self._again = "", 0.0
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"cannot be made: {error.strerror}", where=str(path)) from None

    def keep(self, taken: Taken, keep_s: float) -> str:
        """Write an exchange that may be read for `keep_s`: KEPT, or why not."""
        now = self._clock()
        writer = self._writer
        if writer is not None and (keep_s != self._keep_s or now >= self._until):
            self.close()
        if self._failed and now < self._again:
            return self._failed
        try:
            if self._writer is None:
                if self._size(now) + self._limits.file_bytes > self._limits.folder_bytes:
                    return self._fail(FULL, now)
                self._open(keep_s, now)
            assert self._writer is not None
            self._writer.write(taken)
            if self._writer.size >= self._limits.file_bytes:
                self.close()
        except OSError as error:
            log.error("capture failed", error=error.strerror)
            if self._writer is not None:
                self._writer.abandon()
                self._writer = None
            return self._fail(DISK, now)
        self._failed = ""
        return KEPT

    def close(self) -> None:
        """End the file that is being written. Never raises."""
        writer, self._writer = self._writer, None
        if writer is not None:
            try:
                writer.close()
            except OSError as error:
                log.error("capture not closed", error=error.strerror)

    def _open(self, keep_s: float, now: float) -> None:
        id = secrets.token_hex(8)
        head = Head(id, now, now + keep_s, self._key.id, self._source, self._region, self._epoch)
        at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        self._writer = Writer(self._path / f"{at}-{id}{capture.SUFFIX}", head, self._key)
        self._keep_s, self._until = keep_s, now + min(self._limits.file_s, keep_s / 4)

    def _size(self, now: float) -> int:
        """Bytes of the folder's captures, once those that have expired are removed."""
        size = 0
        for path in self._path.glob(f"*{capture.SUFFIX}"):
            try:
                if capture.head_of(path).expires <= now:
                    path.unlink()
                    continue
                size += path.stat().st_size
            except (ConfigError, FileNotFoundError):
                continue  # no capture, or removed by somebody else just now
        return size

    def _fail(self, why: str, now: float) -> str:
        if why != self._failed:
            log.warning("captures are not kept", reason=why)
        self._failed, self._again = why, now + self._limits.retry_s
        return why

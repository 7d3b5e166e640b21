"""What sinks are tested with: a disk that is full, and somebody who listens."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager


class Told:
    """What the sink tells, and its clock."""

    def __init__(self) -> None:
        self.kept = 0
        self.failures: list[str] = []
        self.lost = 0
        self.states: list[bool] = []
        self.now = 0.0

    def record_kept(self, sink: str, size: int) -> None:
        self.kept += 1

    def record_failed(self, sink: str, reason: str) -> None:
        self.failures.append(reason)

    def records_lost(self, sink: str, count: int) -> None:
        self.lost += count

    def degraded(self, what: str, is_so: bool) -> None:
        self.states.append(is_so)


@contextmanager
def disk(free: int) -> Iterator[None]:
    """A disk on which a file may have at most `free` bytes: the kernel writes what fits and refuses the rest."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

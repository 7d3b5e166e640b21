"""Where decision records go. SINKS is the table of all that keep them.

The one rule: every sink gets the same record, stamped with where it comes from and without the fields that are masked,
and it has the record when `keep` returns.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from safeguards_extproc.core.record import Record
from safeguards_extproc.records.backlog import Backlog, FailureSettings, Observer
from safeguards_extproc.records.jsonl import JsonLines, JsonLinesSettings
from safeguards_extproc.records.mask import Mask
from safeguards_extproc.records.origin import Origin
from safeguards_extproc.records.spool import Spool, SpoolSettings


class Sink(Protocol):
    """A row of SINKS, made. A failure is counted, and what it means for traffic is for its `backlog` to say; none is
    raised but ConfigError where it is made."""

    @property
    def backlog(self) -> Backlog: ...

    def keep(self, record: Record) -> None:
        """Hand the record to the operating system before returning."""
        ...

    def tick(self) -> None:
        """Called every second, so that what is due is done where there is no traffic."""
        ...

    def reopen(self) -> None:
        """Close the file and begin a new one (SIGHUP)."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Making:
    """What sinks are made with. `worker` is the index of this process among several; `synced` says whether a spool is
    asked what is not on the disk."""

    origin: Origin
    observer: Observer
    worker: int = 0
    failure: FailureSettings = field(default_factory=FailureSettings)
    synced: bool = False


def _lines(path: Path, making: Making) -> JsonLines:
    if making.worker:
        path = path.with_name(f"{path.stem}.{making.worker}{path.suffix}")
    return JsonLines(JsonLinesSettings(path, failure=making.failure), making.observer)


def _spool(folder: Path, making: Making) -> Spool:
    settings = SpoolSettings(folder, synced=making.synced, failure=making.failure)
    return Spool(settings, making.origin, making.observer)


SINKS: Mapping[str, Callable[[Path, Making], Sink]] = {"records": _lines, "spool": _spool}
"""By the option of `serve` that asks for it with a path: a file of JSON lines, one for each worker, and a folder of
segments, one for all. A metric names a sink by the same word."""


class Recorder:
    """ports.RecordSink: counts every record with `count`, and keeps it in every sink. `durable` is that of the port."""

    def __init__(
        self,
        origin: Origin,
        count: Callable[[Record], None],
        sinks: Sequence[Sink],
        mask: Mask | None = None,
        durable: Callable[[Record], Future[None] | None] = lambda _: None,
    ) -> None:
        self._origin, self._count, self._sinks, self._mask = origin, count, sinks, mask
        self.durable = durable

    def keep(self, record: Record) -> None:
        """See ports.RecordSink."""
        self._origin.stamp(record)
        self._count(record)
        kept = self._mask(record) if self._mask is not None else record
        for sink in self._sinks:
            sink.keep(kept)

    def refuses(self) -> bool:
        """Whether traffic is refused because a sink could not keep its records."""
        return any([sink.backlog.refuses() for sink in self._sinks])  # noqa: C419 (each sink finds out by being asked)

    def tick(self) -> None:
        """See Sink."""
        for sink in self._sinks:
            sink.tick()

    def reopen(self) -> None:
        """See Sink."""
        for sink in self._sinks:
            sink.reopen()

    def close(self) -> None:
        """See ports.RecordSink."""
        for sink in self._sinks:
            sink.close()

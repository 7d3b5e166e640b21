"""Looks at spools, files and stores of records, at Envoy's access log and at its counters, for reconcile.py.

The one rule: counters are read first, then records, then the log, so that nothing Envoy is done with can be missed for
having been looked for too early: the filter keeps a record before the last answer leaves.
"""

from __future__ import annotations

import datetime
import errno
import http.client
import itertools
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safeguards_extproc.core.record import Record
from safeguards_extproc.records.access_log import ID_FIELD, TIME_FIELD, line_of
from safeguards_extproc.records.follow import Following, Lines
from safeguards_extproc.records.reconcile import Counters, Gap, Reconciliation

if TYPE_CHECKING:
    from safeguards_extproc.records.stores import Store

NOTED = (
    "streams_failed",
    "failure_mode_allowed",
    "message_timeouts",
    "spurious_msgs_received",
    "http_not_ok_resp_received",
)
"""Counters of Envoy's filter that say why a request may have no record."""

_TIMEOUT_S = 5.0
_SECONDS = len("2026-01-31T09:00:00")


@dataclass(frozen=True, slots=True)
class Sources:
    """Where to look. `live` are spools and files of JSON lines, `store` what they are sealed into, `log` is Envoy's
    access log, `admin` its "host:port", `prefix` the stat_prefix of its connection manager. A line whose details are in
    `expected` needs no record. An exchange whose record is looked for in the store began at most `recent_s` ago."""

    live: Sequence[Path]
    store: Store | None = None
    log: Path | None = None
    admin: str = ""
    prefix: str = "ingress"
    id_field: str = ID_FIELD
    time_field: str = TIME_FIELD
    expected: frozenset[str] = frozenset()
    recent_s: float = 4 * 3600.0


class Watch:
    """Looks again and again, from now on."""

    def __init__(self, sources: Sources, grace_s: float) -> None:
        self._sources = sources
        self._following = [Following(place) for place in sources.live]
        self._lines = Lines(sources.log) if sources.log is not None else None
        self.reconciliation = Reconciliation(
            grace_s, Elsewhere(sources.store, sources.recent_s), logs=self._lines is not None
        )
        self.foreign = 0
        for _ in self._lines.new() if self._lines is not None else ():
            pass
        for following in self._following:
            for record in following.new():
                self.reconciliation.recorded(record, 0.0, before=True)
        self._count()

    @property
    def unreadable(self) -> int:
        return sum(following.unreadable for following in self._following)

    def look(self, at: float) -> list[Gap]:
        """The gaps that are due at a time in seconds. OSError if something cannot be read."""
        told = self.reconciliation
        self._count()
        for following in self._following:
            for record in following.new():
                told.recorded(record, at)
        if self._lines is not None:
            self.foreign += _log(self._lines, self._sources, told, at)
        return told.due(at)

    def _count(self) -> None:
        if self._sources.admin:
            self.reconciliation.counted(counters(self._sources.admin, self._sources.prefix))


def all_of(sources: Sources) -> tuple[Reconciliation, list[Gap]]:
    """Everything that was logged and kept until now, and the gaps. A record from before the log's first line, or after
    its last, needs no line. OSError if something cannot be read."""
    told = Reconciliation(0.0, Elsewhere(None, 0.0), logs=sources.log is not None)
    if sources.log is not None:
        _log(Lines(sources.log), sources, told, math.inf)
    first, last = told.totals.first[:_SECONDS], told.totals.last[:_SECONDS]
    live = (Following(place).new() for place in sources.live)
    for record in itertools.chain(_sealed(sources.store) if sources.store is not None else (), *live):
        told.recorded(record, math.inf, before=not first <= record.time[:_SECONDS] <= last)
    return told, told.due(math.inf)


def _log(lines: Lines, sources: Sources, told: Reconciliation, at: float) -> int:
    """Tell of the lines that are new; how many were no lines of an access log."""
    foreign = 0
    for text in lines.new():
        line = line_of(text, sources.id_field, sources.time_field)
        if line is None:
            foreign += 1
        elif line.id or line.details not in sources.expected:
            told.logged(line, at)
    return foreign


def _sealed(store: Store) -> Iterator[Record]:
    """The records of a store, as far as their place among others goes."""
    from safeguards_extproc.records.query import Records

    with Records(store) as records:
        for row in records.ask(
            "SELECT id, time, producer, epoch, sequence FROM records ORDER BY producer, epoch, sequence"
        ):
            yield Record(**row)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """reconcile.Elsewhere: the recent hours of the store. What is in a spool was told."""

    store: Store | None
    recent_s: float

    def ids(self, ids: Sequence[str]) -> set[str]:
        question = "SELECT DISTINCT id FROM records WHERE id IN (SELECT unnest(?))"
        return {row["id"] for row in self._ask(question, [list(ids)])}

    def numbers(self, producer: str, epoch: str, first: int, last: int) -> set[int]:
        question = "SELECT sequence FROM records WHERE producer = ? AND epoch = ? AND sequence BETWEEN ? AND ?"
        return {row["sequence"] for row in self._ask(question, [producer, epoch, first, last])}

    def _ask(self, question: str, values: Sequence[Any]) -> Iterator[dict[str, Any]]:
        if self.store is None:
            return
        from safeguards_extproc.records.query import Records, Span

        since = datetime.datetime.fromtimestamp(max(0.0, time.time() - self.recent_s), datetime.UTC)
        with Records(self.store, Span(since.isoformat(timespec="milliseconds"))) as records:
            yield from records.ask(question, values)


def counters(admin: str, prefix: str) -> Counters:
    """What Envoy has counted. OSError if its admin endpoint does not answer, or has no such connection manager."""
    connection = http.client.HTTPConnection(admin, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", f"/stats?format=json&filter=^http\\.{prefix}\\.")
        listing = json.loads(connection.getresponse().read())["stats"]
        found = {row["name"]: row["value"] for row in listing if "value" in row}
        notes = {name: value for name, value in found.items() if name.rpartition(".")[2] in NOTED}
        manager = f"http.{prefix}.downstream_rq_"
        return Counters(found[f"{manager}completed"], found[f"{manager}active"], notes)
    except (http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        raise OSError(errno.EPROTO, f"Envoy does not count requests of {prefix!r} there") from error
    finally:
        connection.close()

"""Seals a spool: its closed segments become Parquet files in a store, by region, date and hour.

The one rule: a segment is deleted when every record that it holds is in a file whose manifest is written; until then
any step may be done again. What is written follows from the segment alone, so whoever is killed anywhere and begins
anew, or works beside another, writes the same files, and no record twice; a file that was joined with others since
(compact.py) is not written again. A segment that cannot be sealed stays.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from safeguards_extproc.core.record import SCHEMA, Record
from safeguards_extproc.records import segments, table
from safeguards_extproc.records.encode import from_json
from safeguards_extproc.records.sealed import Manifest, digest, encode, file_of, folder_of, holder, runs
from safeguards_extproc.records.segments import Segment
from safeguards_extproc.records.stores import Store

MOST_ROWS = 20_000
"""Records of one file; more of an hour go into the next."""

TORN = ".torn"
"""How the name of a segment ends that is sealed as far as it can be read; it is kept for whoever wants the rest."""


@dataclass(slots=True)
class Round:
    """What became of a spool's segments. `torn` counts bytes at the end of segments that were no record, `left` says of
    the segments that stay why."""

    recovered: int = 0
    segments: int = 0
    files: int = 0
    records: int = 0
    bytes: int = 0
    doubled: int = 0
    torn: int = 0
    left: dict[str, str] = field(default_factory=dict)


def seal(folder: Path, store: Store) -> Round:
    """Seal every segment of the spool whose writer is done with it. OSError if the spool's folder cannot be read; what
    goes wrong with a segment or with the store is in `left`."""
    done = Round(recovered=len(segments.recover(folder)))
    for segment in segments.segments(folder):
        if segment.closed:
            try:
                _seal_one(segment, store, done)
            except (OSError, ValueError) as error:
                done.left[segment.path.name] = str(error)
    return done


def _seal_one(segment: Segment, store: Store, done: Round) -> None:
    reading = segments.read(segment.path)
    held = _Held()
    manifests: list[Manifest] = []
    held_by: dict[str, Manifest] = {}
    for part in _parts(reading, held):
        taken = holder(store, file_of(part))
        manifest = taken or _publish(part, segment, store)
        manifests += [] if taken else [manifest]
        held_by[manifest.file] = manifest
    torn = reading.left
    for manifest in held_by.values():
        if store.size(manifest.file) != manifest.size or store.size(manifest.path) < 0:
            raise OSError(errno.EIO, f"the store does not have {manifest.file}, which it took")
    if torn:
        segment.path.rename(segment.path.with_suffix(TORN))
    else:
        segment.path.unlink(missing_ok=True)
    done.segments += 1
    done.files += len(manifests)
    done.records += sum(manifest.rows for manifest in manifests)
    done.bytes += sum(manifest.size for manifest in manifests)
    done.doubled += held.doubled
    done.torn += torn


@dataclass(slots=True)
class _Held:
    """What a segment turned out to hold: the numbers that were read, and how many came again."""

    seen: set[tuple[str, str, int]] = field(default_factory=set)
    doubled: int = 0

    def takes(self, record: Record) -> bool:
        key = record.producer, record.epoch, record.sequence
        if key in self.seen:
            self.doubled += 1
            return False
        self.seen.add(key)
        return True


def _parts(payloads: Iterable[bytes], held: _Held) -> Iterator[list[Record]]:
    """The records of each file, in order. ValueError where one cannot be read, or is of a later version."""
    parts: dict[tuple[str, str, str], list[Record]] = {}
    for payload in payloads:
        record = from_json(payload)
        if record.schema > SCHEMA:
            raise ValueError(f"records of schema {record.schema}; this version seals up to {SCHEMA}")
        if not held.takes(record):
            continue
        key = folder_of(record), record.producer, record.epoch
        part = parts.setdefault(key, [])
        part.append(record)
        if len(part) == MOST_ROWS:
            yield _in_order(parts.pop(key))
    for key in sorted(parts):
        yield _in_order(parts[key])


def _in_order(records: list[Record]) -> list[Record]:
    return sorted(records, key=lambda record: record.sequence)


def _publish(records: Sequence[Record], segment: Segment, store: Store) -> Manifest:
    data, manifest = described(records)
    manifest.segment = os.path.basename(segment.path)
    store.put(manifest.file, data)
    store.put(manifest.path, encode(manifest))
    return manifest


def described(records: Sequence[Record]) -> tuple[memoryview, Manifest]:
    """Records of one life and hour, in order, as a file and the manifest that it gets."""
    data, columns = parquet(records)
    first = records[0]
    times = [record.time for record in records]
    return data, Manifest(
        file=file_of(records),
        region=first.region,
        producer=first.producer,
        epoch=first.epoch,
        rows=len(records),
        ranges=runs(record.sequence for record in records),
        sha256=digest(data),
        size=len(data),
        begin=min(times),
        end=max(times),
        schema=SCHEMA,
        segment="",
        columns=columns,
    )


def parquet(records: Sequence[Record]) -> tuple[memoryview, list[str]]:
    """Records as a Parquet file, and its columns."""
    rows = table.table(records)
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd", write_statistics=True)
    return memoryview(sink.getvalue()), rows.column_names

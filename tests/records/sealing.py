"""Spools to seal, and what must then be true of store and spool together."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from safeguards_extproc.core.record import Phase, Record
from safeguards_extproc.records import segments, table
from safeguards_extproc.records.encode import from_json, to_json
from safeguards_extproc.records.sealed import decode, files, hours, manifest_path
from safeguards_extproc.records.stores import Store

EPOCH = f"{1:019x}"
Key = tuple[str, str, int]


def record(
    sequence: int, *, hour: int = 10, producer: str = "worker", epoch: str = EPOCH, region: str = "eu"
) -> Record:
    """A record of an hour of a day."""
    time = f"2026-01-31T{hour:02d}:{sequence % 60:02d}:00.000+00:00"
    request = Phase(scores={"user": {"screen.attack": sequence / 1000}}, features={"bytes": sequence})
    return Record(
        id=f"{producer}-{epoch}-{sequence}",
        time=time,
        region=region,
        producer=producer,
        epoch=epoch,
        sequence=sequence,
        request=request,
    )


def segment(folder: Path, records: Sequence[Record], *, state: str = segments.CLOSED, tail: bytes = b"") -> Path:
    """A segment with these records, of one life, and with a tail."""
    folder.mkdir(parents=True, exist_ok=True)
    first = records[0]
    path = segments.segment_path(folder, first.producer, first.epoch, first.sequence).with_suffix(state)
    path.write_bytes(b"".join(segments.frame(to_json(each)) for each in records) + tail)
    return path


def key(record: Record) -> Key:
    return record.producer, record.epoch, record.sequence


def in_store(store: Store) -> Counter[Key]:
    """The records of all files that count, each as often as it is there."""
    return Counter(key(each) for each in sealed_records(store))


def sealed_records(store: Store) -> Iterable[Record]:
    """The records of all files that count."""
    for hour in list(hours(store)):
        for file in files(store, hour):
            assert file == decode(store.get(manifest_path(file))).file
            yield from (table.to_record(row) for row in pq.read_table(io.BytesIO(store.get(file))).to_pylist())


def in_spool(folder: Path) -> set[Key]:
    """The records that wait in a spool."""
    return {key(from_json(each)) for one in segments.segments(folder) for each in segments.read(one.path)}

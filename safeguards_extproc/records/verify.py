"""Whether what was sealed is all there, unchanged, and once.

The one rule: what a manifest promises is compared with what its file holds, and the numbers of each life of a producer
with each other; what is missing, doubled, changed or without a manifest is named.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from safeguards_extproc.records import segments
from safeguards_extproc.records.encode import from_json
from safeguards_extproc.records.sealed import (
    JOINING,
    MANIFEST,
    PARQUET,
    Manifest,
    decode,
    digest,
    joining_path,
    journal,
    manifest_path,
    runs,
)
from safeguards_extproc.records.stores import Entry, Store

Runs = list[tuple[int, int]]
Life = tuple[str, str]
"""A producer and an epoch."""


@dataclass(slots=True)
class Found:
    """What a store holds, with the spool that was looked at beside it. `problems` say what is wrong with a file;
    `missing` and `doubled` are the sequence numbers of each life that are nowhere, and in two sealed files. `waiting`
    counts records of the spool that are not sealed yet."""

    files: int = 0
    records: int = 0
    bytes: int = 0
    waiting: int = 0
    torn: int = 0
    problems: dict[str, str] = field(default_factory=dict)
    missing: dict[Life, Runs] = field(default_factory=dict)
    doubled: dict[Life, Runs] = field(default_factory=dict)

    @property
    def well(self) -> bool:
        return not (self.problems or self.missing or self.doubled)


def verify(store: Store, spool: Path | None = None, *, quick: bool = False) -> Found:
    """Look at every file of a store; `quick` reads manifests and sizes only. With the spool that is sealed into it,
    numbers that wait there count as there. Records of the end of a life that nobody wrote down leave no gap. OSError if
    store or spool cannot be read."""
    found = Found()
    waiting = _waiting(spool, found) if spool is not None else {}  # first: what is sealed meanwhile is in both
    sealed: dict[Life, Runs] = {}
    entries = list(store.all())
    sizes = {entry.path: entry.size for entry in entries}
    replaced = _replaced(store, sizes, found)
    for entry in entries:
        if entry.path in replaced:
            continue
        if entry.path.endswith(MANIFEST):
            try:
                manifest = decode(store.get(entry.path))
            except ValueError as error:
                found.problems[entry.path] = str(error)
                continue
            problem = _problem(manifest, entry, sizes, store, quick=quick)
            if problem:
                found.problems[manifest.file] = problem
            found.files += 1
            found.records += manifest.rows
            found.bytes += manifest.size
            sealed.setdefault((manifest.producer, manifest.epoch), []).extend(manifest.ranges)
        elif entry.path.endswith(PARQUET) and manifest_path(entry.path) not in sizes:
            again = "joining was broken off, and is done again by records compact"
            if joining_path(entry.path) not in sizes:
                again = "sealing was broken off, and is done again from the spool"
            found.problems[entry.path] = f"has no manifest: {again}"
    for life in sorted({*sealed, *waiting}):
        joined, doubled = join(sealed.get(life, []))
        if doubled:
            found.doubled[life] = doubled
        missing = gaps(join([*joined, *waiting.get(life, [])])[0])
        if missing:
            found.missing[life] = missing
    return found


def _replaced(store: Store, sizes: dict[str, int], found: Found) -> set[str]:
    """Files, and their manifests, whose records another file has taken over."""
    replaced: set[str] = set()
    for path in sizes:
        if path.endswith(JOINING):
            try:
                told = journal(store.get(path))
            except ValueError as error:
                found.problems[path] = str(error)
                continue
            if manifest_path(told.file) in sizes and told.file in sizes:
                replaced.update(told.parts, map(manifest_path, told.parts))
    return replaced


def join(ranges: Iterable[tuple[int, int]]) -> tuple[Runs, Runs]:
    """Runs in order, joined where they touch, and the numbers that were in two of them."""
    joined: Runs = []
    doubled: Runs = []
    for first, last in sorted(ranges):
        if not joined or first > joined[-1][1] + 1:
            joined.append((first, last))
            continue
        begin, end = joined[-1]
        if first <= end:
            doubled.append((first, min(last, end)))
        joined[-1] = begin, max(end, last)
    return joined, join(doubled)[0] if doubled else []


def gaps(joined: Runs) -> Runs:
    """The numbers from 1 to the highest that are in no run."""
    before = [(0, 0), *joined]
    return [(low[1] + 1, high[0] - 1) for low, high in zip(before, joined, strict=False) if high[0] > low[1] + 1]


def _waiting(spool: Path, found: Found) -> dict[Life, Runs]:
    """The numbers that lie in a spool."""
    waiting: dict[Life, Runs] = {}
    for segment in segments.segments(spool):
        reading = segments.read(segment.path)
        numbers = sorted(from_json(payload).sequence for payload in _there(reading))
        waiting.setdefault((segment.producer, segment.epoch), []).extend(runs(numbers))
        found.waiting += len(numbers)
        found.torn += reading.left if segment.closed else 0
    return waiting


def _there(reading: segments.Reading) -> Iterator[bytes]:
    """The payloads of a segment; none if it was sealed a moment ago."""
    try:
        yield from reading
    except FileNotFoundError:
        return


def _problem(manifest: Manifest, entry: Entry, sizes: dict[str, int], store: Store, *, quick: bool) -> str:
    size = sizes.get(manifest.file)
    if manifest.path != entry.path:
        return f"its manifest lies at {entry.path}"
    if size is None:
        return "is missing"
    if size != manifest.size:
        return f"has {size} bytes, its manifest says {manifest.size}"
    if manifest.rows != sum(last - first + 1 for first, last in manifest.ranges):
        return "has not the rows that its ranges say"
    if quick:
        return ""
    data = store.get(manifest.file)
    if digest(data) != manifest.sha256:
        return "is not the file that its manifest describes"
    return _content(data, manifest)


def _content(data: bytes, manifest: Manifest) -> str:
    try:
        rows = pq.read_table(io.BytesIO(data), columns=["producer", "epoch", "sequence"])
    except (OSError, pa.ArrowException):
        return "is no Parquet file of records"
    lives = set(zip(rows["producer"].to_pylist(), rows["epoch"].to_pylist(), strict=True))
    if lives != {(manifest.producer, manifest.epoch)} or runs(rows["sequence"].to_pylist()) != manifest.ranges:
        return "does not hold the records that its manifest names"
    return ""

"""Sealed files of records: how they are called, and what the manifest beside each says.

The one rule: a file counts when its manifest is there, and the same records make the same names. A store is laid out as
`REGION/date=YYYY-MM-DD/hour=HH/PRODUCER-EPOCH-FIRST-LAST.parquet`, by the time of a record's first message in UTC, with
the manifest at `….json`. Where several files have become one (compact.py), `….joining` names those that no longer count
once the one does.
"""

from __future__ import annotations

import errno
import hashlib
import re
import urllib.parse
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from functools import lru_cache

import msgspec

from safeguards_extproc.core.record import Record
from safeguards_extproc.records.stores import Store

PARQUET, MANIFEST, JOINING = ".parquet", ".json", ".joining"
NOWHERE = "_"
"""The folder of records that name no region."""

_HOUR = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d):")
_TO_THE_HOUR = len("2026-01-31T09:")
_NO_HOUR = ("1970-01-01", "00")
_FOLDERS = ("date=", "hour=")


@dataclass(slots=True)
class Manifest:
    """What a sealed file holds. `ranges` are its sequence numbers, first and last of each run, in order. `sha256` and
    `size` are of the file's bytes. `begin` and `end` are the times of its earliest and latest record. `segment` is what
    was sealed, "" for a file that was joined of others; `parts` are all of these, whose records it holds."""

    file: str
    region: str
    producer: str
    epoch: str
    rows: int
    ranges: list[tuple[int, int]]
    sha256: str
    size: int
    begin: str
    end: str
    schema: int
    segment: str
    columns: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)

    @property
    def path(self) -> str:
        """Where the manifest itself lies."""
        return manifest_path(self.file)


@dataclass(slots=True)
class Journal:
    """Files that become one: `file` holds, or is to hold, the records of `parts`. `at` is when that began, in seconds
    since 1970."""

    file: str
    parts: list[str]
    at: float

    @property
    def path(self) -> str:
        """Where the journal itself lies."""
        return joining_path(self.file)


def encode(manifest: Manifest | Journal) -> bytes:
    """A manifest or journal as its file holds it."""
    return msgspec.json.encode(manifest) + b"\n"


def decode(data: bytes) -> Manifest:
    """A manifest from its file. ValueError if it is none."""
    try:
        return msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"no manifest: {error}") from None


def journal(data: bytes) -> Journal:
    """A journal from its file. ValueError if it is none."""
    try:
        return msgspec.json.decode(data, type=Journal)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"no journal: {error}") from None


def folder_of(record: Record) -> str:
    """Where a record's file lies."""
    return _folder(record.region, record.time[:_TO_THE_HOUR])


@lru_cache(1024)
def _folder(region: str, begin: str) -> str:
    hour = _HOUR.match(begin)
    date, of_day = hour.groups() if hour else _NO_HOUR
    return f"{urllib.parse.quote(region, safe='') or NOWHERE}/{_FOLDERS[0]}{date}/{_FOLDERS[1]}{of_day}"


def file_of(records: Sequence[Record]) -> str:
    """The path of the file of these records, which have one folder, producer and epoch, and stand in order."""
    first, last = records[0], records[-1]
    name = f"{first.producer}-{first.epoch}-{first.sequence:012d}-{last.sequence:012d}"
    return f"{folder_of(first)}/{name}{PARQUET}"


def manifest_path(file: str) -> str:
    return file.removesuffix(PARQUET) + MANIFEST


def joining_path(file: str) -> str:
    return file.removesuffix(PARQUET) + JOINING


def digest(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()


def runs(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Numbers that rise, as runs: the first and the last of each."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def hours(store: Store, since: str = "", until: str = "", region: str | None = None) -> Iterator[str]:
    """The folders of hours that may hold records of times in [since, until), which are written as records write theirs
    (2026-01-31T09:00, or less of it); "" is no bound. OSError if the store cannot be read."""
    wanted = None if region is None else (urllib.parse.quote(region, safe="") or NOWHERE)
    for place in store.folders():
        if wanted is not None and place != wanted:
            continue
        for date in store.folders(place):
            day = date.removeprefix(_FOLDERS[0])
            if day == date or (since and day < since[:10]) or (until and day > until[:10]):
                continue
            for hour in store.folders(f"{place}/{date}"):
                at = f"{day}T{hour.removeprefix(_FOLDERS[1])}"
                if not ((since and at < since[:13]) or (until and at >= until)):
                    yield f"{place}/{date}/{hour}"


def begin(folder: str) -> str:
    """When the hour of a folder begins, as records write it."""
    _, date, hour = folder.split("/")
    return f"{date.removeprefix(_FOLDERS[0])}T{hour.removeprefix(_FOLDERS[1])}"


def files(store: Store, folder: str) -> list[str]:
    """The paths of the sealed files in a folder: those whose manifest is there, and whose records no other file has
    taken over. OSError if the store cannot be read."""
    while True:
        there = {entry.path for entry in store.all(folder)}
        try:
            return sorted(counting(store, there))
        except FileNotFoundError:  # a journal, and with it its parts, is gone since
            continue


def counting(store: Store, there: Set[str]) -> set[str]:
    """The same of all paths that there are. FileNotFoundError if a journal among them is not there any more, OSError if
    it is none."""
    found = {path for path in there if path.endswith(PARQUET) and manifest_path(path) in there}
    for path in there:
        if path.endswith(JOINING) and path.removesuffix(JOINING) + PARQUET in found:
            try:
                found.difference_update(journal(store.get(path)).parts)
            except ValueError as error:
                raise OSError(errno.EIO, f"{path}: {error}") from None
    return found


def span_of(file: str) -> tuple[str, int, int]:
    """Of a file's name: whose life it is (producer and epoch), its first and its last sequence number. A name that says
    no such thing has the numbers 0."""
    life, *numbers = file.rpartition("/")[2].removesuffix(PARQUET).rsplit("-", 2)
    if len(numbers) != 2 or not all(map(str.isdecimal, numbers)):
        return life, 0, 0
    return life, int(numbers[0]), int(numbers[1])


def holder(store: Store, file: str) -> Manifest | None:
    """The manifest of the file that has taken over the records of `file`; None if there is none. OSError if
    the store cannot be read, ValueError if a manifest cannot."""
    life, first, last = span_of(file)
    for other in files(store, file.rpartition("/")[0]):
        theirs, begin, end = span_of(other)
        if theirs == life and begin <= first and last <= end and other != file:
            manifest = decode(store.get(manifest_path(other)))
            if file in manifest.parts:
                return manifest
    return None

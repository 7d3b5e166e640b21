"""Joins the small files of a store: of one hour, and of one life of a producer, several become one.

The one rule: at any moment every record counts once. A journal says first which files become one; the one counts when
its manifest is there, and from then on those that the journal names do not (sealed.files). They are deleted a while
later, for readers that had begun, once the one has been read back; the journal goes last. Whoever is killed anywhere is
repeated from the journal. One at a time for a store: on a disk a lock sees to that.
"""

from __future__ import annotations

import fcntl
import io
import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from safeguards_extproc.core.record import Record
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.records import sealed, table
from safeguards_extproc.records.seal import MOST_ROWS, described
from safeguards_extproc.records.sealed import Journal, Manifest, digest, encode, manifest_path
from safeguards_extproc.records.stores import Store

LOCK = ".compacting"


@dataclass(frozen=True, slots=True)
class Settings:
    """A file has `most_rows` at most. Files that were replaced stay for `keep_s`, so that who reads them can end."""

    most_rows: int = MOST_ROWS
    keep_s: float = 600.0


@dataclass(slots=True)
class Round:
    """What was done: `parts` became `joined` files, which hold `records`; so many files were `deleted`. `left` says of
    what stays as it is why."""

    parts: int = 0
    joined: int = 0
    records: int = 0
    deleted: int = 0
    left: dict[str, str] = field(default_factory=dict)


DEFAULT = Settings()


def compact(store: Store, until: str, now: float, settings: Settings = DEFAULT) -> Round:
    """Join what lies in hours that begin before `until`, which is written as records write times. `now` is in seconds
    since 1970. OSError if the store cannot be read; what goes wrong with an hour or a file is in `left`. ConfigError if
    another is at it."""
    done = Round()
    with _alone(store):
        for hour in sealed.hours(store, until=until):
            try:
                _hour(store, hour, now, settings, done)
            except (OSError, ValueError) as error:
                done.left[hour] = str(error)
    return done


def _hour(store: Store, hour: str, now: float, settings: Settings, done: Round) -> None:
    there = {entry.path for entry in store.all(hour)}
    for path in sorted(there):
        if path.endswith(sealed.JOINING):
            _go_on(store, sealed.journal(store.get(path)), there, now, settings, done)
    manifests = [sealed.decode(store.get(manifest_path(file))) for file in sealed.files(store, hour)]
    again = {part for manifest in manifests for part in manifest.parts}
    for manifest in manifests:
        if manifest.file in again:  # whoever sealed it had stood still for as long as parts are kept
            _delete(store, manifest.file, done)
    for group in _groups([each for each in manifests if each.file not in again], settings.most_rows):
        _join(store, group, now, done)


def _groups(manifests: Sequence[Manifest], most: int) -> Iterator[list[Manifest]]:
    """Files of one life that follow each other and fit into one; a file that none fits to is left alone."""
    for _, of in itertools.groupby(sorted(manifests, key=_place), key=lambda each: (each.producer, each.epoch)):
        group: list[Manifest] = []
        for each in of:
            if group and sum(one.rows for one in group) + each.rows > most:
                yield from [group] if len(group) > 1 else ()
                group = []
            group.append(each)
        yield from [group] if len(group) > 1 else ()


def _place(manifest: Manifest) -> tuple[str, str, int, int]:
    return manifest.producer, manifest.epoch, *sealed.span_of(manifest.file)[1:]


def _join(store: Store, group: Sequence[Manifest], now: float, done: Round) -> None:
    """Begin: the journal first, so that a kill leaves nothing that nobody knows of."""
    try:
        records = _records(store, group)
    except ValueError as error:
        done.left[group[0].file] = str(error)
        return
    file = sealed.file_of(records)
    if any(file == each.file for each in group):
        done.left[file] = "holds numbers of the others in between"
        return
    journal = Journal(file, [each.file for each in group], now)
    store.put(journal.path, encode(journal))
    _publish(store, records, group, done)


def _publish(store: Store, records: Sequence[Record], group: Sequence[Manifest], done: Round) -> None:
    data, manifest = described(records)
    manifest.parts = sorted({*(each.file for each in group), *(part for each in group for part in each.parts)})
    store.put(manifest.file, data)
    store.put(manifest.path, encode(manifest))
    done.parts += len(group)
    done.joined += 1
    done.records += len(records)


def _go_on(store: Store, journal: Journal, there: set[str], now: float, settings: Settings, done: Round) -> None:
    """What a journal says was begun: do it again where the file does not count, or end it where it has for long."""
    if manifest_path(journal.file) in there:
        if now - journal.at < settings.keep_s:
            return
        manifest = sealed.decode(store.get(manifest_path(journal.file)))
        if digest(store.get(journal.file)) == manifest.sha256:
            for part in journal.parts:
                _delete(store, part, done)
            store.delete(journal.path)
            return
        if not there.issuperset(journal.parts):
            raise ValueError(f"{journal.file} is not the file that its manifest describes")
        store.delete(manifest.path)  # so its parts count again, and become it anew
    group = [sealed.decode(store.get(manifest_path(part))) for part in journal.parts]
    _publish(store, _records(store, group), group, done)


def _records(store: Store, group: Sequence[Manifest]) -> list[Record]:
    """The records of files, in order. ValueError where one is not what its manifest says."""
    found: list[Record] = []
    for manifest in group:
        data = store.get(manifest.file)
        if digest(data) != manifest.sha256:
            raise ValueError(f"{manifest.file} is not the file that its manifest describes")
        try:
            rows = pq.read_table(io.BytesIO(data)).to_pylist(maps_as_pydicts="lossy")
        except pa.ArrowException as error:
            raise ValueError(f"{manifest.file}: {type(error).__name__}") from None
        found += map(table.to_record, rows)
    if len({record.sequence for record in found}) < len(found):
        raise ValueError(f"{group[0].file} and those after it hold some records twice")
    return sorted(found, key=lambda record: record.sequence)


def _delete(store: Store, file: str, done: Round) -> None:
    """The manifest first: then the file does not count, whatever comes between."""
    store.delete(manifest_path(file))
    store.delete(file)
    done.deleted += 1


@contextmanager
def _alone(store: Store) -> Iterator[None]:
    """Nobody else joins files of this store meanwhile, if it is a folder."""
    if store.folder is None:
        yield
        return
    store.folder.mkdir(parents=True, exist_ok=True)
    fd = os.open(store.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError("another is joining files of this store", where=store.url) from None
        yield
    finally:
        os.close(fd)

"""Replay through records: months of traffic decided again from Parquet files, with no text anywhere.

The one rule: files are looked at one batch of rows at a time, and what is the same of many rows is counted once. Rows
of a batch that differ in nothing but whose exchange they are become one pair; only those that a comparison wants by
themselves are told so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from numpy.typing import NDArray

from safeguards_extproc.core.record import Record
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.policy.compile import CompiledPolicy
from safeguards_extproc.records import sealed, table
from safeguards_extproc.records.query import column as quoted
from safeguards_extproc.records.query import quote
from safeguards_extproc.records.stores import Store, open_store
from safeguards_extproc.replay import settle
from safeguards_extproc.replay.compare import Comparison, Group, group
from safeguards_extproc.replay.facts import lacking
from safeguards_extproc.replay.recompute import (
    INDIVIDUAL,
    Decider,
    Way,
    group_names,
    python_only,
    query,
    verdicts,
)
from safeguards_extproc.replay.verdict import Pair, Verdict, of

BATCH = 131_072
"""Rows that are looked at together."""

MEMORY = "256MB"
"""What the database may use beside them."""

NOT_ENOUGH = "the record does not hold what decides it: a field is masked, or a rule drops items of a very long list"

Labels = Mapping[str, str]
"""What an exchange deserves (Pair.deserved), by its record's id."""

HERE = open_store("/")
"""This machine's disk; its files are absolute paths."""

Told = Callable[[int], None]
"""Hears how many rows have been decided since it was last told."""


@dataclass(frozen=True, slots=True)
class Policies:
    """`after` decides again, and so does `against`, if given; otherwise before is what the records say."""

    after: CompiledPolicy
    against: CompiledPolicy | None = None

    @property
    def deciding(self) -> list[CompiledPolicy]:
        return [self.after] if self.against is None else [self.against, self.after]


def run(
    files: Sequence[str],
    policies: Policies,
    comparison: Comparison,
    labels: Labels | None = None,
    *,
    threads: int = 0,
    told: Told = lambda rows: None,
    store: Store = HERE,
) -> None:
    """Decide every record of the files again and count what changes. ConfigError if a file cannot be read."""
    with duckdb.connect(config={"memory_limit": MEMORY, "preserve_insertion_order": False}) as db:
        if threads:
            db.execute(f"SET threads = {int(threads)}")
        if labels:
            rows = {"id": list(labels), "deserved": list(labels.values())}
            db.register("labels", pa.table(rows, schema=pa.schema([("id", pa.string()), ("deserved", pa.string())])))
        for some in groups(files, store):
            try:
                _run_group(db, some, policies, comparison, labels or {}, told)
            except (duckdb.Error, OSError) as error:
                raise ConfigError(f"cannot be read: {type(error).__name__}", where=store.url) from error


@dataclass(frozen=True, slots=True)
class Files:
    """Files of a store whose columns have the same types wherever they have the same name, which `schema` joins."""

    store: Store
    files: tuple[str, ...]
    schema: pa.Schema
    rows: int

    @property
    def types(self) -> Mapping[str, str]:
        """The columns and their types, as DuckDB calls those that rules read."""
        return {name: _type(self.schema.field(name).type) for name in self.schema.names}

    def source(self, db: duckdb.DuckDBPyConnection) -> str:
        """What to select from. A disk is read by DuckDB itself, any other store through pyarrow."""
        lacking = [field for field in table.FIXED if field.name not in self.schema.names]
        if self.store.folder is None:
            schema = pa.schema([*self.schema, *lacking])
            db.register("sealed", ds.dataset(list(self.files), schema, format="parquet", filesystem=self.store.files))
            return "sealed"
        names = ", ".join(quote(str(self.store.folder / file)) for file in self.files)
        found = f"read_parquet([{names}], union_by_name = true, hive_partitioning = false)"
        nothing = "".join(f", NULL AS {quoted(field.name)}" for field in lacking)
        return f"(SELECT *{nothing} FROM {found})" if nothing else found  # noqa: S608


def groups(files: Iterable[str], store: Store = HERE) -> list[Files]:
    """The files, together as far as their columns allow it, in order."""
    found: list[tuple[list[str], dict[str, pa.DataType], int]] = []
    for file in files:
        try:
            with store.files.open_input_file(file) as opened:
                meta = pq.ParquetFile(opened)
                schema, rows = meta.schema_arrow, meta.metadata.num_rows
        except (OSError, pa.ArrowException) as error:
            raise ConfigError(f"cannot be read: {type(error).__name__}", where=file) from None
        types = {name: schema.field(name).type for name in schema.names}
        missing = [name for name in table.FIXED.names if name not in types and name not in table.LATER]
        if missing:
            raise ConfigError(f"not a table of records: no column {missing[0]!r}", where=file)
        for at, (members, known, before) in enumerate(found):
            if all(known.get(name, type_) == type_ for name, type_ in types.items()):
                found[at] = ([*members, file], known | types, before + rows)
                break
        else:
            found.append(([file], types, rows))
    return [Files(store, tuple(members), pa.schema(list(types.items())), rows) for members, types, rows in found]


def sealed_files(store: Store) -> list[str]:
    """Every sealed file of a store, by hour. ConfigError if there is none, or the store cannot be read."""
    try:
        found = [file for hour in sealed.hours(store) for file in sealed.files(store, hour)]
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror or type(error).__name__}", where=store.url) from None
    if not found:
        raise ConfigError("no sealed records", where=store.url, hint="safeguards-extproc records seal makes them")
    return found


def pairs(
    records: Iterable[Record], policies: Policies, labels: Labels, undecided: Callable[[str], None]
) -> Iterator[Pair]:
    """Records decided one by one by the policies' own functions."""
    for record in records:
        reason = next(filter(None, (lacking(record, policy) for policy in policies.deciding)), None)
        if reason is not None:
            undecided(reason.value)
            continue
        said = of(record)
        found = [_again(said, record, policy) for policy in policies.deciding]
        yield Pair(found[0] if policies.against else said, found[-1], labels.get(record.id, ""))


def _again(said: Verdict, record: Record, policy: CompiledPolicy) -> Verdict:
    came = settle.decide(record, policy)
    admitted = all(limit.allowed or not limit.enforced for limit in record.limits)
    return replace(
        said,
        request=came.request,
        response=came.response,
        outcome=came.outcome,
        rule=came.rule,
        category=came.category,
        judged=came.true and admitted,
        latency_ms=None,
    )


def _type(type_: pa.DataType) -> str:
    names = {pa.string(): "VARCHAR", pa.int64(): "BIGINT", pa.float64(): "DOUBLE", pa.bool_(): "BOOLEAN"}
    return names.get(type_, str(type_))


def _score(parts: Sequence[str]) -> bool:
    """Whether a column's name is that of a score: direction, "scores", kind, detector, label."""
    return len(parts) == 5 and parts[1] == "scores"


def _run_group(
    db: duckdb.DuckDBPyConnection,
    some: Files,
    policies: Policies,
    comparison: Comparison,
    labels: Labels,
    told: Told,
) -> None:
    deciders = [Decider.of(policy, some.types) for policy in policies.deciding]
    comparison.seen |= {".".join(parts[3:]) for parts in (name.split(".") for name in some.types) if _score(parts)}
    names, source = group_names(deciders), some.source(db)
    known: dict[tuple[object, ...], _Alike] = {}
    by_python = 0
    reader = db.sql(query(source, deciders, "labels" if labels else "")).to_arrow_reader(BATCH)
    for batch in reader:
        by_python += _count(batch, names, deciders, policies, comparison, known)
        told(batch.num_rows)
    if by_python:
        rows = db.sql(python_only(source, deciders)).to_arrow_reader(BATCH // 16)
        records = (table.to_record(row) for batch in rows for row in batch.to_pylist(maps_as_pydicts="lossy"))
        comparison.add_all(pairs(records, policies, labels, lambda reason: comparison.undecided.update([reason])))


def _count(
    batch: pa.RecordBatch,
    names: Sequence[str],
    deciders: Sequence[Decider],
    policies: Policies,
    comparison: Comparison,
    known: dict[tuple[object, ...], _Alike],
) -> int:
    """Count a batch; how many rows are left to be decided in Python."""
    first, which, counts = distinct([batch.column(name) for name in names])
    columns = [batch.column(name).take(pa.array(first)).to_pylist() for name in names]
    latency = batch.column("latency_ms").to_numpy(zero_copy_only=False).astype(np.float64)
    way = batch.column("way").to_numpy(zero_copy_only=False)
    comparison.before_ms.add_all(latency[way == Way.SQL])
    told = np.zeros(len(first), np.bool_)
    found: list[_Alike | None] = []
    by_python = 0
    for at, key in enumerate(zip(*columns, strict=True)):
        row = dict(zip(names, key, strict=True))
        if row["way"] != Way.SQL:
            found.append(None)
            by_python += int(counts[at]) if row["way"] == Way.PYTHON else 0
            if row["way"] == Way.NOT:
                comparison.undecided[NOT_ENOUGH] += int(counts[at])
            continue
        alike = known.get(key)
        if alike is None:
            said = verdicts(row, deciders)
            before = said[0] if policies.against else verdicts(row, ())[0]
            pair = Pair(before, said[-1], str(row["deserved"]))
            alike = known[key] = _Alike(pair, group(pair), comparison.strikes(pair))
        found.append(alike)
        comparison.count(alike.pair, int(counts[at]))
        told[at] = alike.strikes or alike.group is not None
    rows = np.flatnonzero(told[which])
    ids = batch.column("id").take(pa.array(rows)).to_pylist()
    for at, number, id_ in zip(rows, which[rows], ids, strict=True):
        one = found[number]
        if one is not None and (one.strikes or (one.group is not None and comparison.draws(one.group, id_))):
            who = {name: batch.column(name)[at].as_py() for name in INDIVIDUAL}
            comparison.tell(Pair(replace(one.pair.before, **who), replace(one.pair.after, **who), one.pair.deserved))
    return by_python


class _Alike(NamedTuple):
    """Exchanges that differ in nothing but whose they are."""

    pair: Pair
    group: Group | None
    strikes: bool


def distinct(columns: Sequence[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Of rows of Arrow columns: the first row of each kind, the kind of each row, and how many there are of each."""
    codes = np.zeros(len(columns[0]), np.int64)
    size = 1
    for column in columns:
        encoded = column.dictionary_encode()
        width = max(1, len(encoded.dictionary))
        if size * width > 1 << 62:
            codes = np.unique(codes, return_inverse=True)[1].astype(np.int64)
            size = int(codes.max(initial=0)) + 1
        codes = codes * width + encoded.indices.to_numpy(zero_copy_only=False)
        size *= width
    _, first, which, counts = np.unique(codes, return_index=True, return_inverse=True, return_counts=True)
    return first, which, counts

"""Parquet files decided again: what is counted is what the policy's own function says of each record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from safeguards_extproc.core.record import ItemFacts, Record
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.policy.account_document import EnforcementSpec, Rung, StrikeSpec
from safeguards_extproc.records import table
from safeguards_extproc.records.stores import Store, open_store
from safeguards_extproc.replay.compare import Comparison
from safeguards_extproc.replay.histogram import Histogram
from safeguards_extproc.replay.identities import Identities
from safeguards_extproc.replay.records import HERE, Policies, distinct, groups, pairs, run, sealed_files
from safeguards_extproc.replay.verdict import latency
from tests.replay.random_records import Making
from tests.replay.test_compare import shown

LADDER = EnforcementSpec(strikes=[StrikeSpec()], ladder=[Rung(at=2.0, step="warn"), Rung(at=4.0, step="throttle")])


def written(records: Sequence[Record], folder: Path, size: int = 150) -> list[str]:
    """Files of `size` records each."""
    files = []
    for start in range(0, len(records), size):
        files.append(str(folder / f"{start}.parquet"))
        pq.write_table(table.table(records[start : start + size]), files[-1])
    return files


def by_hand(records: Sequence[Record], policies: Policies, labels: dict[str, str]) -> Comparison:
    comparison = Comparison(Identities(LADDER, LADDER))
    for pair in pairs(records, policies, labels, lambda reason: comparison.undecided.update([reason])):
        comparison.add(pair._replace(before=pair.before) if policies.against else pair)
    return comparison


def counts(comparison: Comparison) -> object:
    """All but latencies, which stand for themselves below."""
    comparison.before_ms = Histogram()
    return shown(comparison), sum(comparison.undecided.values())


@pytest.mark.long
@pytest.mark.parametrize("against", [False, True])
def test_files_are_counted_as_records_are(tmp_path: Path, against: bool) -> None:
    """With labels, against what is recorded or against another policy: every count, example and identity."""
    making = Making(21)
    for _ in range(3):
        policies = Policies(making.policy(), making.policy() if against else None)
        records = [making.record() for _ in range(400)]
        labels = {record.id: "block" if record.sequence % 2 else "allow" for record in records[:100]}
        comparison = Comparison(Identities(LADDER, LADDER))
        heard: list[int] = []
        run(written(records, tmp_path), policies, comparison, labels, threads=1, told=heard.append)
        assert sum(heard) == len(records)
        assert counts(by_hand(records, policies, labels)) == counts(comparison)


def test_latencies_are_those_of_the_records(tmp_path: Path) -> None:
    """Each that was measured, once."""
    making = Making(22, drops=False)
    records = [making.record() for _ in range(200)]
    for record in records:
        record.masked, record.limits = [], []
        record.request.account.uninspectable = record.response.account.uninspectable = ""
    comparison = Comparison()
    run(written(records, tmp_path), Policies(making.policy()), comparison)
    measured = [ms for record in records if (ms := latency(record.request)) is not None]
    expected = Histogram()
    for ms in measured:
        expected.add(ms)
    assert expected.counts.tolist() == comparison.before_ms.counts.tolist()


def test_files_of_other_types_are_read_apart(tmp_path: Path) -> None:
    """A feature that is a number in one file and a word in another keeps its type in each."""
    making = Making(23)
    first, second = making.record(), making.record()
    first.request.features, second.request.features = {"n": 1}, {"n": "one"}
    files = written([first, second, first], tmp_path, size=1)
    assert [(files[0], files[2]), (files[1],)] == [group.files for group in groups(files)]


def test_what_is_no_table_of_records(tmp_path: Path) -> None:
    """The file is named, whatever is wrong with it."""
    other, broken = tmp_path / "other.parquet", tmp_path / "broken.parquet"
    pq.write_table(pa.table({"a": [1]}), other)
    broken.write_bytes(b"no")
    for file in (other, broken, tmp_path / "gone.parquet"):
        with pytest.raises(ConfigError, match=file.name):
            groups([str(file)])


def test_rows_that_differ_in_nothing_are_one() -> None:
    """The first of each kind, the kind of each row, and how many; with more kinds than 64 bits count, too."""
    columns = [pa.array([f"{at}-{at * 7 % 5}" for at in (1, 2, 1, 3, 2)]) for _ in range(40)]
    first, which, how_many = distinct(columns)
    assert ([0, 1, 3], [0, 1, 0, 2, 1], [2, 2, 1]) == (first.tolist(), which.tolist(), how_many.tolist())
    wide = [pa.array(list(range(3000))) for _ in range(8)]
    assert list(range(3000)) == sorted(distinct(wide)[0].tolist())


def test_files_of_early_versions_are_decided(tmp_path: Path) -> None:
    """They lack what items scored; only where a rule drops items of a list is that too little."""
    making = Making(25)
    policies, records = Policies(making.policy()), [making.record() for _ in range(100)]
    for record in records:
        record.request.item_facts = record.response.item_facts = ItemFacts()
    whole, early = tmp_path / "whole.parquet", tmp_path / "early.parquet"
    rows = table.table(records)
    pq.write_table(rows, whole)
    pq.write_table(rows.drop_columns(sorted(table.LATER)), early)
    far = replace(open_store(str(tmp_path)), folder=None)
    found = []
    for files, store in (([str(whole)], HERE), ([str(early)], HERE), ([early.name], far)):
        comparison = Comparison(Identities(LADDER, LADDER))
        run(files, policies, comparison, store=store)
        found.append(counts(comparison))
    assert found[0] == found[1] == found[2] == counts(by_hand(records, policies, {}))


def sealed_store(folder: Path, records: Sequence[Record]) -> Store:
    """A store as the sealer lays it out, that is not on this machine's disk as far as anybody can see."""
    place = folder / "eu" / "date=2026-01-02" / "hour=03"
    place.mkdir(parents=True)
    for file in written(records, place):
        Path(file).with_suffix(".json").write_text("{}")
    (place / "unfinished.parquet").write_bytes(b"no")
    return replace(open_store(str(folder)), folder=None)


@pytest.mark.long
def test_a_store_is_decided_as_files_are(tmp_path: Path) -> None:
    """Where the disk is not DuckDB's to read: through pyarrow, those files alone that have a manifest."""
    making = Making(24)
    policies, records = Policies(making.policy()), [making.record() for _ in range(400)]
    store = sealed_store(tmp_path / "sealed", records)
    comparison = Comparison(Identities(LADDER, LADDER))
    run(sealed_files(store), policies, comparison, store=store)
    assert counts(by_hand(records, policies, {})) == counts(comparison)
    with pytest.raises(ConfigError, match="no sealed records"):
        sealed_files(open_store(str(tmp_path / "empty")))

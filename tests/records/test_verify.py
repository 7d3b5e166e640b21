"""What is missing, doubled or changed in a store is found and named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeguards_extproc.records.seal import seal
from safeguards_extproc.records.sealed import runs
from safeguards_extproc.records.stores import Store, open_store
from safeguards_extproc.records.verify import gaps, join, verify
from tests.records.sealing import EPOCH, record, segment

LIFE = ("worker", EPOCH)
HOUR = "eu/date=2026-01-31/hour=10"


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def store(tmp_path: Path, spool: Path) -> Store:
    """Two sealed files of one life: 1 to 3 and 4 to 6."""
    store = open_store(str(tmp_path / "sealed"))
    segment(spool, [record(1), record(2), record(3)])
    segment(spool, [record(4), record(5), record(6)])
    seal(spool, store)
    return store


def test_all_is_well(store: Store, spool: Path) -> None:
    """With what still waits in the spool counted."""
    segment(spool, [record(7)])
    found = verify(store, spool)
    assert found.well
    assert (2, 6, 1) == (found.files, found.records, found.waiting)


@pytest.mark.parametrize("quick", [False, True])
def test_a_missing_file_is_named(store: Store, quick: bool) -> None:
    """Its manifest says what it was."""
    assert store.folder is not None
    lost = next(iter(sorted((store.folder / HOUR).glob("*.parquet"))))
    lost.unlink()
    assert {f"{HOUR}/{lost.name}": "is missing"} == verify(store, quick=quick).problems


@pytest.mark.parametrize(
    ("change", "said", "quick"),
    [
        (lambda data: data[:-1], "bytes, its manifest says", True),
        (lambda data: data[:50] + b"x" + data[51:], "is not the file that its manifest describes", False),
    ],
    ids=["shorter", "changed"],
)
def test_a_changed_file_is_named(change, said: str, quick: bool, store: Store) -> None:
    """A byte is enough; its length alone shows without reading it."""
    path = next(entry.path for entry in store.all() if entry.path.endswith(".parquet"))
    store.put(path, change(store.get(path)))
    assert said in verify(store).problems[path]
    assert quick == (path in verify(store, quick=True).problems)


def test_a_manifest_of_another_file_is_noticed(store: Store) -> None:
    """It names other records than those that its file holds."""
    path = next(entry.path for entry in store.all() if entry.path.endswith(".json"))
    store.put(path, store.get(path).replace(b"[1,3]", b"[2,4]"))
    assert ["does not hold the records that its manifest names"] == list(verify(store).problems.values())


def test_a_manifest_that_cannot_be_read_is_named(store: Store) -> None:
    """And its file has none then."""
    path = next(entry.path for entry in store.all() if entry.path.endswith(".json"))
    store.put(path, b"{")
    assert [path] == list(verify(store).problems)


def test_a_file_without_a_manifest_is_named(store: Store) -> None:
    """Sealing was broken off; the segment is still there."""
    store.put(f"{HOUR}/worker-{EPOCH}-{7:012d}-{7:012d}.parquet", b"")
    assert "has no manifest" in str(verify(store).problems)


def test_numbers_that_are_nowhere_are_named(store: Store, spool: Path) -> None:
    """Of a life whose file is gone with its manifest, or that lost a record before it was sealed."""
    segment(spool, [record(9), record(10)])
    segment(spool, [record(2, producer="other")])
    found = verify(store, spool)
    assert {LIFE: [(7, 8)], ("other", EPOCH): [(1, 1)]} == found.missing
    assert not found.well


def test_numbers_in_two_files_are_named(store: Store, spool: Path) -> None:
    """A file that was copied under another name."""
    segment(spool, [record(3), record(4)])
    seal(spool, store)
    assert {LIFE: [(3, 4)]} == verify(store).doubled


@given(st.lists(st.sets(st.integers(1, 40), min_size=1), max_size=4))
def test_runs_are_joined_and_gaps_are_the_rest(parts: list[set[int]]) -> None:
    """As sets say it."""
    every = set().union(*parts)
    joined, doubled = join(run for part in parts for run in runs(sorted(part)))
    assert runs(sorted(every)) == joined
    assert numbers(gaps(joined)) == set(range(1, max(every, default=0))) - every
    assert numbers(doubled) == {number for number in every if sum(number in part for part in parts) > 1}


def numbers(found: list[tuple[int, int]]) -> set[int]:
    return {number for first, last in found for number in range(first, last + 1)}

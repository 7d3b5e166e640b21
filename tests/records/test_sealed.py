"""Names of sealed files, and what their manifests say."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeguards_extproc.core.record import Record
from safeguards_extproc.records.sealed import (
    Manifest,
    decode,
    encode,
    file_of,
    files,
    folder_of,
    hours,
    manifest_path,
    runs,
)
from safeguards_extproc.records.stores import Store, open_store
from tests.records.sealing import EPOCH, record


def test_a_manifest_is_read_as_it_was_written() -> None:
    """Ranges included."""
    manifest = Manifest("a.parquet", "eu", "w", "e", 3, [(1, 2), (4, 4)], "00", 7, "a", "b", 1, "s", ["id"])
    assert manifest == decode(encode(manifest))


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"file": "my secret"}', b"\xff"])
def test_what_is_no_manifest_is_refused_without_a_quote(data: bytes) -> None:
    """Whatever lies there."""
    with pytest.raises(ValueError, match="no manifest") as caught:
        decode(data)
    assert "secret" not in str(caught.value)


@given(st.sets(st.integers(1, 60)))
def test_runs_hold_the_numbers(numbers: set[int]) -> None:
    """All of them, none else, and no two runs touch."""
    found = runs(sorted(numbers))
    assert numbers == {number for first, last in found for number in range(first, last + 1)}
    assert all(high[0] > low[1] + 1 for low, high in itertools.pairwise(found))


@pytest.mark.parametrize(
    ("region", "time", "folder"),
    [
        ("eu-central-1", "2026-01-31T09:59:59.999+00:00", "eu-central-1/date=2026-01-31/hour=09"),
        ("", "2026-01-31T09:00:00.000+00:00", "_/date=2026-01-31/hour=09"),
        ("../a b", "", "..%2Fa%20b/date=1970-01-01/hour=00"),
    ],
)
def test_a_folder_is_an_hour_of_a_region(region: str, time: str, folder: str) -> None:
    """A region's name leads nowhere else, and a record without a time has a place."""
    assert folder == folder_of(Record(id="1", region=region, time=time))


def test_a_file_is_named_by_whose_and_which_records_it_holds() -> None:
    """The manifest lies beside it."""
    path = file_of([record(7), record(9)])
    assert f"eu/date=2026-01-31/hour=10/worker-{EPOCH}-{7:012d}-{9:012d}.parquet" == path
    assert path.replace(".parquet", ".json") == manifest_path(path)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Sealed hours of two regions, and what else may lie about."""
    store = open_store(str(tmp_path))
    for region in ("eu", "us"):
        for hour in ("date=2026-01-30/hour=23", "date=2026-01-31/hour=00", "date=2026-01-31/hour=09"):
            store.put(f"{region}/{hour}/a.parquet", b"")
            store.put(f"{region}/{hour}/a.json", b"")
    store.put("us/notes/a.json", b"")
    return store


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        ("", "", ["30/hour=23", "31/hour=00", "31/hour=09"]),
        ("2026-01-31", "", ["31/hour=00", "31/hour=09"]),
        ("2026-01-31T00:30", "", ["31/hour=00", "31/hour=09"]),
        ("2026-01-31T01:00:00.000+00:00", "", ["31/hour=09"]),
        ("", "2026-01-31", ["30/hour=23"]),
        ("", "2026-01-31T09", ["30/hour=23", "31/hour=00"]),
        ("", "2026-01-31T09:00:01", ["30/hour=23", "31/hour=00", "31/hour=09"]),
        ("2026-02-01", "", []),
    ],
)
def test_hours_are_found_by_time(since: str, until: str, expected: list[str], store: Store) -> None:
    """An hour that has a part of the time is among them."""
    assert [f"eu/date=2026-01-{hour}" for hour in expected] == list(hours(store, since, until, "eu"))


def test_hours_of_all_regions(store: Store) -> None:
    """What is no folder of hours is passed over."""
    assert ["eu", "us"] == [hour.split("/")[0] for hour in hours(store, since="2026-01-31T09")]


def test_a_file_counts_when_its_manifest_is_there(store: Store) -> None:
    """One that is being sealed does not."""
    store.put("eu/date=2026-01-31/hour=09/b.parquet", b"")
    assert ["eu/date=2026-01-31/hour=09/a.parquet"] == files(store, "eu/date=2026-01-31/hour=09")

"""A store behaves the same on a disk and behind each cloud's API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from safeguards_extproc.errors import ConfigError
from safeguards_extproc.records.stores import Entry, Store, open_store
from tests.records.object_store import CLOUDS

pytestmark = pytest.mark.long


@pytest.fixture(params=["folder", *(pytest.param(cloud, marks=pytest.mark.real) for cloud in CLOUDS)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store of each kind."""
    if request.param == "folder":
        yield open_store(str(tmp_path / "sealed"))
    else:
        with CLOUDS[request.param]() as url:
            yield open_store(url)


def test_what_is_put_is_there(store: Store) -> None:
    """Files by path, with sizes, in order; folders by name; what is put again is replaced."""
    assert [] == list(store.all())
    assert [] == store.folders("eu")
    for path, data in (("eu/b/2.json", b"old"), ("eu/b/2.json", b"{}"), ("eu/a/1.json", b"abc")):
        store.put(path, data)
    assert [Entry("eu/a/1.json", 3), Entry("eu/b/2.json", 2)] == list(store.all())
    assert [Entry("eu/b/2.json", 2)] == list(store.all("eu/b"))
    assert ["a", "b"] == store.folders("eu")
    assert ["eu"] == store.folders()
    assert b"{}" == store.get("eu/b/2.json")


def test_what_is_not_there_has_no_size(store: Store) -> None:
    """Absence is an answer, or FileNotFoundError where bytes were asked for."""
    assert -1 == store.size("eu/none.json")
    with pytest.raises(FileNotFoundError):
        store.get("eu/none.json")


def test_a_large_file_arrives_whole(store: Store) -> None:
    """Larger than a part of an upload."""
    data = bytes(range(256)) * 60_000
    store.put("large.parquet", memoryview(data))
    assert len(data) == store.size("large.parquet")
    assert data == store.get("large.parquet")


def test_a_broken_write_leaves_the_old_file(tmp_path: Path) -> None:
    """What was begun has another name, and nobody lists it."""
    store = open_store(str(tmp_path))
    store.put("a.json", b"old")
    (tmp_path / "a.json.7.part").write_bytes(b"half")
    assert [Entry("a.json", 3)] == list(store.all())


@pytest.mark.parametrize("url", ["hdfs://host/records", "s3://", "s3:records", "ftp://x/y"])
def test_what_is_no_store_is_refused(url: str) -> None:
    """With the address and what to write instead."""
    with pytest.raises(ConfigError, match="names no store"):
        open_store(url)


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("s3://key:secret@records/eu?region=eu-central-1", "s3://records/eu"),
        ("gs://anonymous@records/eu", "gs://records/eu"),
        ("abfs://secret@account.dfs.core.windows.net/eu", "abfs://account.dfs.core.windows.net/eu"),
    ],
)
def test_each_cloud_has_a_url_and_its_name_tells_no_secret(url: str, named: str) -> None:
    """Keys in a URL are used and not repeated."""
    assert named == open_store(url).url


def test_a_folder_has_a_path_or_a_url(tmp_path: Path) -> None:
    """Both name the same place, and nothing is created by opening it."""
    place = tmp_path / "a b"
    assert open_store(str(place)).folder == open_store(place.as_uri()).folder == place
    assert not place.exists()


def test_a_bad_option_is_said_without_the_key() -> None:
    """A mistake in the query is the operator's."""
    with pytest.raises(ConfigError, match="cannot be used") as caught:
        open_store("s3://key:secret@records/eu?nonsense=1")
    assert "secret" not in str(caught.value)

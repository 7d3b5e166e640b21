"""Small files become one: every record counts once at any moment, whoever is killed, and whoever seals beside."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from safeguards_extproc.core.record import Record
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.records import compact as compactor
from safeguards_extproc.records.compact import Round, Settings, compact
from safeguards_extproc.records.query import Records
from safeguards_extproc.records.seal import seal
from safeguards_extproc.records.sealed import decode, encode, files, manifest_path
from safeguards_extproc.records.stores import Store, open_store
from safeguards_extproc.records.verify import verify
from tests.records.object_store import CLOUDS
from tests.records.sealing import EPOCH, in_store, key, record, sealed_records, segment

pytestmark = pytest.mark.long

HOUR = "eu/date=2026-01-31/hour=10"
LATER = "2026-01-31T12:00"
AT_ONCE = Settings(keep_s=0)
RECORDS = [record(number) for number in range(1, 10)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "sealed"))


def sealed(store: Store, folder: Path, *batches: Sequence[Record]) -> None:
    """Each batch as a file, or several if it is of several hours."""
    for batch in batches:
        segment(folder / "spool", batch)
    assert {} == seal(folder / "spool", store).left


def by_threes(store: Store, folder: Path) -> None:
    sealed(store, folder, RECORDS[:3], RECORDS[3:6], RECORDS[6:])


def is_whole(store: Store, records: Sequence[Record] = RECORDS) -> None:
    """Every record counts once, unchanged, for whoever reads and whoever verifies."""
    assert sorted(map(key, records)) == sorted(in_store(store).elements())
    by_key = {key(each): each for each in sealed_records(store)}
    assert records == [by_key[key(each)] for each in records]
    assert verify(store).well
    with Records(store) as asked:
        assert [{"rows": len(records)}] == list(asked.ask("SELECT count(*) AS rows FROM records"))


def test_small_files_become_one(store: Store, tmp_path: Path) -> None:
    """At once for readers; the old ones go when they have been kept long enough, and again changes nothing."""
    by_threes(store, tmp_path)
    assert Round(parts=3, joined=1, records=9) == compact(store, LATER, 1000.0, Settings(keep_s=60))
    is_whole(store)
    joined = f"{HOUR}/worker-{EPOCH}-{1:012d}-{9:012d}.parquet"
    assert [joined] == files(store, HOUR)
    assert 8 + 1 == sum(entry.path.startswith(HOUR) for entry in store.all())
    assert Round() == compact(store, LATER, 1059.0, Settings(keep_s=60))
    assert Round(deleted=3) == compact(store, LATER, 1060.0, Settings(keep_s=60))
    assert [joined, manifest_path(joined)] == sorted(entry.path for entry in store.all(HOUR))[::-1]
    is_whole(store)
    assert Round() == compact(store, LATER, 9999.0)


def test_what_belongs_to_several_stays_several(store: Store, tmp_path: Path) -> None:
    """Lives, hours and regions are never joined with each other; an hour that is too young is not looked at."""
    lives = [[record(1), record(2, hour=11)], [record(3)], [record(1, producer="other")], [record(4, region="us")]]
    sealed(store, tmp_path, *lives)
    assert Round() == compact(store, "2026-01-31T09:59", 0.0)
    assert Round(parts=2, joined=1, records=2) == compact(store, LATER, 0.0)
    is_whole(store, [each for life in lives for each in life])


def test_a_file_has_a_bound(store: Store, tmp_path: Path) -> None:
    """As many as fit follow each other into one; who fits with nobody stays."""
    by_threes(store, tmp_path)
    assert Round(parts=2, joined=1, records=6) == compact(store, LATER, 0.0, Settings(most_rows=8))
    is_whole(store)
    assert 2 == len(files(store, HOUR))


def test_what_comes_late_is_joined_too(store: Store, tmp_path: Path) -> None:
    """A joined file is one like others; its manifest names all that it holds."""
    sealed(store, tmp_path, RECORDS[:3], RECORDS[6:])
    compact(store, LATER, 0.0, AT_ONCE)
    sealed(store, tmp_path, RECORDS[3:6])
    is_whole(store)
    assert Round(deleted=2) == compact(store, "2026-01-31T10:00:01", 1.0, Settings(most_rows=1, keep_s=0))
    done = compact(store, LATER, 2.0, AT_ONCE)
    assert (0, {"holds numbers of the others in between"}) == (done.joined, set(done.left.values()))
    is_whole(store)


def test_a_sealer_that_begins_anew_writes_nothing_twice(store: Store, tmp_path: Path) -> None:
    """It was killed before it deleted its segment; meanwhile what it had sealed was joined, and the parts deleted."""
    by_threes(store, tmp_path)
    compact(store, LATER, 0.0, AT_ONCE)
    for now in (0.0, 1.0):
        segment(tmp_path / "spool", RECORDS[3:6])
        done = seal(tmp_path / "spool", store)
        assert (1, 0, 0, {}) == (done.segments, done.files, done.records, done.left)
        is_whole(store)
        compact(store, LATER, now, AT_ONCE)
    assert [] == list((tmp_path / "spool").iterdir())


def test_a_part_that_comes_back_goes_again(store: Store, tmp_path: Path) -> None:
    """From a sealer that had stood still for longer than parts are kept: verify says so, and joining mends it."""
    by_threes(store, tmp_path)
    kept = {entry.path: store.get(entry.path) for entry in store.all()}
    compact(store, LATER, 0.0, AT_ONCE)
    compact(store, LATER, 0.0, AT_ONCE)
    back = f"{HOUR}/worker-{EPOCH}-{4:012d}-{6:012d}.parquet"
    for path in (back, manifest_path(back)):
        store.put(path, kept[path])
    assert {("worker", EPOCH): [(4, 6)]} == verify(store).doubled
    assert Round(deleted=1) == compact(store, LATER, 1.0, AT_ONCE)
    is_whole(store)


@pytest.mark.parametrize("cloud", [pytest.param(cloud, marks=pytest.mark.real) for cloud in CLOUDS])
def test_files_of_a_cloud_become_one(cloud: str, tmp_path: Path) -> None:
    """Behind the API of each."""
    with CLOUDS[cloud]() as url:
        store = open_store(url)
        sealed(store, tmp_path, RECORDS[:3], RECORDS[3:])
        assert 1 == compact(store, LATER, 0.0, AT_ONCE).joined
        is_whole(store)
        assert Round(deleted=2) == compact(store, LATER, 1.0, AT_ONCE)
        is_whole(store)


def test_a_file_that_is_not_what_it_was_is_not_joined(store: Store, tmp_path: Path) -> None:
    """Nor one that holds records twice; it is named, and nothing is deleted."""
    by_threes(store, tmp_path)
    file = files(store, HOUR)[0]
    data = store.get(file)
    store.put(file, data[:-1] + b"?")
    done = compact(store, LATER, 0.0, AT_ONCE)
    assert (0, [f"{file} is not the file that its manifest describes"]) == (done.joined, list(done.left.values()))
    store.put(file, data)
    manifest = decode(store.get(manifest_path(file)))
    manifest.file = file.replace(f"{3:012d}.parquet", f"{2:012d}.parquet")
    store.put(manifest.file, data)
    store.put(manifest.path, encode(manifest))
    done = compact(store, LATER, 0.0, AT_ONCE)
    assert (0, 1) == (done.joined, len(done.left))
    assert "hold some records twice" in next(iter(done.left.values()))


def test_a_joined_file_is_read_back_before_anything_goes(store: Store, tmp_path: Path) -> None:
    """One that the store did not keep as it took it is made anew from its parts."""
    by_threes(store, tmp_path)
    compact(store, LATER, 0.0, AT_ONCE)
    (joined,) = files(store, HOUR)
    store.put(joined, store.get(joined)[:-1] + b"?")
    assert Round(parts=3, joined=1, records=9) == compact(store, LATER, 1.0, AT_ONCE)
    is_whole(store)
    assert Round(deleted=3) == compact(store, LATER, 2.0, AT_ONCE)
    store.put(joined, store.get(joined)[:-1] + b"?")
    assert Round() == compact(store, LATER, 3.0, AT_ONCE)
    assert [joined] == list(verify(store).problems)


def test_two_at_once_are_one(store: Store) -> None:
    """On a disk a lock says so."""
    with compactor._alone(store), pytest.raises(ConfigError, match="another is joining"):
        compact(store, LATER, 0.0)


def killed_at_every(lines: int, url: str, fault: str = "") -> list[dict[str, object]]:
    """What came of it, each time."""
    script = [sys.executable, "-m", "tests.records.killed_compactor", url, str(lines)]
    run = subprocess.run([*script, *fault.split()], capture_output=True, text=True, timeout=150, check=False)
    assert 0 == run.returncode, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


@pytest.mark.real
def test_killed_at_any_line_every_record_counts_once(tmp_path: Path) -> None:
    """SIGKILL at every twelfth line in turn, of joining and of deleting; whoever comes next ends with all of it joined.
    The script does every line."""
    times = killed_at_every(12, str(tmp_path / "sealed"))
    assert [] == [time for time in times if time["wrong"]]
    assert [True] * (len(times) - 1) + [False] == [time["killed"] for time in times]
    assert {"compact.py", "stores.py"} <= {str(time["where"]).split(":")[0] for time in times}


@pytest.mark.real
@pytest.mark.parametrize(("fault", "shown"), [("deletes-early", "was lost"), ("no-journal", "is there 2 times")])
def test_a_compactor_that_is_wrong_is_found_out(fault: str, shown: str, tmp_path: Path) -> None:
    """Planted faults: parts that go before the whole is there, a whole that counts beside its parts."""
    wrong = killed_at_every(7, str(tmp_path / "sealed"), fault)[-1]["wrong"]
    assert isinstance(wrong, list)
    assert any(shown in each for each in wrong), wrong

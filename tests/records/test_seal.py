"""A spool becomes files of a store: all of it, once, whatever happens on the way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from safeguards_extproc.records import seal as sealer
from safeguards_extproc.records import segments
from safeguards_extproc.records.encode import to_json
from safeguards_extproc.records.seal import Round, seal
from safeguards_extproc.records.sealed import decode
from safeguards_extproc.records.stores import Store, open_store
from tests.records.object_store import CLOUDS
from tests.records.sealing import EPOCH, in_store, key, record, sealed_records, segment


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "sealed"))


def test_records_lie_by_region_date_and_hour(spool: Path, store: Store) -> None:
    """A segment over the end of an hour becomes two files, each with a manifest that says what it holds."""
    segment(spool, [record(1), record(2, hour=11), record(3), record(4, hour=11)])
    done = seal(spool, store)
    assert Round(segments=1, files=2, records=4, bytes=done.bytes) == done
    names = [f"hour=10/worker-{EPOCH}-{1:012d}-{3:012d}", f"hour=11/worker-{EPOCH}-{2:012d}-{4:012d}"]
    expected = [f"eu/date=2026-01-31/{name}{end}" for name in names for end in (".json", ".parquet")]
    assert expected == [entry.path for entry in store.all()]
    manifest = decode(store.get(expected[0]))
    assert (2, [(1, 1), (3, 3)], "worker", EPOCH) == (manifest.rows, manifest.ranges, manifest.producer, manifest.epoch)
    assert ("2026-01-31T10:01:00.000+00:00", "2026-01-31T10:03:00.000+00:00") == (manifest.begin, manifest.end)
    assert [] == list(spool.iterdir())


def test_records_come_out_as_they_went_in(spool: Path, store: Store) -> None:
    """Every field."""
    records = [record(number) for number in range(1, 30)]
    segment(spool, records)
    seal(spool, store)
    assert records == list(sealed_records(store))


def test_again_is_without_effect(spool: Path, store: Store) -> None:
    """A segment that comes back, as after a kill before it was deleted, writes the same bytes to the same place."""
    path = segment(spool, [record(1), record(2, hour=11)])
    data = path.read_bytes()
    seal(spool, store)
    before = {entry.path: store.get(entry.path) for entry in store.all()}
    path.write_bytes(data)
    seal(spool, store)
    assert before == {entry.path: store.get(entry.path) for entry in store.all()}


def test_an_open_segment_waits_for_its_writer(spool: Path, store: Store) -> None:
    """While a process writes there it stays; when the process is gone it is sealed as it is."""
    path = segment(spool, [record(1)], state=segments.OPEN)
    held = segments.lock(segments.lock_path(spool, "worker", EPOCH), make=True)
    assert held is not None
    assert Round() == seal(spool, store)
    assert path.exists()
    held.free(delete=False)
    done = seal(spool, store)
    assert (1, 1, 1) == (done.recovered, done.segments, done.records)
    assert {key(record(1)): 1} == in_store(store)


def test_a_torn_end_is_kept_and_counted(spool: Path, store: Store) -> None:
    """What is whole is sealed; the segment stays under another name for whoever wants to look at the rest."""
    path = segment(spool, [record(1), record(2)], tail=segments.frame(to_json(record(3)))[:-1])
    done = seal(spool, store)
    assert 2 == done.records
    assert len(segments.frame(to_json(record(3)))) - 1 == done.torn
    assert [path.with_suffix(".torn")] == list(spool.iterdir())
    assert Round() == seal(spool, store)


def test_what_is_there_twice_is_sealed_once(spool: Path, store: Store) -> None:
    """Within a segment."""
    segment(spool, [record(1), record(2), record(1)])
    assert 1 == seal(spool, store).doubled
    assert {key(record(1)): 1, key(record(2)): 1} == in_store(store)


def test_a_segment_without_a_record_goes(spool: Path, store: Store) -> None:
    """Nothing was acknowledged, so nothing is sealed."""
    path = segment(spool, [record(1)])
    path.write_bytes(b"")
    assert Round(segments=1) == seal(spool, store)
    assert [] == list(spool.iterdir())


@pytest.mark.parametrize(
    ("payload", "why"),
    [(b'{"id": "my secret"', "truncated"), (b'{"id": "1", "schema": 99}', "schema 99")],
    ids=["unreadable", "of a later version"],
)
def test_what_cannot_be_sealed_stays(payload: bytes, why: str, spool: Path, store: Store) -> None:
    """It is named, nothing of it is deleted, and the other segments are sealed."""
    path = segment(spool, [record(1)], tail=segments.frame(payload))
    segment(spool, [record(9)])
    done = seal(spool, store)
    assert 1 == done.segments
    assert [path.name] == list(done.left)
    assert why in done.left[path.name]
    assert "secret" not in done.left[path.name]
    assert [path] == list(spool.iterdir())


def test_a_store_that_cannot_be_written_costs_nothing(spool: Path, tmp_path: Path) -> None:
    """A file in the place of a folder: every segment stays, and says why."""
    (tmp_path / "sealed").write_bytes(b"")
    path = segment(spool, [record(1)])
    done = seal(spool, open_store(str(tmp_path / "sealed")))
    assert [path.name] == list(done.left)
    assert [path] == list(spool.iterdir())


def test_a_store_that_loses_what_it_took_is_noticed(spool: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted fault: a store that says yes and keeps half. The segment is not deleted."""
    put = Store.put
    monkeypatch.setattr(Store, "put", lambda self, path, data: put(self, path, bytes(data)[:-1]))
    path = segment(spool, [record(1)])
    done = seal(spool, store)
    assert "does not have" in done.left[path.name]
    assert path.exists()


def test_long_hours_are_several_files(spool: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory has a bound whatever a segment holds."""
    monkeypatch.setattr(sealer, "MOST_ROWS", 10)
    segment(spool, [record(number) for number in range(1, 26)])
    assert 3 == seal(spool, store).files
    assert {key(record(number)): 1 for number in range(1, 26)} == in_store(store)


def killed_at_every(lines: int, url: str, tmp_path: Path, fault: str = "") -> list[dict[str, Any]]:
    """What came of it, each time."""
    script = [sys.executable, "-m", "tests.records.killed_sealer", url, str(tmp_path / "spools"), str(lines)]
    run = subprocess.run([*script, *fault.split()], capture_output=True, text=True, timeout=150, check=False)
    assert 0 == run.returncode, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


@pytest.mark.real
def test_killed_at_any_line_nothing_is_lost_and_nothing_doubled(tmp_path: Path) -> None:
    """SIGKILL at every fourth line of the sealer in turn: what is sealed is there once and unchanged; with the spool it
    is all that was acknowledged; whoever seals next ends with all of it sealed. The script does every line."""
    times = killed_at_every(4, str(tmp_path / "sealed"), tmp_path)
    assert [] == [time for time in times if time["wrong"]]
    assert [True] * (len(times) - 1) + [False] == [time["killed"] for time in times]
    assert {"seal.py", "stores.py", "segments.py"} <= {time["where"].split(":")[0] for time in times}


@pytest.mark.real
@pytest.mark.parametrize("cloud", CLOUDS)
def test_killed_while_it_seals_into_an_object_store(cloud: str, tmp_path: Path) -> None:
    """The same with the API of each cloud, every thirtieth line, of Azure's every hundredth."""
    with CLOUDS[cloud]() as url:
        times = killed_at_every(100 if cloud == "abfs" else 30, url, tmp_path)
    assert [] == [time for time in times if time["wrong"]]
    assert [True] * (len(times) - 1) + [False] == [time["killed"] for time in times]


@pytest.mark.real
@pytest.mark.parametrize(("fault", "shown"), [("deletes-early", "was lost"), ("names-anew", "has no manifest")])
def test_a_sealer_that_is_wrong_is_found_out(fault: str, shown: str, tmp_path: Path) -> None:
    """Planted faults: a segment that is deleted too early, names that do not follow from it."""
    wrong = killed_at_every(8, str(tmp_path / "sealed"), tmp_path, fault)[-1]["wrong"]
    assert any(shown in each for each in wrong), wrong

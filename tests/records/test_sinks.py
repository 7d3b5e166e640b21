"""Every sink of the table keeps what it is given, and the recorder gives every sink the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from safeguards_extproc.core.record import Record
from safeguards_extproc.records import segments
from safeguards_extproc.records.backlog import FailureSettings, OnFailure
from safeguards_extproc.records.encode import from_json
from safeguards_extproc.records.mask import mask_of
from safeguards_extproc.records.origin import Origin
from safeguards_extproc.records.sinks import SINKS, Making, Recorder, Sink
from tests.records.disk import Told, disk
from tests.records.samples import record

ORIGIN = Origin("eu-1", "worker", "0" * 18 + "a")


def make(row: str, tmp_path: Path, told: Told, on_failure: OnFailure = OnFailure.GO_ON, worker: int = 0) -> Sink:
    return SINKS[row](tmp_path / row, Making(ORIGIN, told, worker, FailureSettings(on_failure, retry_s=0)))


def kept(row: str, tmp_path: Path) -> list[Record]:
    """What a sink has, in order."""
    place = tmp_path / row
    if place.is_dir():
        return [from_json(each) for one in segments.segments(place) for each in segments.read(one.path)]
    return [from_json(line) for line in place.read_bytes().splitlines()]


@pytest.mark.parametrize("row", SINKS)
def test_a_sink_has_a_record_when_keep_returns(row: str, tmp_path: Path) -> None:
    """Also after it began a new file, and one for each record it took."""
    told = Told()
    sink = make(row, tmp_path, told)
    sink.keep(record(1))
    assert [record(1)] == kept(row, tmp_path)
    sink.reopen()
    sink.tick()
    sink.keep(record(2))
    sink.close()
    sink.close()
    assert [record(1), record(2)] == kept(row, tmp_path)
    assert (2, 0, []) == (told.kept, told.lost, told.failures)


@pytest.mark.parametrize("row", SINKS)
@pytest.mark.parametrize("on_failure", OnFailure)
def test_a_full_disk_costs_a_sink_no_record(row: str, on_failure: OnFailure, tmp_path: Path) -> None:
    """It refuses where that was chosen, and has all of them in the end."""
    told = Told()
    sink = make(row, tmp_path, told, on_failure)
    with disk(10):
        sink.keep(record(1))
        sink.keep(record(2))
        assert (on_failure is OnFailure.REFUSE) is sink.backlog.refuses()
    sink.tick()
    assert not sink.backlog.refuses()
    sink.close()
    assert [record(1), record(2)] == kept(row, tmp_path)
    assert ([True, False], 0) == (told.states, told.lost)


@pytest.mark.parametrize("row", SINKS)
def test_workers_do_not_write_into_one_file(row: str, tmp_path: Path) -> None:
    """Lines have a file for each; segments are told apart by their epoch."""
    sinks = [
        SINKS[row](tmp_path / f"{row}.jsonl", Making(Origin("", "worker", f"{worker:019x}"), Told(), worker))
        for worker in range(2)
    ]
    for sink in sinks:
        sink.keep(record(1))
        sink.close()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert 2 == len(files)
    assert all(path.stat().st_size for path in files)


def test_the_recorder_gives_every_sink_the_same(tmp_path: Path) -> None:
    """Stamped, counted with all its fields, and masked for the sinks alone."""
    told, counted = Told(), list[Record]()
    sinks = [make(row, tmp_path, told) for row in SINKS]
    recorder = Recorder(ORIGIN, counted.append, sinks, mask_of(["model"]))
    recorder.keep(Record("1", model="m", sequence=1))
    recorder.tick()
    recorder.reopen()
    assert not recorder.refuses()
    assert recorder.durable(Record("1")) is None
    recorder.close()
    for row in SINKS:
        [one] = kept(row, tmp_path)
        assert ("eu-1", "worker", ORIGIN.epoch) == (one.region, one.producer, one.epoch)
        assert ("", ["model"]) == (one.model, one.masked)
    assert ["m"] == [one.model for one in counted]

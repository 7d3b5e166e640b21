"""Sinks on a real file system that goes read-only, or stands still."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from safeguards_extproc.records.backlog import SLOW_S, OnFailure
from safeguards_extproc.records.sinks import SINKS
from safeguards_extproc.records.spool import Spool
from tests.records.disk import Told
from tests.records.file_system import FileSystem, file_system
from tests.records.samples import record
from tests.records.test_sinks import kept, make

pytestmark = pytest.mark.real


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[FileSystem]:
    """A small disk of its own."""
    with file_system(tmp_path) as made:
        yield made


@pytest.mark.parametrize("row", SINKS)
def test_read_only_after_an_error_of_the_disk(row: str, mounted: FileSystem) -> None:
    """It is named, traffic is refused where that was chosen, what waits is counted when it is given up; what was on the
    disk is there when the next one begins, which goes on."""
    told = Told()
    sink = make(row, mounted.folder, told, OnFailure.REFUSE)
    sink.keep(record(1))
    if isinstance(sink, Spool):
        batch = sink.unsynced()
        assert batch is not None
        batch.sync()
    else:
        mounted.sync()
    mounted.abort()
    sink.keep(record(2))
    sink.keep(record(3))
    assert sink.backlog.refuses()
    assert {"read-only"} == set(told.failures)
    sink.close()
    assert ([True], 1, 2) == (told.states, told.kept, told.lost)

    mounted.unmount()
    mounted.mount()
    after = Told()
    again = make(row, mounted.folder, after, OnFailure.REFUSE)
    again.keep(record(4))
    again.close()
    assert [record(1), record(4)] == kept(row, mounted.folder)
    assert ([], [], 0) == (after.failures, after.states, after.lost)


def test_a_batch_on_a_disk_that_failed_is_not_on_the_disk(mounted: FileSystem) -> None:
    """Who waits for it is told, and nothing is said to be safe that is not."""
    spool = make("spool", mounted.folder, Told())
    assert isinstance(spool, Spool)
    spool.keep(record(1))
    batch = spool.unsynced()
    mounted.abort()
    assert batch is not None
    with pytest.raises(OSError, match=r"Read-only file system|Input/output error"):
        batch.sync()


@pytest.mark.parametrize("row", SINKS)
def test_a_disk_that_stands_still_is_slow_and_loses_nothing(row: str, mounted: FileSystem) -> None:
    """The write waits for the kernel; then it is counted, and traffic refused for a while where that was chosen."""
    told = Told()
    sink = make(row, mounted.folder, told, OnFailure.REFUSE)
    sink.keep(record(1))
    before = list(told.failures)  # none, if this machine is well
    mounted.freeze(SLOW_S + 0.2)
    sink.keep(record(2))
    assert [*before, "slow"] == told.failures
    sink.close()
    assert [record(1), record(2)] == kept(row, mounted.folder)
    assert (2, 0) == (told.kept, told.lost)

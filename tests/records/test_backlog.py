"""What cannot be written waits, and nothing is lost in silence."""

from __future__ import annotations

import errno
import os

import pytest

from safeguards_extproc.records.backlog import SLOW_S, Backlog, FailureSettings, OnFailure
from tests.records.disk import Told


class Disk:
    """Takes records while it is well; `takes_s` is how long one takes."""

    def __init__(self, told: Told) -> None:
        self.told = told
        self.error = 0
        self.takes_s = 0.0
        self.has: list[int] = []

    def write(self, sequence: int, data: bytes) -> None:
        self.told.now += self.takes_s
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        self.has.append(sequence)


def made(on_failure: OnFailure = OnFailure.GO_ON, backlog_bytes: int = 100) -> tuple[Backlog, Disk, Told]:
    told = Told()
    disk = Disk(told)
    settings = FailureSettings(on_failure, backlog_bytes, retry_s=1)
    return Backlog("spool", settings, told, disk.write, lambda: None, lambda: told.now), disk, told


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (errno.ENOSPC, "disk-full"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "io"),
    ],
)
def test_a_failure_has_the_kernels_reason_and_costs_no_record(error: int, reason: str) -> None:
    """What waits is written first, in order, once the disk is well."""
    backlog, disk, told = made()
    backlog.keep(1, b"a")
    disk.error = error
    backlog.keep(2, b"b")
    backlog.keep(3, b"c")
    assert backlog.failing
    disk.error = 0
    backlog.flush()
    backlog.keep(4, b"d")
    assert [1, 2, 3, 4] == disk.has
    assert [reason] == told.failures
    assert ([True, False], 4, 0) == (told.states, told.kept, told.lost)


def test_the_oldest_give_way_and_are_counted() -> None:
    """Memory is not filled in place of the disk."""
    backlog, disk, told = made(backlog_bytes=3)
    disk.error = errno.ENOSPC
    for number in range(1, 6):
        backlog.keep(number, b"x")
    assert 2 == told.lost
    disk.error = 0
    backlog.close()
    assert [3, 4, 5] == disk.has


def test_what_cannot_be_written_at_the_end_is_given_up_and_counted() -> None:
    """It is never silent."""
    backlog, disk, told = made()
    disk.error = errno.EIO
    backlog.keep(1, b"x")
    backlog.close()
    assert 1 == told.lost


@pytest.mark.parametrize("on_failure", OnFailure)
def test_the_operator_chooses_what_a_disk_that_fails_or_is_slow_means(on_failure: OnFailure) -> None:
    """Refuse, or go on and count. A slow disk is believed again after a while, a failing one when it has taken all."""
    backlog, disk, told = made(on_failure)
    refuse = on_failure is OnFailure.REFUSE
    assert not backlog.refuses()
    disk.takes_s = SLOW_S * 2
    backlog.keep(1, b"x")
    assert ["slow"] == told.failures
    assert refuse is backlog.refuses()
    told.now += 1
    assert not backlog.refuses()
    disk.takes_s, disk.error = 0, errno.EROFS
    backlog.keep(2, b"x")
    told.now += 1
    assert refuse is backlog.refuses()


def test_a_look_is_due_once_in_a_while() -> None:
    """Or at once, where somebody hurries."""
    backlog, _, told = made()
    assert not backlog.due()
    told.now = 1
    assert backlog.due()
    assert not backlog.due()
    backlog.hurry()
    assert backlog.due()


def test_asking_whether_to_refuse_looks_at_the_disk() -> None:
    """A disk that fails is looked at, so that nobody is refused longer than it does; one that is well is not."""
    told, looks = Told(), list[bool]()
    disk = Disk(told)

    def look() -> None:
        looks.append(True)
        backlog.flush()

    backlog = Backlog("spool", FailureSettings(OnFailure.REFUSE), told, disk.write, look, lambda: told.now)
    assert not backlog.refuses()
    disk.error = errno.ENOSPC
    backlog.keep(1, b"a")
    assert backlog.refuses()
    disk.error = 0
    assert not backlog.refuses()
    assert ([1], 2) == (disk.has, len(looks))

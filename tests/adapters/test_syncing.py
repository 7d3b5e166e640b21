"""Records on the disk: who waits, for how long, and what one fdatasync does for all."""

from __future__ import annotations

import asyncio
import threading

import pytest

from safeguards_extproc.adapters.syncing import Sync, Syncing, SyncSettings
from safeguards_extproc.core.record import Record


class Disk:
    """A spool whose disk does what the test says: batches wait for `let`, and fail with `error`."""

    def __init__(self) -> None:
        self.let = threading.Event()
        self.let.set()
        self.error: OSError | None = None
        self.kept = self.taken = self.synced = 0
        self.batches = self.late = 0
        self.failed: list[OSError] = []

    def unsynced(self) -> Disk | None:
        if self.kept == self.taken:
            return None
        self.taken = self.kept
        return self

    def sync(self) -> None:
        upto = self.taken
        self.let.wait(10)
        self.batches += 1
        if self.error is not None:
            raise self.error
        self.synced = upto

    def unwell(self, error: OSError) -> None:
        self.failed.append(error)

    def slow(self) -> None:
        self.late += 1


def settings(when: Sync = Sync.ENFORCED, interval_s: float = 3600, budget_s: float = 3600) -> SyncSettings:
    return SyncSettings(when, interval_s, budget_s)


@pytest.mark.parametrize(
    ("when", "waits"),
    [
        (Sync.INTERVAL, set()),
        (Sync.ENFORCED, {"block", "redact", "refuse", "timeout"}),
        (Sync.EVERY, {"allow", "annotate", "pass", "block", "redact", "refuse", "timeout"}),
    ],
)
async def test_policy_says_who_waits(when: Sync, waits: set[str]) -> None:
    """For an answer that went through as it was nobody waits, unless everybody does."""
    syncing = Syncing(Disk(), settings(when))
    outcomes = ("allow", "annotate", "pass", "block", "redact", "refuse", "timeout")
    assert waits == {each for each in outcomes if syncing.durable(Record("1", outcome=each)) is not None}
    await syncing.close()


async def test_who_asks_while_the_disk_works_shares_the_next_batch() -> None:
    """Nobody is told before a batch that began after their record has ended."""
    disk = Disk()
    syncing = Syncing(disk, settings())
    disk.let.clear()
    disk.kept = 1
    first = syncing.soon()
    while disk.taken == 0:  # noqa: ASYNC110 (the spool has no event)
        await asyncio.sleep(0)
    disk.kept = 2
    others = [syncing.soon() for _ in range(10)]
    assert not any(each.done() for each in others)
    disk.let.set()
    await asyncio.gather(first, *others)
    assert (2, 2) == (disk.synced, disk.batches)
    await syncing.close()


async def test_one_who_goes_away_leaves_the_others_waiting() -> None:
    """A stream that is cancelled is not all streams."""
    disk = Disk()
    syncing = Syncing(disk, settings())
    disk.let.clear()
    disk.kept = 1
    gone, stays = syncing.soon(), syncing.soon()
    gone.cancel()
    disk.let.set()
    await stays
    assert 1 == disk.synced
    await syncing.close()


async def test_a_sync_that_fails_is_told_and_keeps_nobody() -> None:
    """What it means for new traffic is the spool's to say; the next batch is tried."""
    disk = Disk()
    syncing = Syncing(disk, settings())
    disk.error, disk.kept = OSError(5, "Input/output error"), 1
    await syncing.soon()
    disk.error = None
    disk.kept = 2
    await syncing.soon()
    assert (1, 2) == (len(disk.failed), disk.synced)
    await syncing.close()


async def test_a_slow_disk_keeps_nobody_longer_than_the_budget() -> None:
    """Neither who asked before it stood still nor who asks after; each group counts."""
    disk = Disk()
    syncing = Syncing(disk, settings(budget_s=0.01))
    disk.let.clear()
    disk.kept = 1
    await syncing.soon()
    disk.kept = 2
    await syncing.soon()
    assert 2 == disk.late
    disk.let.set()
    disk.kept = 3
    await syncing.soon()
    await syncing.close()
    assert 3 == disk.synced


async def test_what_nobody_waits_for_is_synced_once_an_interval() -> None:
    """A power failure takes a second's records at most."""
    disk = Disk()
    disk.kept = 1
    syncing = Syncing(disk, settings(Sync.INTERVAL, interval_s=0.001))
    while disk.synced == 0:  # noqa: ASYNC110 (the disk has no event)
        await asyncio.sleep(0.001)
    await syncing.close()

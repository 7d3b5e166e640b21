"""The keeper: strikes reach the ledger once, what is due happens, and the board says what the ledger says."""

import asyncio
from collections import Counter

import pytest

from safeguards_extproc.adapters.ledger_standings import LedgerSightings, LedgerStandings, LedgerStrikes
from safeguards_extproc.core.account import Step
from safeguards_extproc.enforcement.events import Event, Kind, Strike
from safeguards_extproc.enforcement.keeper import Keeper, KeeperSettings
from safeguards_extproc.enforcement.ledger import Ledger
from safeguards_extproc.enforcement.sightings import Member, Sighting
from safeguards_extproc.enforcement.snapshot import Snapshot
from safeguards_extproc.errors import StoreError
from safeguards_extproc.policy.account_document import Rung

LADDER = [Rung(at=2.0, step="warn"), Rung(at=3.0, step="suspend", lasting=3600.0)]
QUICK = KeeperSettings(strikes_s=0.001, due_s=0.001, standings_s=0.001, pause_s=0.001)


class Watcher:
    def __init__(self):
        self.counts = Counter()

    def strikes_taken(self, result, count):
        self.counts[result] += count

    def strikes_waiting(self, count): ...

    def standings_published(self, count):
        self.counts["published"] += count

    def standings_built(self, identities, seconds): ...

    def keeper_failed(self, part, reason):
        self.counts[part, reason] += 1


class House:
    """A keeper with a ledger of its own, at a time that the test sets."""

    def __init__(self, folder):
        self.now = 1000.0
        self.ledger = Ledger(f"sqlite:///{folder}/ledger.db", LADDER, self.clock)
        self.snapshot, self.intake, self.seen = Snapshot(self.clock), LedgerStrikes(), Watcher()
        self.board = LedgerStandings(self.snapshot)
        self.keeper = self.another()

    def clock(self):
        return self.now

    def another(self, board=None, intake=None):
        return Keeper(self.ledger, intake or self.intake, board or self.board, self.seen, QUICK, self.clock)


@pytest.fixture
async def house(tmp_path):
    house = House(tmp_path)
    yield house
    house.ledger.close()


def strikes(count, start=0):
    return [Strike(subject="user1", record=f"r{start + number}", policy="house") for number in range(count)]


async def test_strikes_lead_to_a_step_that_filters_see(house):
    """From a settled exchange to the snapshot that refuses."""
    await house.intake.put(strikes(3))
    await house.keeper.take()
    await house.keeper.publish()

    assert house.snapshot.of(["user1"]).step is Step.SUSPENDED
    assert house.seen.counts == {"taken": 3, "published": 1}


async def test_a_strike_that_comes_twice_counts_once(house):
    """Whoever told it did not know whether it was heard."""
    await house.intake.put([*strikes(2), *strikes(2)])
    await house.keeper.take()

    assert [event.kind for event in house.ledger.history("user1")] == [Kind.STRIKE, Kind.STRIKE, Kind.WARN]


async def test_what_is_no_strike_stops_nobody(house):
    """One that the ledger refuses, one that cannot be read: counted, and the rest is taken."""
    await house.intake.put([*strikes(1), Strike(subject="", record="r7"), *strikes(1, 8)])
    await house.keeper.take()

    assert len(house.ledger.history("user1")) == 3
    assert house.seen.counts == {"taken": 2, "refused": 1}


async def test_what_failed_on_the_way_is_taken_again(house, tmp_path):
    """A keeper that could not say that it was done, and one that could not write: nothing is lost, nothing is twice."""

    class Deaf(LedgerStrikes):
        deaf = True

        async def done(self, entries):
            if self.deaf:
                raise StoreError("timeout")
            return await super().done(entries)

    intake = Deaf()
    keeper = house.another(intake=intake)
    await intake.put(strikes(2))
    with pytest.raises(StoreError):
        await keeper.take()
    intake.deaf = False
    await keeper.take()

    assert len(house.ledger.history("user1")) == 3
    assert await intake.read() == []


async def test_a_campaign_that_was_seen_becomes_a_case(house):
    """With the flag that rules read; what could not be entered is entered the next time."""
    sightings = LedgerSightings()
    keeper = Keeper(house.ledger, house.intake, house.board, house.seen, QUICK, house.clock, sightings=sightings)
    member = Member("end_user", "user1", "r1")
    seen = Sighting("farm", "template", ("farm:b1",), 1000.0, (member,), (), 1, 40, 10, 3600.0, 0.0, True)
    await sightings.put([seen])
    taken = [await keeper.watch(), await keeper.watch(), await house.keeper.watch()]
    await keeper.publish()

    assert taken == [1, 0, 0]
    assert house.snapshot.of(["user1"]).flags == {"farm"}


async def test_what_is_due_happens(house):
    """A suspension ends, and the board says so."""
    house.ledger.append(Event(kind=Kind.SUSPEND, subject="user1", reason="test", actor="maria", until=1060.0))
    await house.keeper.publish()
    before = dict(house.snapshot.held)
    house.now = 1061.0
    await house.keeper.due()
    await house.keeper.publish()

    assert list(before) == ["user1"]
    assert house.snapshot.held == {}


async def test_it_runs_until_told_to_end(house):
    """All three parts at once; an end loses nothing."""
    running = asyncio.create_task(house.keeper.run())
    await house.intake.put(strikes(3))
    async with asyncio.timeout(10):
        while house.snapshot.of(["user1"]).step is not Step.SUSPENDED:  # noqa: ASYNC110 (the keeper tells nobody)
            await asyncio.sleep(0.001)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert running.cancelled()
    assert house.keeper.failing == {}


async def test_one_part_that_fails_keeps_no_other_from_its_work(house):
    """Strikes are taken while nobody can be told; it says what fails."""

    class Gone(LedgerStandings):
        async def built(self):
            raise StoreError("unavailable")

    keeper = house.another(board=Gone(house.snapshot))
    running = asyncio.create_task(keeper.run())
    await house.intake.put(strikes(3))
    async with asyncio.timeout(10):
        while not (house.seen.counts["taken"] and keeper.failing):  # noqa: ASYNC110 (the keeper tells nobody)
            await asyncio.sleep(0.001)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert keeper.failing == {"standings": "unavailable"}
    assert house.ledger.standing("user1").step is Step.SUSPENDED

"""Telling somebody who may be away: nothing is lost while there is room, and what is lost is counted."""

import asyncio
from collections import Counter

import pytest

from safeguards_extproc.enforcement.telling import Telling, TellingSettings
from safeguards_extproc.errors import StoreError

QUICK = TellingSettings(waiting=10, together=3, pause_s=0.001, longest_pause_s=0.002)


class Ear:
    """Hears what is told, once it is there."""

    def __init__(self):
        self.heard, self.away, self.broken = [], 0, False
        self.counts = Counter()
        self.gate = asyncio.Event()
        self.gate.set()

    async def tell(self, things):
        await self.gate.wait()
        if self.broken:
            raise RuntimeError
        if self.away:
            self.away -= 1
            raise StoreError("timeout")
        self.heard.append(list(things))

    def account_failed(self, what, reason):
        self.counts[what, reason] += 1

    def account_lost(self, what, count):
        self.counts[what, "lost"] += count

    def fault(self, where):
        self.counts[where] += 1


@pytest.fixture
async def ear():
    return Ear()


async def test_things_are_told_in_order_several_at_once(ear):
    """Who tells does not wait."""
    telling = Telling("strikes", ear.tell, ear, QUICK)
    for number in range(7):
        telling.put(number)
    await telling.close(1.0)

    assert ear.heard == [[0, 1, 2], [3, 4, 5], [6]]
    assert ear.counts == {}


async def test_what_was_not_taken_is_told_again(ear):
    """A store that is away for a while loses nothing."""
    ear.away = 3
    telling = Telling("strikes", ear.tell, ear, QUICK)
    telling.put("a")
    await telling.close(1.0)

    assert ear.heard == [["a"]]
    assert ear.counts == {("strikes", "timeout"): 3}


async def test_what_does_not_fit_is_counted_as_lost(ear):
    """Memory is bounded, whoever is away and however long."""
    ear.gate.clear()
    telling = Telling("strikes", ear.tell, ear, QUICK)
    for number in range(15):
        telling.put(number)
        await asyncio.sleep(0)
    owed = telling.owed
    ear.gate.set()
    await telling.close(1.0)

    assert owed == 10
    assert [thing for things in ear.heard for thing in things] == list(range(10))
    assert ear.counts == {("strikes", "lost"): 5}


async def test_a_fault_loses_what_it_fell_on_and_nothing_else(ear):
    """The next things are told."""
    ear.broken = True
    telling = Telling("strikes", ear.tell, ear, QUICK)
    telling.put("a")
    await telling.quiet()
    ear.broken = False
    telling.put("b")
    await telling.close(1.0)

    assert ear.heard == [["b"]]
    assert ear.counts == {("strikes", "lost"): 1, "accounts": 1}


async def test_an_end_waits_only_so_long(ear):
    """What is still owed then is lost, and counted."""
    ear.gate.clear()
    telling = Telling("strikes", ear.tell, ear, QUICK)
    telling.put("a")
    telling.put("b")
    await telling.close(0.01)

    assert ear.counts == {("strikes", "lost"): 2}

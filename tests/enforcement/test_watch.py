"""The watch: counts in few calls, tells once in a while, and loses nothing that waits when the counters are away."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from safeguards_extproc.adapters.memory_campaigns import MemoryCounters
from safeguards_extproc.enforcement.campaigns.counting import Count, Reply
from safeguards_extproc.enforcement.sightings import Sighting
from safeguards_extproc.enforcement.watch import AGAIN_S, Watch
from safeguards_extproc.errors import StoreError
from tests.enforcement.campaigns.playing import BEGIN, settled, sketch, spec

SPECS = [
    spec("near_duplicates", 20),
    spec("template", 5),
    spec("velocity", 8),
    spec("rotation", 5),
    spec("refusals", 0.3),
    spec("probing", 4),
]


class Calls(MemoryCounters):
    """Counters that say how often they were called, and can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.calls, self.away = 0, False

    async def count(self, counts: Sequence[Count], at: float) -> Sequence[Reply]:
        """As ever, or not at all."""
        self.calls += 1
        if self.away:
            raise StoreError("unavailable")
        return await super().count(counts, at)


class World:
    """A watch over all campaigns, its clock, its counters and what it told."""

    def __init__(self) -> None:
        self.now, self.counters, self.told = BEGIN, Calls(), list[Sighting]()
        self.watch = Watch(SPECS, self.counters, self.tell, clock=lambda: self.now)

    async def tell(self, sightings: Sequence[Sighting]) -> None:
        """Remember."""
        self.told += sightings

    def campaigns(self) -> list[str]:
        """What was told of."""
        return [each.campaign for each in self.told]


async def test_one_call_for_all() -> None:
    """However many exchanges and campaigns: one call, and what follows from its replies goes with the next."""
    world = World()
    await world.watch.observed([settled(n, user=f"user-{n}", sketch=sketch(n)) for n in range(50)])
    await world.watch.observed([settled(50)])
    assert 2 == world.counters.calls


async def test_told_once_in_a_while() -> None:
    """A campaign that goes on is told of again after a minute, not at every exchange."""
    world = World()
    for number in range(200):
        world.now += AGAIN_S / 100
        await world.watch.observed([settled(number, refused=True)])
    assert ["refusals"] * 2 == world.campaigns()


async def test_counters_that_are_away() -> None:
    """It says so, and what waited for the call waits for the next."""
    world = World()
    await world.watch.observed([settled(n, user=f"user-{n}", names={"key": f"k-{n}"}, limited=True) for n in range(8)])
    world.counters.away = True
    with pytest.raises(StoreError):
        await world.watch.observed([settled(8)])
    assert [] == world.told
    world.counters.away = False
    await world.watch.observed([])
    assert "rotation" in world.campaigns()


async def test_nobody_is_nothing() -> None:
    """An exchange that names nobody is in no campaign and costs no call."""
    world = World()
    await world.watch.observed([settled(1, user="", refused=True, sketch=0) for _ in range(1)][:0])
    assert 0 == world.counters.calls

"""What limits do while their store is away, and when it is back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from safeguards_extproc.adapters.fallback_limits import FallbackLimits
from safeguards_extproc.adapters.memory_limits import MemoryLimits
from safeguards_extproc.core.account import Charge, Count, Counted, Limit, OnFailure, Shape
from safeguards_extproc.errors import StoreError

LOCAL = Limit("local", ("key",), Count.REQUESTS, Shape.BUDGET, 10, 60.0, share=0.3)
ALLOW = replace(LOCAL, name="allow", on_failure=OnFailure.ALLOW)
BLOCK = replace(LOCAL, name="block", on_failure=OnFailure.BLOCK)
STREAMS = Limit("streams", ("key",), Count.STREAMS, Shape.CONCURRENT, 3)


def charge(limit: Limit, cost: int = 1) -> Charge:
    return Charge(limit, ("k",), cost)


@dataclass
class Seen:
    """What operators see."""

    states: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def store_state(self, store: str, state: str) -> None:
        self.states.append(state)

    def store_failed(self, store: str, reason: str) -> None:
        self.failures.append(reason)


class Switched:
    """A store that can be switched off, before it counts or only before it answers."""

    def __init__(self) -> None:
        self.store = MemoryLimits()
        self.reason = ""
        self.deaf = True

    async def admit(self, id: str, charges: Sequence[Charge], shares: Sequence[float]) -> Sequence[Counted]:
        counted = [] if self.reason and self.deaf else await self.store.admit(id, charges, shares)
        self._fail()
        return counted

    async def settle(self, id: str, used: Sequence[tuple[Charge, int]]) -> None:
        if self.reason and self.deaf:
            self._fail()
        await self.store.settle(id, used)

    async def renew(self, ids: Sequence[tuple[str, Sequence[Charge]]]) -> None:
        self._fail()
        await self.store.renew(ids)

    async def close(self) -> None:
        await self.store.close()

    def _fail(self) -> None:
        if self.reason:
            raise StoreError(self.reason)


@dataclass
class World:
    store: Switched
    seen: Seen
    limits: FallbackLimits

    async def ask(self, id: str, *charges: Charge, share: float = 1.0) -> tuple[list[bool], str]:
        answered = await self.limits.admit(id, charges, [share] * len(charges))
        assert [each.limit for each in charges] == [each.limit for each in answered.counted]
        return [each.allowed for each in answered.counted], answered.source


@pytest.fixture
def world() -> World:
    store, seen = Switched(), Seen()
    return World(store, seen, FallbackLimits(store, MemoryLimits(), seen, calm_s=0.0))


async def test_each_limit_does_what_it_says(world: World) -> None:
    """Count here with a share, let pass, refuse; one that refuses keeps the others from being charged."""
    world.store.reason = "unavailable"
    assert ([True], "local") == await world.ask("a", charge(ALLOW))
    assert ([False], "local") == await world.ask("b", charge(BLOCK))
    assert ([True, False], "local") == await world.ask("c", charge(LOCAL), charge(BLOCK))
    told = [await world.ask(f"d{number}", charge(LOCAL), charge(ALLOW)) for number in range(4)]
    assert [True, True, True, False] == [allowed[0] for allowed, _ in told]
    assert all(allowed[1] for allowed, _ in told)


async def test_in_shadow_nothing_is_refused(world: World) -> None:
    """A limit in shadow that would block is reported as not allowing it, and the others are counted."""
    world.store.reason = "unavailable"
    shadow = replace(BLOCK, enforced=False)
    answered = await world.limits.admit("a", [charge(shadow), charge(LOCAL)], [1.0, 1.0])
    assert [False, True] == [each.allowed for each in answered.counted]
    assert 2 == answered.counted[1].remaining


async def test_a_throttled_caller_has_its_share_of_the_share(world: World) -> None:
    """Both are applied."""
    world.store.reason = "timeout"
    answered = await world.limits.admit("a", [charge(LOCAL)], [0.4])
    assert 0 == answered.counted[0].remaining


async def test_it_says_once_that_the_store_went_and_came_back(world: World) -> None:
    """Every failure is counted, each change is told once."""
    assert "store" == (await world.ask("a", charge(LOCAL)))[1]
    world.store.reason = "timeout"
    for number in range(3):
        await world.ask(f"b{number}", charge(ALLOW))
    world.store.reason = ""
    assert ([True], "store") == await world.ask("c", charge(LOCAL))
    assert ["ok", "away", "ok"] == world.seen.states
    assert ["timeout"] * 3 == world.seen.failures


async def test_what_the_store_took_without_an_answer_is_given_back(world: World) -> None:
    """It counted, the answer was lost and the limits here refused: nothing of it stays."""
    world.store.reason, world.store.deaf = "timeout", False
    assert ([True, False], "local") == await world.ask("a", charge(LOCAL), charge(BLOCK))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    world.store.reason = ""
    answered = await world.limits.admit("b", [charge(LOCAL, 0), charge(BLOCK, 0)], [1.0, 1.0])
    assert [10, 10] == [each.remaining for each in answered.counted]


async def test_what_it_took_is_put_right_if_the_exchange_went_on(world: World) -> None:
    """Both sides counted it, both are told what was used."""
    world.store.reason, world.store.deaf = "timeout", False
    assert ([True], "local") == await world.ask("a", charge(LOCAL, 3))
    world.store.reason = ""
    await world.limits.settle("a", [(charge(LOCAL, 3), 1)])
    answered = await world.limits.admit("b", [charge(LOCAL, 0)], [1.0])
    assert 9 == answered.counted[0].remaining


async def test_who_was_not_asked_is_not_told(world: World) -> None:
    """An exchange that the store never heard of has no settlement that would wait for it."""
    world.store.reason = "circuit-open"
    await world.ask("a", charge(LOCAL))
    await world.limits.settle("a", [(charge(LOCAL), 0)])
    answered = await world.limits.admit("b", [charge(LOCAL, 0)], [1.0])
    assert 3 == answered.counted[0].remaining


async def test_streams_under_way_are_known_when_the_store_goes(world: World) -> None:
    """Three are open and renewed: a fourth is refused here too, until one of them ends."""
    for number in range(3):
        await world.ask(f"s{number}", charge(STREAMS))
    await world.limits.renew([(f"s{number}", [charge(STREAMS)]) for number in range(3)])
    world.store.reason = "unavailable"
    assert ([False], "local") == await world.ask("d", charge(STREAMS))
    with pytest.raises(StoreError):
        await world.limits.settle("s0", [(charge(STREAMS), 1)])
    assert ([True], "local") == await world.ask("d", charge(STREAMS))
    await world.limits.renew([("d", [charge(STREAMS)])])
    world.store.reason = ""
    await world.limits.renew([("d", [charge(STREAMS)])])
    assert ([False], "store") == await world.ask("e", charge(STREAMS))


async def test_closing_closes_both(world: World) -> None:
    """Nothing is held after it."""
    await world.ask("a", charge(LOCAL))
    await world.limits.close()
    assert 0 == len(world.store.store)

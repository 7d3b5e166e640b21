"""The limit store of one process stays small; what it answers is the contract's."""

from __future__ import annotations

from safeguards_extproc.adapters.memory_limits import PENDING_US, MemoryLimits
from safeguards_extproc.core.account import Charge, Count, Limit, Shape
from tests.contract.limit_store_contract import Clock

RATE = Limit("rate", ("key",), Count.REQUESTS, Shape.RATE, 10, 1.0, 10)
STREAMS = Limit("streams", ("key",), Count.STREAMS, Shape.CONCURRENT, 10)


async def test_meters_that_nobody_touches_go() -> None:
    """A caller that came once is forgotten when nothing of it counts, and so is an exchange that never ended."""
    clock = Clock()
    store = MemoryLimits(clock.ns)
    for number in range(500):
        clock.now += 1_000
        await store.admit(f"{number}", [Charge(RATE, (f"k{number}",), 1), Charge(STREAMS, (f"k{number}",), 1)], [1, 1])
    assert 1500 == len(store)
    clock.now += PENDING_US
    for number in range(750):
        await store.admit(f"new-{number}", [Charge(RATE, (f"new-{number % 7}",), 0)], [1])
        await store.settle(f"new-{number}", [(Charge(RATE, (f"new-{number % 7}",), 0), 0)])
    assert 10 > len(store)
    assert 0 == store.forgotten


async def test_memory_is_bounded() -> None:
    """Past the bound the longest untouched go, and that is counted."""
    clock = Clock()
    store = MemoryLimits(clock.ns, most=100)
    for number in range(1000):
        await store.admit(f"{number}", [Charge(RATE, (f"k{number}",), 1)], [1])
    assert 200 == len(store)
    assert 1800 == store.forgotten
    (kept,) = await store.admit("x", [Charge(RATE, ("k999",), 0)], [1])
    assert 9 == kept.remaining


async def test_closed_it_has_forgotten_everything() -> None:
    """And counts from nothing."""
    store = MemoryLimits(Clock().ns)
    await store.admit("a", [Charge(RATE, ("k",), 10)], [1])
    await store.close()
    assert 0 == len(store)

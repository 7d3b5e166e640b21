"""The contract of limit stores, over the one in memory, the one on a real Redis, and stores with planted faults."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safeguards_extproc.adapters.memory_limits import MemoryLimits
from safeguards_extproc.adapters.redis_limits import RedisLimits
from safeguards_extproc.adapters.redis_link import RedisLink, RedisSettings
from safeguards_extproc.core.account import Charge, Counted
from safeguards_extproc.ports import LimitStore
from tests import redis_server
from tests.contract import limit_store_contract as contract
from tests.contract.limit_store_contract import CHECKS, LAWS, Check, Clock, Trace

Make = Callable[[Clock], LimitStore]
PATIENT_S = 20.0

every_law = pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
every_check = pytest.mark.parametrize(
    ("check", "limit"), [(check, limit) for check, limits in CHECKS.items() for limit in limits]
)


def in_memory(clock: Clock) -> LimitStore:
    return MemoryLimits(clock.ns)


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that nothing else uses; traces have subjects of their own."""
    with redis_server.running(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.real)])
def run(request: pytest.FixtureRequest) -> Iterator[Callable[[Check, Trace], None]]:
    """Runs a check over one kind of store."""
    with asyncio.Runner() as runner:
        if request.param == "memory":
            yield lambda check, trace: runner.run(over(in_memory, check, trace))
            return
        url = request.getfixturevalue("redis_url")
        link = runner.run(linked(url))
        yield lambda check, trace: runner.run(over(lambda clock: RedisLimits(link, Told(), clock.us), check, trace))
        runner.run(link.close())


class Told:
    """Hears what became of settlements: of all of them that they were told."""

    def settled(self, result: str, count: int) -> None:
        assert ("told", 1) == (result, count)


async def linked(url: str) -> RedisLink:
    return RedisLink(RedisSettings(url, deadline_s=PATIENT_S))


async def over(make: Make, check: Check, trace: Trace) -> None:
    """One check with a store and a clock of its own; subjects are new, so nothing has been counted."""
    clock = Clock()
    await check(make(clock), clock, replace(trace, subject=Trace(trace.limit, ()).subject))


@every_law
def test_law(law: Check, run: Callable[[Check, Trace], None]) -> None:
    """Over any trace."""

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(LAWS[law])
    def holds(trace: Trace) -> None:
        run(law, trace)

    holds()


@every_check
def test_check(check: Check, limit: object, run: Callable[[Check, Trace], None]) -> None:
    """One by one."""
    run(check, Trace(limit, ()))  # type: ignore[arg-type]


@pytest.mark.real
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.tuples(contract.ASKS, st.sampled_from([1.0, 1.0, 0.5, 0.013])), min_size=1, max_size=30),
    st.integers(1, 10**7),
    st.integers(1, 10**5),
    st.sampled_from([0.001, 1.0, 60.0, 86_400.0, 2_592_000.0]),
)
def test_redis_decides_as_memory_does(
    redis_url: str, steps: Sequence[tuple[contract.Ask, float]], amount: int, burst: int, period_s: float
) -> None:
    """The same trace, over limits of any size: every answer is the same, to the microsecond."""
    limits = [
        replace(contract.RATE, amount=amount, burst=burst, period_s=period_s),
        replace(contract.BUDGET, amount=amount, period_s=period_s),
        replace(contract.STREAMS, enforced=False),
    ]

    async def play() -> None:
        clock, link = Clock(), await linked(redis_url)
        memory, redis = MemoryLimits(clock.ns), RedisLimits(link, Told(), clock.us)
        subject, under_way = Trace(limits[0], ()).subject, []
        for number, (ask, share) in enumerate(steps):
            clock.now += ask.after_us
            charges = [Charge(limit, subject, ask.cost) for limit in limits]
            shares, id = [share] * 3, f"{subject[0]}-{number}"
            assert list(await memory.admit(id, charges, shares)) == list(await redis.admit(id, charges, shares))
            under_way.append((id, [(charge, ask.used) for charge in charges]))
            if ask.settled >= 0 and len(under_way) > ask.settled:
                for store in (memory, redis):
                    await store.settle(*under_way[ask.settled])
        await link.close()

    asyncio.run(play())


class Broken:
    """A store that does what `MemoryLimits` does, but for one fault."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.store = MemoryLimits(clock.ns)
        self.count = 0

    async def admit(self, id: str, charges: Sequence[Charge], shares: Sequence[float]) -> Sequence[Counted]:
        return await self.store.admit(id, charges, shares)

    async def settle(self, id: str, used: Sequence[tuple[Charge, int]]) -> None:
        await self.store.settle(id, used)

    async def renew(self, ids: Sequence[tuple[str, Sequence[Charge]]]) -> None:
        await self.store.renew(ids)

    async def close(self) -> None:
        await self.store.close()


class Windows(Broken):
    """Counts by the minute of the clock."""

    async def admit(self, id: str, charges: Sequence[Charge], shares: Sequence[float]) -> Sequence[Counted]:
        minute = str(self.clock.now // contract.MINUTE)
        moved = [replace(charge, subject=(*charge.subject, minute)) for charge in charges]
        return await self.store.admit(id, moved, shares)


class Generous(Broken):
    """Lets a little more through than it should."""

    async def admit(self, id: str, charges: Sequence[Charge], shares: Sequence[float]) -> Sequence[Counted]:
        return await self.store.admit(id, charges, [share * 1.1 for share in shares])


class Forgetful(Broken):
    """Never settles."""

    async def settle(self, id: str, used: Sequence[tuple[Charge, int]]) -> None:
        return


class Hasty(Broken):
    """Puts right what an exchange that it does not know any more used."""

    async def settle(self, id: str, used: Sequence[tuple[Charge, int]]) -> None:
        self.count += 1
        for charge, units in used:
            charges = [replace(charge, cost=0, limit=replace(charge.limit, enforced=False))]
            await self.store.admit(f"hasty-{self.count}", charges, [1.0])
            await self.store.settle(f"hasty-{self.count}", [(charges[0], units - charge.cost)])
        await self.store.settle(id, used)


class Nameless(Broken):
    """Does not know an exchange again."""

    async def admit(self, id: str, charges: Sequence[Charge], shares: Sequence[float]) -> Sequence[Counted]:
        self.count += 1
        return await self.store.admit(f"{id}-{self.count}", charges, shares)


class Impatient(Broken):
    """Tells who is refused to come back too soon."""

    async def admit(self, id: str, charges: Sequence[Charge], shares: Sequence[float]) -> Sequence[Counted]:
        counted = await self.store.admit(id, charges, shares)
        return [replace(each, retry_after_s=each.retry_after_s * 0.99) for each in counted]


class OneByOne(Broken):
    """Charges each limit by itself."""

    async def admit(self, id: str, charges: Sequence[Charge], shares: Sequence[float]) -> Sequence[Counted]:
        answers: list[Counted] = []
        for place, (charge, share) in enumerate(zip(charges, shares, strict=True)):
            answers += await self.store.admit(f"{id}-{place}", [charge], [share])
        return answers


BURSTS = Trace(contract.RATE, [contract.Ask(0, 500, 500)] * 3)
RESERVED = Trace(contract.BUDGET, [contract.Ask(1, 500, 100, 1, 2)] * 3)
STREAMED = Trace(contract.STREAMS, [contract.Ask(0, cost, 0, 3, 1) for cost in (1, 2, 1, 2, 3, 3)])

FAULTS: list[tuple[type[Broken], Check, Trace]] = [
    (Windows, contract.no_double_burst_at_a_border, Trace(contract.BUDGET, ())),
    (Generous, contract.never_more_than_the_limit, Trace(contract.RATE, [contract.Ask(0, 100, 100)] * 12)),
    (Generous, contract.a_share_is_a_part, Trace(contract.BUDGET, ())),
    (Forgetful, contract.what_was_reserved_is_put_right, RESERVED),
    (Forgetful, contract.leases_never_leak, STREAMED),
    (Forgetful, contract.more_than_was_reserved_counts, Trace(contract.BUDGET, ())),
    (Hasty, contract.what_was_reserved_is_put_right, RESERVED),
    (Nameless, contract.asking_twice_is_asking_once, Trace(contract.RATE, ())),
    (Nameless, contract.leases_never_leak, STREAMED),
    (OneByOne, contract.all_or_nothing, Trace(contract.RATE, ())),
    (Impatient, contract.told_times_are_right, BURSTS),
]


@pytest.mark.parametrize(("broken", "law", "trace"), FAULTS)
async def test_a_fault_is_found(broken: Callable[[Clock], LimitStore], law: Check, trace: Trace) -> None:
    """Each law bites."""
    await over(in_memory, law, trace)
    with pytest.raises(AssertionError):
        await over(broken, law, trace)

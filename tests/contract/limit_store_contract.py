"""What every ports.LimitStore must keep, as coroutines that raise AssertionError.

Each takes a store that has counted nothing for the subject of the trace, the clock that it reads, and a trace.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

from safeguards_extproc.core.account import Charge, Count, Counted, Limit, Shape
from safeguards_extproc.ports import LimitStore

MINUTE = 60_000_000
_NUMBERS = itertools.count()


@dataclass
class Clock:
    """A clock in the test's hand, in microseconds, for stores that ask in microseconds or nanoseconds."""

    now: int = 1_800_000_000_123_457

    def us(self) -> int:
        return self.now

    def ns(self) -> int:
        return self.now * 1000


@dataclass(frozen=True)
class Ask:
    """An exchange of a trace: so long after the one before, it asks for `cost` and uses `used`, and is settled after so
    many others have asked, `again` times; -1 is never."""

    after_us: int
    cost: int
    used: int
    settled: int = 0
    again: int = 1


@dataclass
class Trace:
    """Exchanges of one subject under one limit."""

    limit: Limit
    asks: Sequence[Ask]
    subject: tuple[str, ...] = field(default_factory=lambda: (f"s{next(_NUMBERS)}",))

    def charge(self, cost: int) -> Charge:
        return Charge(self.limit, self.subject, cost)


Check = Callable[[LimitStore, Clock, Trace], Awaitable[None]]

RATE = Limit("rate", ("key",), Count.TOKENS, Shape.RATE, 7_000, 60.0, 1_000)
BUDGET = Limit("budget", ("key",), Count.TOKENS, Shape.BUDGET, 1_000, 60.0)
STREAMS = Limit("streams", ("key",), Count.STREAMS, Shape.CONCURRENT, 3)

GAPS = st.sampled_from([0, 1, 999, 10_000, 133_929, 937_500, 1_000_000, 8_571_429, 30_000_000, 59_999_999, 60_937_500])
COSTS = st.integers(0, 600)
ASKS = st.builds(Ask, GAPS, COSTS, COSTS, st.integers(-1, 4), st.integers(1, 2))
MODEST = ASKS.map(lambda ask: replace(ask, used=min(ask.used, ask.cost)))


def traces(asks: st.SearchStrategy[Ask], *limits: Limit) -> st.SearchStrategy[Trace]:
    """Traces under one of the limits."""
    return st.builds(Trace, st.sampled_from(limits), st.lists(asks, min_size=1, max_size=40))


async def play(store: LimitStore, clock: Clock, trace: Trace, share: float = 1.0) -> list[tuple[int, Ask, Counted]]:
    """When each exchange asked, and what it heard; everything that is to be settled is."""
    heard: list[tuple[int, Ask, Counted]] = []
    open_: list[tuple[int, str, Charge, Ask]] = []

    async def settle(due: int) -> None:
        for one in [each for each in open_ if each[0] <= due]:
            _, id, charge, ask = one
            for _ in range(ask.again):
                await store.settle(id, [(charge, ask.used)])
            open_.remove(one)

    for number, ask in enumerate(trace.asks):
        clock.now += ask.after_us
        charge, id = trace.charge(ask.cost), f"{trace.subject[0]}-{number}"
        (counted,) = await store.admit(id, [charge], [share])
        heard.append((clock.now, ask, counted))
        if ask.settled >= 0 and counted.allowed:
            open_.append((number + ask.settled, id, charge, ask))
        await settle(number)
    await settle(len(trace.asks) + 9)
    return heard


async def never_more_than_the_limit(store: LimitStore, clock: Clock, trace: Trace) -> None:
    """In no window of time is more used than the limit says: a budget in any period, a rate in any time at all."""
    limit = trace.limit
    used = [
        (at, ask.used if ask.settled >= 0 else ask.cost)
        for at, ask, counted in await play(store, clock, trace)
        if counted.allowed
    ]
    for first, (since, _) in enumerate(used):
        total = 0
        for at, units in used[first:]:
            total += units
            if limit.shape is Shape.RATE:
                assert (total - limit.burst) * limit.period_s * 1e6 <= limit.amount * (at - since)
            elif at - since < limit.period_s * 1e6:
                assert total <= limit.amount


async def no_double_burst_at_a_border(store: LimitStore, clock: Clock, trace: Trace) -> None:
    """All of a budget just before a minute ends: nothing more until those have left, wherever the minutes begin."""
    amount = trace.limit.amount
    clock.now += MINUTE - clock.now % MINUTE - 1
    (full,) = await store.admit("before", [trace.charge(amount)], [1.0])
    assert full.allowed
    for step in (1, 1, MINUTE // 2, MINUTE // 2 - 3):
        clock.now += step
        (more,) = await store.admit(f"after-{clock.now}", [trace.charge(1)], [1.0])
        assert not more.allowed
        assert more.retry_after_s <= (MINUTE + MINUTE // 64 + 1) / 1e6
    clock.now += round(more.retry_after_s * 1e6)
    (again,) = await store.admit("again", [trace.charge(amount)], [1.0])
    assert again.allowed


async def told_times_are_right(store: LimitStore, clock: Clock, trace: Trace) -> None:
    """Who is refused is let in after the time that was told, not a microsecond sooner; after `reset_s` all is there."""
    await play(store, clock, trace)
    most = trace.limit.burst or trace.limit.amount
    for cost in (1, most // 2):
        (look,) = await store.admit("x", [Charge(replace(trace.limit, enforced=False), trace.subject, 0)], [1.0])
        await store.settle("x", [(trace.charge(0), 0)])
        id = f"cost-{cost}"
        (asked,) = await store.admit(id, [trace.charge(cost)], [1.0])
        if not asked.allowed:
            clock.now += round(asked.retry_after_s * 1e6) - 1
            assert not (await store.admit(id + "-sooner", [trace.charge(cost)], [1.0]))[0].allowed
            clock.now += 1
            assert (await store.admit(id + "-then", [trace.charge(cost)], [1.0]))[0].allowed
        else:
            assert look.remaining - cost == asked.remaining
    (asked,) = await store.admit("last", [trace.charge(0)], [1.0])
    await store.settle("last", [(trace.charge(0), 0)])
    clock.now += round(asked.reset_s * 1e6)
    assert most == (await store.admit("all", [trace.charge(0)], [1.0]))[0].remaining


async def what_was_reserved_is_put_right(store: LimitStore, clock: Clock, trace: Trace) -> None:
    """After every settlement, in any order, told twice or not, the meter is as if what was used had been asked for."""
    roomy = replace(trace.limit, amount=1 << 30, burst=1 << 29 if trace.limit.burst else 0)
    step = MINUTE // 64 + 1 if roomy.shape is Shape.BUDGET else round(roomy.burst * 6e7 / roomy.amount / 64) + 1
    asks = [replace(ask, after_us=step, settled=abs(ask.settled)) for ask in trace.asks]
    began = clock.now
    await play(store, clock, Trace(roomy, asks, trace.subject))
    ended, clock.now = clock.now, began
    known = [Ask(step, ask.used, ask.used, -1) for ask in asks]
    other = Trace(roomy, known)
    await play(store, clock, other)
    assert ended == clock.now
    for subject in (trace.subject, other.subject):
        (left,) = await store.admit(f"look-{subject}", [Charge(roomy, subject, 0)], [1.0])
        if subject == trace.subject:
            first = left
    assert (first.remaining, first.reset_s) == (left.remaining, left.reset_s)


async def asking_twice_is_asking_once(store: LimitStore, clock: Clock, trace: Trace) -> None:
    """The same exchange again hears the same and takes nothing; settled twice is settled once; unknown is nothing."""
    charge = trace.charge(1)
    (first,) = await store.admit("twice", [charge], [1.0])
    for _ in range(5):
        (again,) = await store.admit("twice", [charge], [1.0])
        assert (first.allowed, first.remaining) == (again.allowed, again.remaining)
    for _ in range(3):
        await store.settle("twice", [(charge, 0)])
        await store.settle("unknown", [(charge, 0)])
    (look,) = await store.admit("look", [trace.charge(0)], [1.0])
    assert first.remaining + 1 == look.remaining


async def leases_never_leak(store: LimitStore, clock: Clock, trace: Trace) -> None:
    """Whatever was given back, twice or never: no more are out than the limit says, and when the time of the last is
    over all of them are there again."""
    out: dict[str, int] = {}
    charge = Charge(STREAMS, trace.subject, 1)
    for number, ask in enumerate(trace.asks):
        clock.now += ask.after_us // 8
        id = f"{trace.subject[0]}-{ask.cost % 7}"
        if ask.settled == 0:
            await store.renew([(each, [charge]) for each, end in out.items() if end > clock.now])
            out = {each: clock.now + 30_000_000 if end > clock.now else end for each, end in out.items()}
        elif ask.settled > 2:
            for _ in range(ask.again):
                await store.settle(id, [(charge, 1)])
            out.pop(id, None)
        live = {each for each, end in out.items() if end > clock.now}
        (counted,) = await store.admit(f"{id}{'-new' * (number % 2)}", [charge], [1.0])
        name = f"{id}{'-new' * (number % 2)}"
        if name not in out:
            assert counted.allowed == (len(live) < STREAMS.amount)
            if counted.allowed:
                out[name] = clock.now + 30_000_000
                live.add(name)
        assert counted.remaining == STREAMS.amount - len(live)
    clock.now += 30_000_000
    (look,) = await store.admit("look", [Charge(STREAMS, trace.subject, 0)], [1.0])
    assert STREAMS.amount == look.remaining


async def all_or_nothing(store: LimitStore, clock: Clock, trace: Trace) -> None:
    """Where one enforced limit refuses, none is charged, of the same subject or of another; one in shadow never
    refuses, and is charged with the rest as long as it would allow it."""
    other = (trace.subject[0] + "-other",)
    full = Limit("full", ("end_user",), Count.REQUESTS, Shape.BUDGET, 2, 60.0)
    shadow = replace(full, name="shadow", enforced=False, amount=1)
    charges = [
        trace.charge(1),
        Charge(STREAMS, trace.subject, 1),
        Charge(shadow, trace.subject, 1),
        Charge(full, other, 1),
    ]
    most = trace.limit.burst or trace.limit.amount
    heard = [await store.admit(f"{other}-{number}", charges, [1.0] * 4) for number in range(4)]
    assert [True, True, False, False] == [answer[3].allowed for answer in heard]
    assert [True, False, False, False] == [answer[2].allowed for answer in heard]
    assert [most - 1, most - 2] == [answer[0].remaining for answer in heard[:2]]
    looks = [replace(charge, cost=0) for charge in charges]
    after = await store.admit("look", [*looks[:3], replace(looks[3], limit=replace(full, enforced=False))], [1.0] * 4)
    assert [most - 2, STREAMS.amount - 2, 0, 0] == [each.remaining for each in after]


async def a_share_is_a_part(store: LimitStore, clock: Clock, trace: Trace) -> None:
    """Half a limit allows half as much, a thousandth one; what never fits says so and how long a whole one takes."""
    limit = replace(trace.limit, amount=1000, burst=1000 if trace.limit.burst else 0)
    for share, most in ((0.5, 500), (0.0001, 1), (1.0, 1000)):
        (look,) = await store.admit(f"look-{share}", [Charge(limit, trace.subject, 0)], [share])
        assert most == look.remaining
        (over,) = await store.admit(f"over-{share}", [Charge(limit, trace.subject, most + 1)], [share])
        assert not over.allowed
        assert over.retry_after_s >= 1.0


async def more_than_was_reserved_counts(store: LimitStore, clock: Clock, trace: Trace) -> None:
    """What is used above the reservation, or where nothing was reserved, is missing afterwards, however late."""
    limit = Limit("verdicts", ("key",), Count.VERDICTS, Shape.BUDGET, 2, 3600.0)
    refusals = Charge(limit, trace.subject, 0)
    for number in range(2):
        (look,) = await store.admit(f"v{number}", [refusals], [1.0])
        assert look.allowed
        clock.now += 1_700_000_000
        await store.settle(f"v{number}", [(refusals, 1)])
    (look,) = await store.admit("v", [refusals], [1.0])
    assert (False, 0) == (look.allowed, look.remaining)
    await store.admit("slow", [Charge(RATE, trace.subject, 10)], [1.0])
    clock.now += 120_000_000
    await store.settle("slow", [(Charge(RATE, trace.subject, 10), 100_000)])
    (look,) = await store.admit("w", [Charge(RATE, trace.subject, 0)], [1.0])
    assert (False, 0) == (look.allowed, look.remaining)


LAWS: dict[Check, st.SearchStrategy[Trace]] = {
    never_more_than_the_limit: traces(MODEST, RATE, BUDGET),
    told_times_are_right: traces(ASKS, RATE, BUDGET),
    what_was_reserved_is_put_right: traces(ASKS, RATE, BUDGET),
    leases_never_leak: traces(ASKS, STREAMS),
}
"""Each with the traces that it is played over."""

CHECKS: dict[Check, tuple[Limit, ...]] = {
    no_double_burst_at_a_border: (BUDGET,),
    asking_twice_is_asking_once: (RATE, BUDGET, STREAMS),
    all_or_nothing: (RATE, BUDGET),
    a_share_is_a_part: (RATE, BUDGET),
    more_than_was_reserved_counts: (BUDGET,),
}
"""Each with the limits that it is tried on."""

"""The door to limits and standings: it never fails, takes nothing from those who may not ask, and puts all right."""

import asyncio
from collections import Counter
from dataclasses import dataclass

import pytest

from safeguards_extproc.adapters.accounts import Accounts, AccountSettings, Sinks, cost, pseudonyms
from safeguards_extproc.core.account import (
    Admission,
    Charge,
    Count,
    Counted,
    Identity,
    Limit,
    Settlement,
    Shape,
    Standing,
    Step,
    Usage,
)
from safeguards_extproc.enforcement.events import Strike
from safeguards_extproc.enforcement.snapshot import Snapshot
from safeguards_extproc.errors import StoreError

WHO = Identity({"key": "key1", "end_user": "user1", "model": "small"}, {"end_user": ("user0",)})
RATE = Limit("rate", ("key",), Count.REQUESTS, Shape.RATE, 100, burst=10)
TOKENS = Limit("tokens", ("key",), Count.TOKENS, Shape.BUDGET, 1000)
STREAMS = Limit("streams", ("key",), Count.STREAMS, Shape.CONCURRENT, 4)


@dataclass
class Answer:
    counted: list[Counted]
    source: str


class Store:
    """Counts by adding up what was taken, which any limits do at least; can be told to fail or to wait."""

    def __init__(self, capacity=1 << 60):
        self.capacity, self.failure = capacity, None
        self.taken, self.shares, self.renewed = Counter(), [], []
        self.settled = {}
        self.gate, self.renewal = asyncio.Event(), asyncio.Event()
        self.gate.set()

    async def admit(self, id, charges, shares):
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        self.shares.append(list(shares))
        parts = zip(charges, shares, strict=True)
        allowed = [self.taken[one.limit.name] + one.cost <= self.capacity * share for one, share in parts]
        if all(allowed):
            self.taken.update({one.limit.name: one.cost for one in charges})
        answers = [Counted(one.limit, ok, 5, 1.0, 0 if ok else 9.0) for one, ok in zip(charges, allowed, strict=True)]
        return Answer(answers, "store")

    async def settle(self, id, used):
        if self.failure is not None:
            raise self.failure
        self.settled[id] = [(charge.limit.name, amount) for charge, amount in used]

    async def renew(self, ids):
        self.renewal.set()
        self.renewed += [(id, [charge.limit.name for charge in charges]) for id, charges in ids]

    async def close(self): ...


class Watcher:
    def __init__(self):
        self.counts = Counter()

    def admission_took(self, source, seconds):
        self.counts["admitted", source] += 1

    def account_failed(self, what, reason):
        self.counts[what, reason] += 1

    def account_lost(self, what, count):
        self.counts[what, "lost"] += count

    def fault(self, where):
        self.counts["fault", where] += 1


class House:
    """Accounts and everything around them."""

    def __init__(self, **settings):
        self.snapshot, self.store, self.seen = Snapshot(), Store(), Watcher()
        self.strikes, self.observed = [], []
        sinks = Sinks(self.strike, self.struck, self.observe)
        self.accounts = Accounts(self.snapshot, self.store, sinks, self.seen, AccountSettings(close_s=0.3, **settings))

    def strike(self, settlement):
        return Strike(subject="user1", record=settlement.admission.id) if settlement.outcome == "block" else None

    async def struck(self, strikes):
        self.strikes += strikes

    async def observe(self, settlements):
        self.observed += settlements


@pytest.fixture
async def house():
    return House()


def admission(*limits, id="exchange-1", amount=10):
    return Admission(id, WHO, [Charge(limit, ("key1",), amount) for limit in limits])


def settled(asked, outcome="allow", tokens=3, **more):
    return Settlement(asked, Usage(tokens, tokens, 100, exact=True), outcome, **more)


async def test_what_was_reserved_is_put_right(house):
    """Tokens that were used take the place of those reserved; the stream's lease ends; the request stays counted."""
    asked = admission(RATE, TOKENS, STREAMS)
    answer = await house.accounts.admit(asked)
    house.accounts.settle(settled(asked))
    await house.accounts.close()

    assert (answer.source, answer.refused, len(answer.counted)) == ("store", None, 3)
    assert house.store.settled == {"exchange-1": [("rate", 10), ("tokens", 6), ("streams", 0)]}
    assert house.accounts.under_way == 0


@pytest.mark.parametrize("step", [Step.SUSPENDED, Step.BANNED])
async def test_one_who_may_ask_nothing_takes_nothing(house, step):
    """Nor is anything put right that was not taken; all the pseudonyms of an identity count, former ones too."""
    house.snapshot.put([("user0", Standing(step, rule="weapons", revision=1))])
    asked = admission(RATE)
    answer = await house.accounts.admit(asked)
    house.accounts.settle(settled(asked, "block", refused=True))
    await house.accounts.close()

    assert (answer.source, answer.standing.step, answer.counted) == ("none", step, ())
    assert house.store.taken == house.store.settled == {}


async def test_a_throttled_identity_has_its_share(house):
    """Of every limit."""
    house.snapshot.put([("user1", Standing(Step.THROTTLED, share=0.25, revision=1))])
    await house.accounts.admit(admission(RATE, TOKENS))
    await house.accounts.close()

    assert house.store.shares == [[0.25, 0.25]]


async def test_a_refused_exchange_owes_nothing(house):
    """Nothing was taken, so nothing is put right."""
    house.store.capacity = 5
    asked = admission(RATE)
    answer = await house.accounts.admit(asked)
    house.accounts.settle(settled(asked, "throttle", refused=True))
    await house.accounts.close()

    assert answer.refused.retry_after_s == 9.0
    assert house.store.settled == {}


async def test_limits_with_a_fault_are_none(house):
    """Whatever breaks, streams have their answer."""
    house.store.failure = RuntimeError()
    asked = admission(RATE)
    answer = await house.accounts.admit(asked)
    house.accounts.settle(settled(asked))
    await house.accounts.close()

    assert (answer.refused, answer.source) == (None, "none")
    assert house.seen.counts["fault", "accounts"] == 1
    assert house.store.settled == {}


async def test_a_settlement_waits_for_its_admission(house):
    """A stream that ends while the store is asked: what is taken after its end is put right all the same."""
    house.store.gate.clear()
    asked = admission(TOKENS)
    asking = asyncio.create_task(house.accounts.admit(asked))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asking.cancel()
    house.accounts.settle(settled(asked))
    house.store.gate.set()
    await house.accounts.close()

    assert asking.cancelled()
    assert house.store.taken == {"tokens": 10}
    assert house.store.settled == {"exchange-1": [("tokens", 6)]}
    assert house.accounts.under_way == 0


async def test_settlements_wait_for_a_store_that_is_away(house):
    """Leases end and reservations are put right when it is back."""
    asked = admission(TOKENS)
    await house.accounts.admit(asked)
    house.store.failure = StoreError("unavailable")
    house.accounts.settle(settled(asked))
    await asyncio.sleep(0)
    house.store.failure = None
    await house.accounts.close()

    assert house.store.settled == {"exchange-1": [("tokens", 6)]}


async def test_strikes_and_observations_are_told(house):
    """Each settled exchange once; strikes where the policy says so."""
    for id, outcome in (("a", "allow"), ("b", "block")):
        house.accounts.settle(settled(admission(id=id), outcome))
    await house.accounts.close()

    assert [one.record for one in house.strikes] == ["b"]
    assert [one.admission.id for one in house.observed] == ["a", "b"]


async def test_what_is_remembered_is_bounded():
    """A driver that never settles costs no more than this."""
    house = House(out=3)
    for number in range(5):
        await house.accounts.admit(admission(TOKENS, id=str(number)))
    await house.accounts.close()

    assert house.accounts.under_way == 3
    assert house.seen.counts["settle", "lost"] == 2


async def test_leases_are_renewed_while_streams_go_on():
    """Of exchanges that have any, with all their charges: a lease is known by its place among them."""
    house = House(renew_s=0.001)
    await house.accounts.admit(admission(STREAMS, TOKENS, id="a"))
    await house.accounts.admit(admission(TOKENS, id="b"))
    async with asyncio.timeout(5):
        await house.store.renewal.wait()
    await house.accounts.close()

    assert house.store.renewed[0] == ("a", ["streams", "tokens"])


@pytest.mark.parametrize(
    ("limit", "more", "used"),
    [
        (Limit("v", (), Count.VERDICTS, Shape.BUDGET, 5), {"outcome": "block"}, 1),
        (Limit("v", (), Count.VERDICTS, Shape.BUDGET, 5, verdicts=frozenset({"stop"})), {"outcome": "block"}, 0),
        (Limit("v", (), Count.VERDICTS, Shape.BUDGET, 5, categories=frozenset({"spam"})), {"outcome": "block"}, 0),
        (Limit("v", (), Count.VERDICTS, Shape.BUDGET, 5), {"outcome": "block", "refused": True}, 0),
        (Limit("b", (), Count.BYTES, Shape.BUDGET, 5), {"outcome": "allow"}, 100),
    ],
)
def test_what_an_exchange_used(limit, more, used):
    """In each limit's own unit; who was refused by a limit has no verdict."""
    assert cost(Charge(limit, (), 0), settled(admission(), **more)) == used


def test_everyone_who_can_be_acted_on_is_looked_up():
    """Under the pseudonyms of today and of before; a model is nobody."""
    assert pseudonyms(WHO) == ["user1", "user0", "key1"]

"""Strikes on their way to a keeper: each arrives, whoever dies on the way, and what is lost is counted."""

import asyncio
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from safeguards_extproc.adapters import redis_intake
from safeguards_extproc.adapters.redis_intake import GROUP, STREAM, RedisIntake, RedisStrikes
from safeguards_extproc.adapters.redis_link import RedisLink, RedisSettings
from safeguards_extproc.enforcement.events import Strike
from safeguards_extproc.enforcement.telling import Telling, TellingSettings
from safeguards_extproc.errors import StoreError
from tests import redis_server


@pytest.fixture(scope="module")
def server():
    with tempfile.TemporaryDirectory(prefix="redis-") as folder, redis_server.running(Path(folder)) as started:
        yield started


class Watcher:
    def __init__(self):
        self.counts = Counter()

    def account_lost(self, what, count):
        self.counts[what, "lost"] += count

    def account_failed(self, what, reason):
        self.counts[what, reason] += 1

    def fault(self, where):
        self.counts["fault"] += 1


@pytest.fixture
async def link(server):
    server.client().flushall()
    link = RedisLink(RedisSettings(server.url, deadline_s=1.0))
    yield link
    await link.close()


def strikes(count):
    return [Strike(subject="user1", record=f"r{number}", half_life=60.0) for number in range(count)]


async def test_each_strike_goes_to_one_keeper_and_is_taken_off_when_it_is_done(link):
    """Two keepers share the work; what the ledger has is not kept."""
    one, two = RedisIntake(link, "one"), RedisIntake(link, "two")
    await RedisStrikes(link, Watcher()).put(strikes(300))
    first, second = await one.read(), await two.read()
    left = await one.done([entry for entry, _ in first])
    none = await two.done([entry for entry, _ in second])

    assert [strike for _, strike in [*first, *second]] == strikes(300)
    assert (len(first), left, none) == (200, 100, 0)
    assert await link.client.exists(STREAM) == 1
    assert await one.read() == []


async def test_what_a_dead_keeper_left_is_claimed(link, monkeypatch):
    """After a time in which it would have been done."""
    await RedisStrikes(link, Watcher()).put(strikes(3))
    dead = RedisIntake(link, "dead")
    await dead.read()
    monkeypatch.setattr(redis_intake, "CLAIM_AFTER_S", 0.0)
    found = await RedisIntake(link, "heir").read()

    assert [strike for _, strike in found] == strikes(3)


async def test_what_lives_is_not_claimed(link):
    """A keeper that is slow keeps what it read."""
    await RedisStrikes(link, Watcher()).put(strikes(3))
    await RedisIntake(link, "slow").read()

    assert await RedisIntake(link, "other").read() == []


async def test_more_than_can_wait_is_counted_as_lost(link):
    """No keeper for long: Redis's memory is not ours to fill."""
    seen = Watcher()
    sink = RedisStrikes(link, seen, most=5)
    await sink.put(strikes(3))
    await sink.put(strikes(4))

    assert seen.counts == {("strikes", "lost"): 2}
    assert await link.client.xlen(STREAM) == 5


async def test_what_is_no_strike_is_handed_on_as_none(link):
    """And is done like any other, so that it does not come for ever."""
    await link.client.xadd(STREAM, {"s": "{}"})
    intake = RedisIntake(link, "one")
    found = await intake.read()

    assert [strike for _, strike in found] == [None]
    assert await intake.done([entry for entry, _ in found]) == 0


async def test_who_leaves_is_no_member_any_more(link):
    """Unless it holds strikes, which another must claim."""
    holding, free = RedisIntake(link, "holding"), RedisIntake(link, "free")
    await RedisStrikes(link, Watcher()).put(strikes(1))
    await holding.read()
    await free.read()
    await holding.close()
    await free.close()

    assert [row["name"] for row in await link.client.xinfo_consumers(STREAM, GROUP)] == [b"holding"]


async def test_a_stream_that_is_gone_is_made_anew(link, server):
    """Redis restarted empty: the group is there again as soon as somebody reads."""
    intake = RedisIntake(link, "one")
    await intake.read()
    server.client().flushall()
    await RedisStrikes(link, Watcher()).put(strikes(2))

    assert [strike for _, strike in await intake.read()] == strikes(2)


async def test_strikes_wait_while_redis_is_away(link, server):
    """In the filter, and are told when it is back."""
    seen = Watcher()
    quick = RedisLink(RedisSettings(server.url, deadline_s=0.02))
    telling = Telling("strikes", RedisStrikes(quick, seen).put, seen, TellingSettings(pause_s=0.01))
    server.signal(redis_server.STOP)
    for strike in strikes(3):
        telling.put(strike)
    async with asyncio.timeout(10):
        while not seen.counts:  # noqa: ASYNC110 (a telling tells only its observer)
            await asyncio.sleep(0.001)
    owed = telling.owed
    server.signal(redis_server.CONTINUE)
    await telling.close(10.0)
    await quick.close()
    found = {strike.record for _, strike in await RedisIntake(link, "one").read()}

    assert owed == 3
    assert found == {"r0", "r1", "r2"}


async def test_without_redis_it_is_said(link):
    """For whoever told it to try again."""
    await link.close()
    with pytest.raises(StoreError):
        await RedisStrikes(link, Watcher()).put(strikes(1))

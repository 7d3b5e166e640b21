"""Limits on a real Redis through everything that can happen to it; what they answer is the contract's."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from safeguards_extproc.adapters import redis_limits
from safeguards_extproc.adapters.breaker import BreakerSettings
from safeguards_extproc.adapters.fallback_limits import FallbackLimits
from safeguards_extproc.adapters.memory_limits import MemoryLimits
from safeguards_extproc.adapters.redis_limits import RedisLimits
from safeguards_extproc.adapters.redis_link import RedisLink, RedisSettings
from safeguards_extproc.core.account import Charge, Count, Limit, OnFailure, Shape
from safeguards_extproc.errors import StoreError
from tests import redis_server
from tests.redis_server import CONTINUE, KILL, STOP, Server

LOCAL = Limit("local", ("key",), Count.REQUESTS, Shape.BUDGET, 10, 3600.0, share=0.3)
ALLOW = replace(LOCAL, name="allow", on_failure=OnFailure.ALLOW)
BLOCK = replace(LOCAL, name="block", on_failure=OnFailure.BLOCK)
TOKENS = Limit("tokens", ("key",), Count.TOKENS, Shape.RATE, 36, 3600.0, 10_000)
STREAMS = Limit("streams", ("key",), Count.STREAMS, Shape.CONCURRENT, 4)
IMPATIENT = BreakerSettings(consecutive=2, open_s=0.02, open_max_s=0.1)

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Redis that each test leaves as it found it, but for what was counted."""
    with redis_server.running(tmp_path_factory.mktemp("redis")) as running:
        yield running


@dataclass
class Seen:
    """What operators see."""

    states: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    settlements: Counter[str] = field(default_factory=Counter)

    def store_state(self, store: str, state: str) -> None:
        self.states.append(state)

    def store_failed(self, store: str, reason: str) -> None:
        self.failures.append(reason)

    def settled(self, result: str, count: int) -> None:
        self.settlements[result] += count


@dataclass
class World:
    """A worker's limits: on Redis, with what is done without it."""

    store: RedisLimits
    limits: FallbackLimits
    seen: Seen
    subject: str

    def charge(self, limit: Limit, cost: int = 1) -> Charge:
        return Charge(limit, (self.subject,), cost)

    async def ask(self, id: str, *charges: Charge) -> tuple[list[bool], str]:
        answered = await self.limits.admit(id, charges, [1.0] * len(charges))
        return [each.allowed for each in answered.counted], answered.source

    async def counted(self) -> bool:
        """Whether the store counts."""
        return "store" == (await self.ask("look", self.charge(LOCAL, 0)))[1]


@asynccontextmanager
async def world(
    server: Server, subject: str, *, deadline_s: float = 0.5, lease_s: float = 30.0
) -> AsyncIterator[World]:
    seen = Seen()
    link = RedisLink(RedisSettings(server.url, deadline_s=deadline_s), breaker=IMPATIENT)
    store = RedisLimits(link, seen, lease_us=round(lease_s * 1e6))
    limits = FallbackLimits(store, MemoryLimits(), seen, calm_s=0.0)
    yield World(store, limits, seen, subject)
    await limits.close()
    await link.close()


def killed(server: Server) -> None:
    server.signal(KILL)


def started_anew(server: Server) -> None:
    server.again()


def paused(server: Server) -> None:
    server.signal(STOP)


def going_on(server: Server) -> None:
    server.signal(CONTINUE)


def slow(server: Server) -> None:
    with server.client() as client:
        client.client_pause(6000, all=True)


def quick_again(server: Server) -> None:
    with server.client() as client:
        client.client_unpause()


def full(server: Server) -> None:
    with server.client() as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)


def roomy(server: Server) -> None:
    with server.client() as client:
        client.config_set("maxmemory", 0)


def demoted(server: Server) -> None:
    with server.client() as client:
        client.replicaof("127.0.0.1", redis_server.free_port())


def promoted(server: Server) -> None:
    with server.client() as client:
        client.replicaof("NO", "ONE")


Do = Callable[[Server], None]
FAULTS: dict[str, tuple[Do, Do, str]] = {
    "killed": (killed, started_anew, "unavailable"),
    "paused": (paused, going_on, "timeout"),
    "slow": (slow, quick_again, "timeout"),
    "full": (full, roomy, "full"),
    "a replica": (demoted, promoted, "unavailable"),
}
"""What happens, how it ends, and how it is called."""


@pytest.mark.parametrize("name", FAULTS)
async def test_each_limit_does_what_it_says_until_the_store_is_back(server: Server, name: str) -> None:
    """A stream is under way when it happens: its settlement waits and is told when the store is back. So does that of
    an exchange that was refused here and may have been charged there."""
    happens, ends, reason = FAULTS[name]
    async with world(server, name.replace(" ", "-")) as it:
        tokens = it.charge(TOKENS, 5_000)
        await redis_server.soon(it.counted)
        assert ([True], "store") == await it.ask("stream", tokens)
        it.seen.states.clear()
        it.seen.failures.clear()
        happens(server)
        try:
            assert ([True], "local") == await it.ask("a", it.charge(ALLOW))
            assert ([False], "local") == await it.ask("b", it.charge(BLOCK))
            told = [await it.ask(f"c{number}", it.charge(LOCAL)) for number in range(4)]
            assert [([True], "local")] * 3 + [([False], "local")] == told
            await it.limits.settle("stream", [(tokens, 100)])
            assert it.store.waiting
        finally:
            ends(server)
        await redis_server.soon(it.counted)
        await redis_server.soon(lambda: not it.store.waiting)
        (left,) = (await it.limits.admit("after", [it.charge(TOKENS, 0)], [1.0])).counted
        assert (10_000 if name == "killed" else 9_900) == left.remaining
        assert 1 <= it.seen.settlements["late"]
        assert 0 == it.seen.settlements["lost"]
        assert reason == it.seen.failures[0]
        assert ["away", "ok"] == it.seen.states


async def test_flushed_it_counts_from_nothing_but_knows_who_is_there(server: Server) -> None:
    """Counters begin anew; streams that are under way have their leases back with the next renewal."""
    async with world(server, "flushed", deadline_s=5.0) as it:
        streams = it.charge(STREAMS)
        for number in range(4):
            assert ([True], "store") == await it.ask(f"s{number}", streams)
        with server.client() as client:
            client.flushall()
        await it.limits.renew([(f"s{number}", [streams]) for number in range(4)])
        assert ([False], "store") == await it.ask("s4", streams)
        for number in range(4):
            await it.limits.settle(f"s{number}", [(streams, 1)])
        (left,) = (await it.limits.admit("look", [it.charge(STREAMS, 0)], [1.0])).counted
        assert STREAMS.amount == left.remaining


async def test_what_somebody_else_wrote_counts_as_nothing_and_is_replaced(server: Server) -> None:
    """A list, a word, a set of another kind, where counters should be: decided as if empty, and right from then on."""
    async with world(server, "planted", deadline_s=5.0) as it:
        charges = [it.charge(LOCAL), it.charge(TOKENS, 100), it.charge(STREAMS)]
        wrong = [("RPUSH", "x"), ("SET", "x"), ("SADD", "x")]
        with server.client() as client:
            for charge, (command, value) in zip(charges, wrong, strict=True):
                client.execute_command(command, redis_limits.key(charge), value)
        assert ([True] * 3, "store") == await it.ask("a", *charges)
        (budget, rate, streams) = (await it.limits.admit("b", charges, [1.0] * 3)).counted
        assert (8, 9_800, 2) == (budget.remaining, rate.remaining, streams.remaining)


async def test_limits_with_several_tags_are_all_or_nothing(server: Server) -> None:
    """Of an end user and of a key: where one refuses, the other has given back before the answer comes."""
    async with world(server, "several", deadline_s=5.0) as it:
        user = replace(LOCAL, name="user", per=("end_user", "key"), amount=2)
        both = [it.charge(TOKENS, 1_000), Charge(user, ("somebody", "several"), 1), it.charge(STREAMS)]
        told = [await it.ask(f"a{number}", *both) for number in range(4)]
        assert [[True] * 3] * 2 + [[True, False, True]] * 2 == [allowed for allowed, _ in told]
        looks = [replace(charge, cost=0) for charge in (both[0], both[2])]
        (rate, streams) = (await it.limits.admit("look", looks, [1.0] * 2)).counted
        assert (8_000, 2) == (rate.remaining, streams.remaining)


async def test_keys_are_pseudonyms_of_one_tag_and_expire(server: Server) -> None:
    """A model's name, which a client wrote, is a digest where it is not plain; nothing stays for ever."""
    async with world(server, "keys", deadline_s=5.0) as it:
        model = replace(LOCAL, name="model", per=("key", "model"))
        everybody = replace(LOCAL, name="everybody", per=())
        charges = [it.charge(STREAMS), Charge(model, ("keys", "a {model} of\nmine"), 1), Charge(everybody, (), 1)]
        await it.ask("exchange", *charges)
        with server.client() as client:
            names = [key.decode() for key in client.keys("*keys*")] + [redis_limits.key(charges[2])]
            assert all(0 < client.pttl(name) <= 3_800_000 for name in names)
        assert 4 == len(names)
        assert all(name.startswith("safeguards:{keys}:") for name in names[:3])
        assert names[3].startswith("safeguards:{everybody}:")
        assert not any("mine" in name for name in names)


async def test_too_many_settlements_wait_for_nobody(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue is bounded; what does not fit is said to be lost, and what waits at the end too."""
    monkeypatch.setattr(redis_limits, "WAITING", 3)
    async with world(server, "waiting") as it:
        charges = [it.charge(TOKENS, 10)]
        await redis_server.soon(it.counted)
        for number in range(5):
            await it.ask(f"a{number}", *charges)
        server.signal(STOP)
        try:
            for number in range(3):
                await it.limits.settle(f"a{number}", [(charges[0], 1)])
            for number in range(3, 5):
                with pytest.raises(StoreError, match="overload"):
                    await it.limits.settle(f"a{number}", [(charges[0], 1)])
            await it.store.close()
        finally:
            server.signal(CONTINUE)
        assert {"lost": 5} == dict(it.seen.settlements)


HOLDER = """
import asyncio, sys
from safeguards_extproc.core.account import Charge, Count, Limit, Shape
from tests.adapters.test_redis_limits import STREAMS, Server, world

async def main(url):
    async with world(Server(None, [], url, None), "holder", deadline_s=5.0, lease_s=0.5) as it:
        for number in range(4):
            assert ([True], "store") == await it.ask(f"s{number}", it.charge(STREAMS))
        print("held", flush=True)
        while True:
            await it.limits.renew([(f"s{number}", [it.charge(STREAMS)]) for number in range(4)])
            await asyncio.sleep(0.1)

asyncio.run(main(sys.argv[1]))
"""


async def test_leases_of_a_process_that_died_come_back(server: Server) -> None:
    """As long as it lives it renews them; killed, they are there again when their time is over."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, server.url, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    try:
        assert process.stdout is not None
        assert b"held\n" == await process.stdout.readline()
        async with world(server, "holder", deadline_s=5.0, lease_s=0.5) as it:

            async def free() -> int:
                (look,) = (await it.limits.admit("look", [it.charge(STREAMS, 0)], [1.0])).counted
                return look.remaining

            assert 0 == await free()
            process.kill()
            await process.wait()
            await redis_server.soon(free, wanted=4)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

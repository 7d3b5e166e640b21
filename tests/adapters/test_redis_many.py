"""Limits shared: eight processes on one Redis, and a cluster that loses a master while it is asked."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from redis import Redis, RedisCluster

from safeguards_extproc.adapters.breaker import BreakerSettings
from safeguards_extproc.adapters.fallback_limits import FallbackLimits
from safeguards_extproc.adapters.memory_limits import MemoryLimits
from safeguards_extproc.adapters.redis_limits import RedisLimits, key
from safeguards_extproc.adapters.redis_link import RedisLink, RedisSettings
from safeguards_extproc.core.account import Charge, Count, Limit, Shape
from tests import redis_server
from tests.adapters import limits_program
from tests.redis_server import KILL, Server

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
HOURLY = Limit("hourly", ("key",), Count.REQUESTS, Shape.BUDGET, 200, 3600.0, share=0.1)


class Seen:
    """What operators see."""

    def __init__(self) -> None:
        self.states: list[str] = []
        self.failures: Counter[str] = Counter()
        self.settlements: Counter[str] = Counter()

    def store_state(self, store: str, state: str) -> None:
        self.states.append(state)

    def store_failed(self, store: str, reason: str) -> None:
        self.failures[reason] += 1

    def settled(self, result: str, count: int) -> None:
        self.settlements[result] += count


async def test_eight_processes_take_no_more_than_there_is(tmp_path: Path) -> None:
    """Each uses less than it reserved, tells it once or twice, at the same time as the others: in the end what they
    used and what is left is the limit, to the last unit, and no stream is out."""
    with redis_server.running(tmp_path / "redis") as server:
        program = (sys.executable, "-m", "tests.adapters.limits_program", server.url, "eight")
        workers = [
            await asyncio.create_subprocess_exec(*program, str(number), stdout=asyncio.subprocess.PIPE, cwd=ROOT)
            for number in range(8)
        ]
        said = [await worker.communicate() for worker in workers]
        assert [0] * 8 == [worker.returncode for worker in workers]
        used = sum(int(out) for out, _ in said)
        link = RedisLink(RedisSettings(server.url, deadline_s=5.0))
        charges = [Charge(limit, ("eight",), 0) for limit in limits_program.LIMITS]
        budget, rate, streams = await RedisLimits(link, Seen()).admit("look", charges, [1.0] * 3)
        await link.close()
    assert limits_program.AMOUNT * 0.9 < used <= limits_program.AMOUNT
    assert [limits_program.AMOUNT - used] * 2 == [budget.remaining, rate.remaining]
    assert limits_program.LIMITS[2].amount == streams.remaining


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[list[Server]]:
    """Three masters, each with a replica that takes over within a second or two."""
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-replica-validity-factor", "0")
    with ExitStack() as stack:
        servers = []
        for number in range(6):
            port = redis_server.free_port()
            servers.append(stack.enter_context(redis_server.running(tmp_path / f"{number}", *options, port=port)))
        nodes = [server.url.removeprefix("redis://") for server in servers]
        made = ["redis-cli", "--cluster", "create", *nodes, "--cluster-replicas", "1", "--cluster-yes"]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL, timeout=60)
        for server in servers:
            with server.client() as client:
                redis_server.until("the cluster", partial(_whole, client))
        yield servers


def _whole(client: Redis) -> bool:
    known = client.info("replication")
    linked = known["role"] == "slave" and known["master_link_status"] == "up"
    whole: bool = client.cluster("info")["cluster_state"] == "ok"
    return whole and (linked or known["connected_slaves"] == 1)


async def test_a_cluster_that_loses_a_master_goes_on_deciding(cluster: list[Server]) -> None:
    """Twelve keys on three masters, one of which dies: every request is answered, by a share of the limit here until
    the replica has taken over, and no key has more than 1.2 times its limit."""
    subjects = [f"key-{number}" for number in range(12)]
    charges = {subject: Charge(HOURLY, (subject,), 1) for subject in subjects}
    link = RedisLink(
        RedisSettings(cluster[0].url, cluster=True, deadline_s=0.25),
        breaker=BreakerSettings(consecutive=3, open_s=0.1, open_max_s=0.4),
    )
    seen = Seen()
    limits = FallbackLimits(RedisLimits(link, seen), MemoryLimits(), seen)
    admitted: Counter[str] = Counter()
    sources: Counter[str] = Counter()
    over: set[str] = set()
    turn = 0

    async def ask(subject: str) -> None:
        id = f"{subject}-{turn}"
        answered = await limits.admit(id, [charges[subject]], [1.0])
        sources[answered.source] += 1
        if answered.counted[0].allowed:
            admitted[subject] += 1
        elif answered.source == "store":
            over.add(subject)

    await redis_server.soon(lambda: _counts(limits, charges["key-0"]))
    while admitted.total() < 60 * len(subjects):
        await asyncio.gather(*map(ask, subjects))
        turn += 1
    victim = _node(cluster, _master(cluster[0], charges["key-0"]))
    victim.signal(KILL)
    before = admitted.total()
    async with asyncio.timeout(60):
        while over != set(subjects):
            await asyncio.gather(*map(ask, subjects))
            turn += 1
            await asyncio.sleep(0.01)
    await limits.close()
    await link.close()
    assert sources["local"] > 0
    assert before < admitted.total()
    assert all(HOURLY.amount <= admitted[subject] + 10 for subject in subjects)
    assert max(admitted.values()) <= 1.2 * HOURLY.amount
    assert "away" in seen.states


async def test_a_cluster_is_found_while_the_node_named_first_is_away(cluster: list[Server]) -> None:
    """Several nodes are named so that any one of them may be down when a filter starts."""
    away, there = "redis://127.0.0.1:1", cluster[1].url
    for more, answer in [((there,), "store"), ((), "local")]:
        link, seen = RedisLink(RedisSettings(away, cluster=True, more=more, deadline_s=5.0)), Seen()
        limits = FallbackLimits(RedisLimits(link, seen), MemoryLimits(), seen)
        answered = await limits.admit("x", [Charge(HOURLY, ("key-0",), 1)], [1.0])
        assert answer == answered.source
        await limits.close()
        await link.close()


async def test_a_slot_that_moves_takes_its_counters_along(cluster: list[Server]) -> None:
    """Asked before, while the slot is on its way, and after: nothing is counted twice or lost."""
    charge, seen = Charge(HOURLY, ("key-0",), 1), Seen()
    link = RedisLink(RedisSettings(cluster[0].url, cluster=True, deadline_s=5.0))
    limits = FallbackLimits(RedisLimits(link, seen), MemoryLimits(), seen)
    admitted = Counter[str]()

    async def ask(times: int) -> None:
        for _ in range(times):
            answered = await limits.admit(f"x{admitted.total()}", [charge], [1.0])
            admitted[answered.source] += answered.counted[0].allowed

    await redis_server.soon(lambda: _counts(limits, charge))
    await ask(20)
    old = _node(cluster, _master(cluster[0], charge))
    new = next(server for server in cluster if server is not old and _is_master(server))
    with old.client() as source, new.client() as target:
        slot = source.cluster("keyslot", key(charge))
        ids = [node.execute_command("CLUSTER", "MYID").decode() for node in (source, target)]
        target.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
        source.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
        await ask(5)
        names = source.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 1000)
        port = int(new.url.rpartition(":")[2])
        source.execute_command("MIGRATE", "127.0.0.1", port, "", 0, 5000, "KEYS", *names)
        await ask(5)
        for node in (target, source):
            node.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[1])
    await redis_server.soon(lambda: _counts(limits, charge))
    await ask(20)
    look = (await limits.admit("look", [Charge(HOURLY, charge.subject, 0)], [1.0])).counted[0]
    await limits.close()
    await link.close()
    assert HOURLY.amount - look.remaining == admitted["store"] >= 40
    assert _master(new, charge) == port


def _node(cluster: list[Server], port: int) -> Server:
    return next(server for server in cluster if server.url.endswith(f":{port}"))


def _is_master(server: Server) -> bool:
    with server.client() as client:
        return bool(client.info("replication")["role"] == "master")


async def _counts(limits: FallbackLimits, charge: Charge) -> bool:
    return "store" == (await limits.admit("first", [Charge(charge.limit, charge.subject, 0)], [1.0])).source


def _master(server: Server, charge: Charge) -> int:
    """The port of the server that counts a charge."""
    with RedisCluster.from_url(server.url) as client:
        return int(client.get_node_from_key(key(charge)).port)

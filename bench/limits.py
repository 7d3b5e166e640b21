"""What counting costs: the script on Redis over a UNIX socket against PING over the same connections, in turn, by one
caller and by sixteen at once, as the service asks (asyncio on uvloop); and the store in memory. Each PING is a round
trip of its own; what the sixteen ask of limits goes together.

The exchange is a usual one: requests by rate, tokens by budget, and a lease. Its meters are full: as many slots as they
can have, each with a charge.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from rich.console import Console
from rich.table import Table

from safeguards_extproc.adapters.memory_limits import MemoryLimits
from safeguards_extproc.adapters.redis_limits import RedisLimits
from safeguards_extproc.adapters.redis_link import RedisLink, RedisSettings
from safeguards_extproc.core.account import Charge, Count, Limit, Shape
from safeguards_extproc.enforcement.meters import SLOTS
from safeguards_extproc.ports import LimitStore

CALLERS = (1, 16)
LIMITS = (
    Limit("requests", ("key",), Count.REQUESTS, Shape.RATE, 6_000_000, 60.0, 6_000_000),
    Limit("tokens", ("key",), Count.TOKENS, Shape.BUDGET, 1 << 40, 60.0),
    Limit("streams", ("key",), Count.STREAMS, Shape.CONCURRENT, 1000),
)
COSTS = (1, 1200, 1)
console = Console(width=150)

Do = Callable[[int], Awaitable[object]]


class Told:
    """Nobody is told."""

    def settled(self, result: str, count: int) -> None:
        """Nothing waits here."""


def measure(folder: Path, rounds: int, calls: int = 2000) -> dict[str, Any]:
    """Milliseconds by call and number of callers, microseconds within Redis, and microseconds in memory."""
    figures: dict[str, Any] = {"memory_us": uvloop.run(in_memory(calls))}
    console.print(f"in memory: {figures['memory_us']:.0f} µs of processor time an admission of three limits, settled")
    if shutil.which("redis-server") is None:
        console.print("no redis-server here: its figures are left out")
        return figures
    took, server_us = uvloop.run(on_redis(folder, rounds, calls))
    table = Table("call", "callers", "p50", "p99", "above PING, p50", "p99")
    table.title = f"limits on Redis over a UNIX socket, {rounds} rounds of {calls} calls"
    for (name, callers), times in took.items():
        row, ping = [[quantile(each, share) for share in (0.5, 0.99)] for each in (times, took["PING", callers])]
        figures[f"{name}/{callers}"] = row
        above = [mine - theirs for mine, theirs in zip(row, ping, strict=True)]
        table.add_row(name, str(callers), *(f"{each:.3f} ms" for each in (*row, *above)))
    console.print(table)
    figures["server_us"] = server_us
    console.print(f"within Redis the script takes {server_us:.0f} µs a call")
    return figures


async def in_memory(calls: int) -> float:
    """Processor time of an admission and its settlement, in microseconds, in the middle of a window."""
    now = time.time_ns()
    store = MemoryLimits(lambda: now)
    for number in range(calls + SLOTS):
        if number == SLOTS:
            began = time.process_time()
        now += 1_000_000_000
        await exchange(store, f"{number}")
    return (time.process_time() - began) / calls * 1e6


async def exchange(store: LimitStore, id: str) -> None:
    """One exchange from its admission to its settlement."""
    charges = [Charge(limit, ("key",), cost) for limit, cost in zip(LIMITS, COSTS, strict=True)]
    await store.admit(id, charges, [1.0] * 3)
    await store.settle(id, [(charge, charge.cost // 2) for charge in charges])


async def on_redis(folder: Path, rounds: int, calls: int) -> tuple[dict[tuple[str, int], list[float]], float]:
    """Milliseconds of every call, in order of length; and the script's own microseconds."""
    took: dict[tuple[str, int], list[float]] = {}
    async with served(folder) as url:
        clock = [time.time_ns() // 1000]
        link = RedisLink(RedisSettings(url, deadline_s=10.0))
        filling = RedisLimits(link, Told(), lambda: clock[0])
        for number in range(SLOTS + 2):
            clock[0] += 1_000_000
            await exchange(filling, f"before-{number}")
        store = RedisLimits(link, Told(), lambda: clock[0])
        charges = [Charge(limit, ("key",), cost) for limit, cost in zip(LIMITS, COSTS, strict=True)]

        async def one(number: int) -> None:
            await store.admit(f"one-{number}", charges[:1], [1.0])

        async def three(number: int) -> None:
            await store.admit(f"three-{number}", charges, [1.0] * 3)

        async def settle(number: int) -> None:
            await store.settle(f"three-{number}", [(charge, charge.cost // 2) for charge in charges])

        async def ping(_: int) -> None:
            await link.command("PING", "x")

        asks: dict[str, Do] = {"PING": ping, "admit, one limit": one, "admit, three limits": three, "settle": settle}
        turn = 0
        await link.client.execute_command("CONFIG", "RESETSTAT")
        for _ in range(rounds):
            for callers in CALLERS:
                for name, ask in asks.items():
                    took.setdefault((name, callers), []).extend(await timed(ask, turn, callers, calls))
                turn += calls
        assert isinstance(link.client, Redis)
        stats = (await link.client.info("commandstats"))["cmdstat_evalsha"]
        await link.close()
    return {name: sorted(times) for name, times in took.items()}, float(stats["usec_per_call"])


async def timed(ask: Do, first: int, callers: int, calls: int) -> list[float]:
    """Milliseconds of each of so many calls, by so many callers at once."""
    numbers, times = iter(range(first, first + calls)), []

    async def caller() -> None:
        for number in numbers:
            began = time.perf_counter()
            await ask(number)
            times.append((time.perf_counter() - began) * 1000)

    await asyncio.gather(*(caller() for _ in range(callers)))
    return times


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[str]:
    """A Redis of its own."""
    path = folder / "redis.sock"
    argv = ["redis-server", "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(folder)]
    process = await asyncio.create_subprocess_exec(*argv, stdout=subprocess.DEVNULL)
    try:
        async with (
            asyncio.timeout(30),
            Redis(unix_socket_path=str(path), retry=Retry(ConstantBackoff(0.1), 300)) as client,
        ):
            await client.ping()
        yield f"unix://{path}"
    finally:
        process.kill()
        await process.wait()


def quantile(ordered: list[float], share: float) -> float:
    """The value below which `share` of the ordered values lie (nearest rank)."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

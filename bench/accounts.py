"""What enforcement takes: from a suspension to the refusal on the last of the workers, and a Redis that forgot all.

Everything is as in service: worker processes, a keeper, a ledger on disk, Redis, gRPC streams as Envoy opens them, with
a load of other people's requests going on meanwhile.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import random
import shutil
import statistics
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import psutil
from envoy.config.core.v3.base_pb2 import HeaderMap, HeaderValue  # type: ignore[import-untyped]
from envoy.service.ext_proc.v3 import external_processor_pb2 as pb  # type: ignore[import-untyped]
from redis import Redis
from rich.console import Console

from safeguards_extproc.adapters.extproc import METHOD
from safeguards_extproc.cli import app
from safeguards_extproc.enforcement.events import Event, Kind
from safeguards_extproc.enforcement.ledger import Ledger
from safeguards_extproc.enforcement.pseudonyms import Pseudonyms, read_keys
from safeguards_extproc.local import processes

POLICY = """
version: 1
name: accounts
identity:
  end_user: [{header: x-user, trusted: true}]
limits:
  - {name: requests, per: [end_user], rate: 100000/1s}
"""
BODY = b'{"model":"bench","messages":[{"role":"user","content":"Which plants grow next to tomatoes?"}]}'
STATE = "safeguards:{standings}:state"
DUPLEX = 4
WITHIN_S = 30.0
"""A suspension that has not arrived by then never will."""

console = Console(width=150)


@dataclass
class Stage:
    """What runs: workers on `sockets`, a keeper, a ledger and Redis, and the command line's way to both."""

    folder: Path
    sockets: list[Path]
    redis: Redis
    names: Pseudonyms
    keeper: processes.Part

    @property
    def ledger(self) -> str:
        """The ledger's URL."""
        return f"sqlite:///{self.folder}/ledger.db"

    @property
    def redis_url(self) -> str:
        """Where Redis is."""
        return f"unix://{self.folder}/redis.sock"

    def name(self, user: str) -> str:
        """A user's pseudonym."""
        return self.names.name("end_user", user).current

    def command(self, *arguments: str, tell: bool) -> None:
        """Run `account …` as the command line does, in this process; with `tell` it tells Redis by itself."""
        more = ["--ledger", self.ledger, *(["--redis", self.redis_url] if tell else [])]
        with contextlib.redirect_stdout(io.StringIO()):
            app(["account", *arguments, *more, "--json"], standalone_mode=False)

    def keeper_cpu_s(self) -> float:
        """Seconds of processor time that the keeper has spent."""
        return float(sum(psutil.Process(self.keeper.process.pid).cpu_times()[:2]))

    def start_keeper(self) -> None:
        """Start a keeper, anew if there was one."""
        argv = [sys.executable, "-m", "safeguards_extproc", "keeper", "--policy", str(self.folder / "policy.yaml")]
        argv += ["--ledger", self.ledger, "--redis", self.redis_url, "--health", ""]
        self.keeper = processes.start("keeper", argv, self.folder / "keeper.log")


@contextmanager
def running(folder: Path, workers: int) -> Iterator[Stage]:
    """A stage until the end of the block. SystemExit where there is no redis-server."""
    server = shutil.which("redis-server")
    if server is None:
        raise SystemExit("bench: no redis-server on PATH; Debian and Ubuntu have it: apt-get install redis-server")
    (folder / "policy.yaml").write_text(POLICY)
    key = base64.b64encode(random.Random(7).randbytes(32)).decode()  # noqa: S311 (no secret: it names nobody)
    (folder / "keys.yaml").write_text(f"- {{id: bench, key: {key}}}\n")
    first = folder / "filter.sock"
    sockets = [first, *(first.with_name(f"{first.name}.{index}") for index in range(1, workers))]
    names = Pseudonyms(read_keys(folder / "keys.yaml"))
    with contextlib.ExitStack() as ends:

        def started(name: str, argv: list[str]) -> processes.Part:
            part = processes.start(name, argv, folder / f"{name}.log")
            ends.callback(processes.stop, part)
            return part

        redis_socket = folder / "redis.sock"
        argv = [server, "--port", "0", "--unixsocket", str(redis_socket), "--save", "", "--dir", str(folder)]
        part = started("redis", argv)
        processes.wait(part, lambda: processes.accepts(redis_socket), timeout_s=30)
        redis = Redis(unix_socket_path=str(redis_socket))
        ends.callback(redis.close)
        stage = Stage(folder, sockets, redis, names, part)
        stage.start_keeper()
        ends.callback(lambda: processes.stop(stage.keeper))
        serve = [sys.executable, "-m", "safeguards_extproc", "serve", "--policy", str(folder / "policy.yaml")]
        serve += ["--listen", f"unix://{first}", "--health", "", "--workers", str(workers), "--drain-delay", "0"]
        serve += ["--redis", stage.redis_url, "--identity-keys", str(folder / "keys.yaml")]
        part = started("filters", serve)
        for socket in sockets:
            processes.wait(part, lambda socket=socket: processes.accepts(socket), timeout_s=120)  # type: ignore[misc]
        processes.wait(stage.keeper, lambda: bool(redis.hexists(STATE, "@epoch")), timeout_s=120)
        yield stage


def _request(user: str) -> list[bytes]:
    fields = {":method": "POST", ":path": "/v1/chat/completions", "content-type": "application/json", "x-user": user}
    values = [HeaderValue(key=name, raw_value=value.encode()) for name, value in fields.items()]
    head = pb.ProcessingRequest(request_headers=pb.HttpHeaders(headers=HeaderMap(headers=values)))
    head.protocol_config.request_body_mode = head.protocol_config.response_body_mode = DUPLEX
    body = pb.ProcessingRequest(request_body=pb.HttpBody(body=BODY, end_of_stream=True))
    return [head.SerializeToString(), body.SerializeToString()]


async def refused(channel: grpc.aio.Channel, user: str) -> bool:
    """Ask as `user`; whether it was refused. The client goes away as soon as it knows."""
    call: Any = channel.stream_stream(METHOD, None, None)(None)
    for message in _request(user):
        await call.write(message)
    answer = pb.ProcessingResponse.FromString(await call.read())
    call.cancel()
    return bool(answer.HasField("immediate_response"))


@asynccontextmanager
async def channels(stage: Stage) -> AsyncIterator[list[grpc.aio.Channel]]:
    """A connection to each worker."""
    opened = [grpc.aio.insecure_channel(f"unix:{socket}") for socket in stage.sockets]
    try:
        yield opened
    finally:
        for channel in opened:
            await channel.close(None)


async def suspensions(stage: Stage, count: int, *, tell: bool, load_per_s: float, offset: int = 0) -> list[float]:
    """Seconds from the start of each `account suspend` to the refusal on the last worker."""
    async with channels(stage) as opened:
        stop = asyncio.Event()
        load = [asyncio.create_task(_load(channel, load_per_s / len(opened), stop)) for channel in opened]
        took = []
        try:
            for number in range(offset, offset + count):
                user = f"user-{number}"
                if any(await asyncio.gather(*(refused(channel, user) for channel in opened))):
                    raise SystemExit(f"bench: {user} is refused before the suspension")
                began = time.monotonic()
                looking = [asyncio.create_task(_until_refused(channel, user)) for channel in opened]
                command = ("suspend", stage.name(user), "--reason", "bench", "--kind", "end_user", "--actor", "bench")
                await asyncio.to_thread(stage.command, *command, tell=tell)
                took.append(max(await asyncio.wait_for(asyncio.gather(*looking), WITHIN_S)) - began)
        finally:
            stop.set()
            await asyncio.gather(*load)
    return took


async def _until_refused(channel: grpc.aio.Channel, user: str) -> float:
    while True:
        if await refused(channel, user):
            return time.monotonic()
        await asyncio.sleep(0.005)


async def _load(channel: grpc.aio.Channel, per_s: float, stop: asyncio.Event) -> None:
    number = 0
    while not stop.is_set():
        number += 1
        if await refused(channel, f"honest-{number % 1000}"):
            raise SystemExit("bench: an honest user is refused")
        await asyncio.sleep(1 / per_s)


def fill(stage: Stage, identities: int) -> float:
    """Enter so many suspensions into the ledger; seconds."""
    began = time.monotonic()
    ledger = Ledger(stage.ledger, (), time.time)
    for start in range(0, identities, 5000):
        with ledger.writing() as work:
            work.load(f"filled-{number}" for number in range(start, min(start + 5000, identities)))
            for number in range(start, min(start + 5000, identities)):
                work.add(Event(kind=Kind.SUSPEND, subject=f"filled-{number}", reason="bench", actor="bench"))
    ledger.close()
    return time.monotonic() - began


def rebuild(stage: Stage, identities: int) -> float:
    """Empty Redis; seconds until the keeper has built it anew."""
    until_built(stage, identities)
    stage.redis.flushall()
    began = time.monotonic()
    until_built(stage, identities)
    return time.monotonic() - began


def until_built(stage: Stage, identities: int) -> None:
    """Wait for a whole copy of so many; SystemExit after five minutes."""
    given_up = time.monotonic() + 300
    while not (stage.redis.hexists(STATE, "@epoch") and stage.redis.hlen(STATE) >= identities):
        if time.monotonic() > given_up:
            raise SystemExit("bench: the standings were not built in five minutes")
        time.sleep(0.05)


def measure(folder: Path, *, workers: int = 4, count: int = 100, identities: int = 100_000) -> dict[str, Any]:
    """All figures; seconds. Each is printed as soon as it is known."""
    folder.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {}
    with running(folder, workers) as stage:
        for place, (name, tell) in enumerate((("the command tells Redis", True), ("a keeper tells Redis", False))):
            took = sorted(asyncio.run(suspensions(stage, count, tell=tell, load_per_s=40, offset=place * count)))
            p99 = took[min(len(took) - 1, round(0.99 * len(took)))]
            result[name] = {"p50_s": statistics.median(took), "p99_s": p99, "worst_s": took[-1]}
            said = ", ".join(f"{what.removesuffix('_s')} {each:.3f} s" for what, each in result[name].items())
            console.print(f"suspended to refused on the last of {workers} workers, {count} times, {name}: {said}")
        filled_s, cpu_s = fill(stage, identities), stage.keeper_cpu_s()
        built_s = rebuild(stage, identities)
        spent_s = stage.keeper_cpu_s() - cpu_s
        result["rebuild"] = {
            "identities": identities,
            "seconds": built_s,
            "keeper_cpu_s": spent_s,
            "ledger_filled_s": filled_s,
        }
    what = f"Redis emptied, {identities:,} identities: whole again after {built_s:.1f} s"
    console.print(f"{what}, {spent_s:.1f} s of them the keeper's processor time")
    return result

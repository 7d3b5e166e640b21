"""What a large body costs, and whom it holds up: processor time per KB, and the worst lag of a loop that reads 10 MB.

The lag is what another stream of the same process sees: a coroutine that wants to run every millisecond, on the loop
of a real gRPC server, while a client in another process sends the body as Envoy does. The best of several rounds is
kept, because whatever else runs on the machine only ever adds to it; beside it stands the most processor time that the
loop's thread took at a stretch.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from bench import texts
from safeguards_extproc import wire
from safeguards_extproc.adapters.health import Health
from safeguards_extproc.adapters.listener import parse as address
from safeguards_extproc.adapters.reader import PROGRAM, Reader
from safeguards_extproc.adapters.server import Server, ServerSettings
from safeguards_extproc.adapters.shared import Shared
from safeguards_extproc.app import collect_seldom
from safeguards_extproc.core.decision import Model, Policy, Result
from safeguards_extproc.core.effects import Offload, Wake
from safeguards_extproc.core.events import Body, BodyMode, Event, Headers, Offloaded, Opened, Woke
from safeguards_extproc.core.exchange import Exchange
from safeguards_extproc.core.record import Record
from safeguards_extproc.core.text import Direction
from safeguards_extproc.logs import configure_logging
from safeguards_extproc.policy import source
from safeguards_extproc.policy.load import parse

SIZES = {"1 KB": 1000, "10 KB": 10_000, "100 KB": 100_000, "1 MB": 1_000_000, "10 MB": 10_000_000}
CHUNK = 65_536
"""Bytes of a body in a message, as Envoy sends it in full duplex."""

LIMITS = """
routes: [{name: all, limits: {request_bytes: 16777216, response_bytes: 16777216, windows: 16384}}]
"""
BARE = "version: 1\nname: bare\nremember: 0\nuninspectable: {unread: flag}" + LIMITS
REDACTING = (
    "version: 1\nname: redacting\nremember: 0\nuninspectable: {unread: flag}\n"
    "detectors: {pii: {kind: pii, entities: [email]}}\nrules:\n"
    "  - {name: mask, when: scores.pii.email > 0.5, then: redact, entities: [email]}" + LIMITS
)

CROWD = "64 of 220 KB at once"
"""These are searched by detectors, too."""

TEXT = (
    "The river runs past the old mill and into the valley where people have kept bees for as long as anyone there can "
    "remember. In spring the children walk up to the meadow with baskets and come home with flowers and stories. "
)


@dataclass(frozen=True)
class Shape:
    """A body and what it is sent under. `answer`: it is the response, not the request. `at_once`: so many of them."""

    body: bytes
    headers: dict[str, str]
    answer: bool = False
    at_once: int = 1


def prose(size: int) -> str:
    return (TEXT * (size // len(TEXT) + 1))[:size]


def chat(*contents: Any) -> bytes:
    """A request with a message for each."""
    messages = [{"role": "user", "content": content} for content in contents]
    return json.dumps({"model": "bench", "messages": messages}, ensure_ascii=False).encode()


def said(*contents: str) -> bytes:
    """An answer with a choice for each."""
    choices = [
        {"index": index, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
        for index, content in enumerate(contents)
    ]
    return json.dumps({"id": "bench", "object": "chat.completion", "model": "bench", "choices": choices}).encode()


def shapes(size: int = 10_000_000) -> dict[str, Shape]:
    """Ten megabytes, in the ways that differ, and many requests that are long."""
    image = "data:image/png;base64," + base64.b64encode(os.urandom(size * 3 // 4)).decode()
    parts = [{"type": "text", "text": TEXT[:12]} for _ in range(22_000)]
    mails = prose(size // 20) + " ask ann.lee@example.com about it "
    plain: dict[str, str] = {}
    return {
        "one long text": Shape(chat(prose(size)), plain),
        "Chinese": Shape(chat("蜂蜜在春天的山谷里" * (size // 27)), plain),
        "an image in base64": Shape(chat([{"type": "image_url", "image_url": {"url": image}}]), plain),
        "3,000 messages": Shape(chat(*[prose(size // 3000)] * 3000), plain),
        "22,000 short parts": Shape(chat(parts, prose(size - 900_000)), plain),
        "100,000 messages": Shape(chat(*[TEXT[:80]] * 100_000), plain),
        "gzip": Shape(gzip.compress(chat(prose(size)), 1), {"content-encoding": "gzip"}),
        "addresses to mask": Shape(chat(*[mails] * 20), plain),
        "an answer": Shape(said(*[prose(size // 20)] * 20), plain, answer=True),
        CROWD: Shape(texts.request("prose", 220_000), plain, at_once=64),
    }


class Silent:
    """No model is asked, no record kept."""

    async def start(self) -> None: ...

    async def score(self, model: Model, texts: Any, prompt: str = "") -> Result:
        raise AssertionError

    async def ready(self, model: Model) -> bool:
        return True

    def keep(self, record: Record) -> None: ...

    def durable(self, record: Record) -> None:
        return None

    async def close(self) -> None: ...


def cost(policy: Policy, body: bytes) -> float:
    """Processor time of one request with this body, seconds: reading it and all that follows, wherever it is done."""
    exchange = Exchange(policy, wire, "bench", Opened(BodyMode.DUPLEX, BodyMode.DUPLEX), 1.0)
    fields = {":method": "POST", ":path": "/v1/chat/completions", "content-type": "application/json"}
    pieces = [body[start : start + CHUNK] for start in range(0, len(body), CHUNK)]
    events: list[Event] = [Headers(Direction.REQUEST, fields, False)]
    events += [Body(Direction.REQUEST, piece, False) for piece in pieces[:-1]]
    events.append(Body(Direction.REQUEST, pieces[-1], True))
    began = time.process_time()
    while events:
        for effect in exchange.feed(events.pop(0)):
            if isinstance(effect, Offload):
                events.append(Offloaded(effect.direction, effect.task.run(wire)))
            elif isinstance(effect, Wake) and not effect.after_s:
                events.append(Woke(effect.timer))
    return time.process_time() - began


def kinds(policy: Path) -> dict[str, dict[str, float]]:
    """Microseconds per KB by kind of text and size: reading alone, all that `policy` asks but for its models, and the
    same of a text that was there before, as the next turn of a conversation has it."""
    collect_seldom()
    again = parse(without_models(policy), "bench")
    policies = {
        "read": parse(BARE, "bench"),
        "detect": parse(without_models(policy, remember=0), "bench"),
        "again": again,
    }
    rows: dict[str, dict[str, float]] = {}
    for kind in texts.KINDS:
        for size in (8_000, 220_000):
            body, times = texts.request(kind, size), 25 if size < 100_000 else 7
            found: dict[str, list[float]] = {name: [] for name in policies}
            for _ in range(times):
                for name, each in policies.items():
                    found[name].append(cost(each, body) / len(body) * 1e9)
            rows[f"{kind}, {size // 1000} KB"] = {name: statistics.median(values) for name, values in found.items()}
    return rows


def without_models(policy: Path, **changes: Any) -> str:
    """The text of a policy without its models, and the rules and examples that need them."""
    document = {**source.read(policy.read_text(), policy.stem).data, **changes}
    models = [name for name, spec in document["detectors"].items() if spec["kind"] == "classification"]
    for name in models:
        del document["detectors"][name]
    document["rules"] = [rule for rule in document["rules"] if not any(f"{name}." in rule["when"] for name in models)]
    document.pop("examples", None)
    return json.dumps(document)


def curve(detecting: Path) -> dict[str, dict[str, float]]:
    """Microseconds per KB by size: reading alone, and with the detectors of a policy."""
    policies = {"read": parse(BARE, "bench"), "detect": parse(f"{detecting.read_text()}{LIMITS}remember: 0", "bench")}
    rows: dict[str, dict[str, float]] = {}
    for size, count in SIZES.items():
        body = chat(prose(count))
        times = max(3, min(200, 1_000_000 // count))
        rows[size] = {
            name: min(cost(policy, body) for _ in range(times if name == "read" or count < 5e6 else 1))
            / len(body)
            * 1e9
            for name, policy in policies.items()
        }
    return rows


@asynccontextmanager
async def serving(policy: Policy, socket: Path) -> AsyncIterator[None]:
    """A worker's server, without models."""
    count = itertools.count()
    reader = Reader([sys.executable, "-m", PROGRAM, wire.__name__])
    silent: Any = Silent()

    def begin(opened: Opened, at: float) -> Exchange:
        return Exchange(policy, wire, f"bench-{next(count)}", opened, at)

    shared = Shared(begin, silent, silent, reader=reader)
    settings = ServerSettings(address(f"unix://{socket}"), drain_delay_s=0, drain_limit_s=0)
    server = Server(shared, Health(), settings)
    await server.start()
    collect_seldom()
    try:
        yield
    finally:
        await server.drain()
        await reader.close()


@dataclass
class Watch:
    """The worst lag, and the most processor time at a stretch, in ms."""

    lag_ms: float = 0.0
    busy_ms: float = 0.0

    async def go(self) -> None:
        """Want to run every millisecond."""
        clock, spent = time.perf_counter, time.thread_time
        while True:
            began, before = clock(), spent()
            await asyncio.sleep(0.001)
            self.busy_ms = max(self.busy_ms, (spent() - before) * 1000)
            self.lag_ms = max(self.lag_ms, (clock() - began - 0.001) * 1000)

    def since(self) -> dict[str, float]:
        """The worst since the last time."""
        worst = {"lag_ms": self.lag_ms, "busy_ms": self.busy_ms}
        self.lag_ms = self.busy_ms = 0.0
        return worst


async def lag(policy: Policy, shape: Shape, rounds: int) -> dict[str, Any]:
    """The worst lag and stretch in ms while this body is read, and lag while nothing happens, of the best round."""
    with tempfile.TemporaryDirectory() as folder:
        socket, body = Path(folder) / "s", Path(folder) / "body"
        body.write_bytes(shape.body)
        async with serving(policy, socket):
            argv = [sys.executable, "-m", "bench.body_client", str(socket), str(body)]
            argv += ["answer" if shape.answer else "request", json.dumps(shape.headers)]
            argv += [str(rounds + 1), str(shape.at_once)]
            pipe = asyncio.subprocess.PIPE
            client = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe)
            assert client.stdin is not None
            assert client.stdout is not None
            watch = Watch()
            watcher = asyncio.create_task(watch.go())
            result: dict[str, float] = {}
            for number in range(rounds + 1):
                await asyncio.sleep(0.3)
                quiet, began = watch.since()["lag_ms"], time.perf_counter()
                client.stdin.write(b"\n")
                outcome = (await client.stdout.readline()).decode().strip()
                took = time.perf_counter() - began
                if number:  # the first starts the reader
                    best = {**watch.since(), "quiet_ms": quiet, "s": took}
                    result = {name: min(value, result.get(name, value)) for name, value in best.items()}
            watcher.cancel()
            client.stdin.close()
            await client.wait()
    return {**result, "outcome": outcome}


def lags(rounds: int, detecting: Path) -> dict[str, dict[str, Any]]:
    """By shape."""
    found = {}
    configure_logging("error")
    bare = parse(BARE, "bench")
    crowd = parse(f"{detecting.read_text()}{LIMITS}remember: 0", "bench")
    policies = {"addresses to mask": parse(REDACTING, "bench"), CROWD: crowd}
    for name, shape in shapes().items():
        policy = policies.get(name, bare)
        found[name] = uvloop.run(lag(policy, shape, rounds))
    return found

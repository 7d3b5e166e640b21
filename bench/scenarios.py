"""What clients ask: the bodies of each scenario, varied, and the same in every run.

A request's model tells `bench.upstream` how to answer: `bench` at once, `bench-tools` with a tool call, `bench-E-R-P`
with a stream of E events, R a second, P milliseconds after it was asked.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from bench import texts

SHORT = b'{"model":"m","messages":[{"role":"user","content":"hello, friend"}]}'


@dataclass(frozen=True)
class Scenario:
    """`bodies` are sent in turn. `direct`: Envoy itself answers for the model server, which costs least. `loads` are
    connections and requests a second at which latency is looked at, `loaded` connections at which nobody waits."""

    name: str
    bodies: Callable[[], tuple[bytes, ...]]
    direct: bool = True
    loads: tuple[tuple[int, float], ...] = ()
    loaded: tuple[int, ...] = (16,)


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _said(body: bytes, **fields: object) -> bytes:
    return _json({**json.loads(body), "stream": False, **fields})


@cache
def prompts(size: int, count: int) -> tuple[bytes, ...]:
    """Chats of about so many bytes."""
    return tuple(_said(texts.request("chat", size, seed)) for seed in range(count))


def _tools() -> tuple[bytes, ...]:
    """A conversation with a tool, its result, and a question."""
    rng = random.Random(7)  # noqa: S311
    weather = {"type": "object", "properties": {"place": {"type": "string"}, "days": {"type": "integer"}}}
    tool = {"name": "weather", "description": "The weather at a place, for the days to come.", "parameters": weather}
    bodies = []
    for place in ("Thimphu", "Lisbon", "Nairobi", "Oslo"):
        call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": _arguments(place)}}
        days = [{"day": day, "high": rng.randint(-5, 30), "rain_mm": rng.randint(0, 20)} for day in range(7)]
        said = [
            {"role": "system", "content": "You plan walks. Ask the weather before you say where to go."},
            {"role": "user", "content": f"Where can I walk around {place} this week?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": json.dumps({"place": place, "days": days})},
            {"role": "user", "content": "And if I bring two children?"},
        ]
        bodies.append(
            _json({"model": "bench-tools", "messages": said, "tools": [{"type": "function", "function": tool}]})
        )
    return tuple(bodies)


def _arguments(place: str) -> str:
    return json.dumps({"place": place, "days": 7})


def streamed(events: int, rate: float, prefill_ms: int = 0) -> bytes:
    """A question whose answer is a stream."""
    model = f"bench-{events}-{rate:g}-{prefill_ms}"
    said = [{"role": "user", "content": "Tell me about the valley."}]
    return _json({"model": model, "stream": True, "messages": said})


def _mixed() -> tuple[bytes, ...]:
    """Of twenty: nine short, six of 8 KB, one of 32 KB, four answered by a stream of 40 events at 100 a second."""
    long = [_said(body, model="bench") for body in prompts(8192, 6)]
    short = [_said(SHORT, model="bench")] * 9
    bodies = [*short, *long, _said(prompts(32_768, 1)[0], model="bench"), *[streamed(40, 100)] * 4]
    random.Random(7).shuffle(bodies)  # noqa: S311
    return tuple(bodies)


SCENARIOS: dict[str, Scenario] = {
    one.name: one
    for one in (
        Scenario("short chat", lambda: (SHORT,), True, ((1, 50), (16, 400), (256, 400)), (16, 64, 256)),
        Scenario("8 KB prompt", lambda: prompts(8192, 8), True, ((1, 30), (16, 150))),
        Scenario("220 KB prompt", lambda: prompts(220_000, 4), True, ((1, 5), (16, 15))),
        Scenario("tool calls", _tools, False, ((1, 30), (16, 200))),
        Scenario("mixed", _mixed, False, ((64, 100),), (64,)),
    )
}

"""A thousand streams whose requests have begun and do not go on: what they cost, and that nothing is left of them."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import grpc
import psutil
import pytest

from tests.adapters.peer import DUPLEX, Call, body, headers
from tests.envoy import rules
from tests.envoy.background import until
from tests.envoy.rig import Filter, end, serve

pytestmark = pytest.mark.real

STREAMS = 1000
EACH = 96 << 10
"""Bytes of memory that an idle stream may take; it takes about a third of that, and half until the collector has come
by for the streams before it."""

QUESTION = json.dumps({"model": "demo", "messages": [{"role": "user", "content": "Hello"}]}).encode()
FIELDS = {":method": "POST", ":path": "/v1/chat/completions", ":authority": "models.test"}
OPENING = headers("request", end=False, mode=DUPLEX, **FIELDS)


async def open_now(one: Filter, count: int) -> None:
    """Wait until so many streams are open."""
    await asyncio.to_thread(until, lambda: one.metric("safeguards_streams_active") == count, f"{count} streams")


async def idle(one: Filter, memory: Callable[[], int]) -> tuple[int, Counter[grpc.StatusCode]]:
    """A thousand idle streams and one that is not; the memory that they take, and how those end that are half-closed,
    as the other half is cancelled."""
    async with grpc.aio.insecure_channel(f"unix:{one.socket}") as channel:
        calls = [Call(channel) for _ in range(STREAMS)]
        await asyncio.gather(*(call.say(OPENING) for call in calls))
        await open_now(one, STREAMS)
        taken = memory()
        async with grpc.aio.insecure_channel(f"unix:{one.socket}", [("grpc.use_local_subchannel_pool", 1)]) as other:
            busy = Call(other)
            await busy.say(OPENING, body("request", QUESTION, end=True))
            assert ["request_headers", QUESTION + b"$"] == [await busy.hear(), await busy.hear()]
            busy.rpc.cancel()
        for call in calls[::2]:
            call.rpc.cancel()
        ended = await asyncio.gather(*(call.close() for call in calls[1::2]))
        await open_now(one, 0)
    return taken, Counter(code for code, _ in ended)


async def test_a_thousand_idle_streams(tmp_path: Path) -> None:
    """Each is held for little memory, keeps nobody from being served, and ends with one record when Envoy hangs up;
    the next thousand need no more than that."""
    one = serve(rules.write(tmp_path / "policy.yaml", rules.words("nothing")), tmp_path / "s.sock")
    try:
        process = psutil.Process(one.part.process.pid)
        before = process.memory_info().rss
        rounds = [await idle(one, lambda: process.memory_info().rss - before) for _ in range(2)]
        first, second = (taken for taken, _ in rounds)
        sys.stdout.write(f"{STREAMS} idle streams: {first / 1e6:.1f} MB, and again: {second / 1e6:.1f} MB\n")
        assert max(first, second) < STREAMS * EACH
        assert [{grpc.StatusCode.UNAVAILABLE: STREAMS // 2}] * 2 == [codes for _, codes in rounds]
        records = one.all_records()
        assert {"closed": 2 * (STREAMS + 1)} == Counter(record.termination for record in records)
        assert 2 * (STREAMS + 1) == len({record.id for record in records})
        assert (0, 0) == (one.metric("safeguards_held_bytes"), one.metric("safeguards_faults_total"))
    finally:
        end(one.part)

"""The open-loop client: whatever the server does, requests leave when they are due, and their time runs from then."""

from __future__ import annotations

import asyncio
import time

import pytest

from bench.offered import Offered, main
from bench.upstream import ANSWER, whole

pytestmark = pytest.mark.long


class Stalling(asyncio.Protocol):
    """A server that answers at once, but for a while in which it answers nobody."""

    def __init__(self, until: float, status: bytes) -> None:
        self._until, self._answer = until, whole(ANSWER).replace(b"200 OK", status)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        wait = max(0.0, self._until - time.monotonic())
        asyncio.get_running_loop().call_later(wait, self._transport.write, self._answer)  # type: ignore[attr-defined]


async def offered(stall_s: float, *, status: bytes = b"200 OK", connections: int = 1) -> Offered:
    """A second of 100 requests at a server that stalls so long from the start on."""
    loop = asyncio.get_running_loop()
    until = time.monotonic() + stall_s
    server = await loop.create_server(lambda: Stalling(until, status), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    load = Offered(f"127.0.0.1:{port}", "/", [b"{}"], ["x-a: 1"], connections)
    await main(load, 100.0, 1.0)
    server.close()
    return load


async def test_every_request_is_answered_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """By its status."""
    load = await offered(0.0)
    assert {"200": load.sent} == load.ends
    assert load.sent == load.last.get_total_count() > 60
    load = await offered(0.0, status=b"503 No")
    assert {"503": load.sent} == load.ends
    assert (0, load.sent) == (load.last.get_total_count(), load.other.get_total_count())


async def test_a_stall_is_felt_by_all_who_were_due_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    """One connection sends one request in half a second of silence. A client that waits for answers would count that
    one; here nearly half of a second's requests waited, and the median of those did for a quarter."""
    load = await offered(0.5)
    waited = [
        item.count_added_in_this_iter_step
        for item in load.last.get_recorded_iterator()
        if item.value_iterated_to > 100_000
    ]
    assert sum(waited) > 0.25 * load.sent

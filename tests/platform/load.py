"""Clients without a pause, until SIGTERM; then every answer under way is awaited.

    python -m tests.platform.load HOST:PORT ASKING STREAMING EVENTS PAUSE_MS RATE REPORT

ASKING connections ask for whole answers one after another, RATE a second in all at most; STREAMING clients read streams
of EVENTS, PAUSE_MS apart, each on a connection of its own. REPORT is a file that holds the counts so far. An exchange
is "whole" if all of its answer came and none of it had a canary; "unchecked" counts the bytes of answers that had one.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import uvloop

from tests.platform.upstream import CANARY

PATIENCE_S = 60.0
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
QUESTION = (
    b'{"model":"%b","stream":%b,"messages":[{"role":"user","content":"Is CANARY-314159 the code for the gate?"}]}'
)
CHUNK = re.compile(rb"([0-9a-f]+)\r\n")


def request(host: str, plan: bytes) -> bytes:
    body = QUESTION % (plan, b"false" if plan == b"whole" else b"true")
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: models.test\r\ncontent-type: application/json\r\n"
    return head + b"content-length: %d\r\n\r\n" % len(body) + body


def joined(body: bytes) -> bytes:
    """The content of HTTP chunks, as far as it came."""
    parts, at = [], 0
    while (found := CHUNK.match(body, at)) is not None:
        size = int(found[1], 16)
        parts.append(body[found.end() : found.end() + size])
        at = found.end() + size + 2
    return b"".join(parts)


class Connection(asyncio.Protocol):
    """One connection; `answer` is the next answer's bytes, and whether it is whole."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._answer: asyncio.Future[tuple[bytes, bool]] | None = None
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def ask(self, data: bytes) -> asyncio.Future[tuple[bytes, bool]]:
        self._buffer.clear()
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, ended, body = self._buffer.partition(b"\r\n\r\n")
        if not ended:
            return
        length = LENGTH.search(head + b"\r\n")
        if body.endswith(b"0\r\n\r\n") if length is None else len(body) >= int(length[1]):
            self.closed = b"\r\nconnection: close" in head
            self._told(True)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._told(False)

    def close(self) -> None:
        self._transport.abort()

    def _told(self, whole: bool) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((bytes(self._buffer), whole))


@dataclass
class Counts:
    """What became of the exchanges: by kind ("asked", "streamed") and by how they ended."""

    asked: Counter[str] = field(default_factory=Counter)
    streamed: Counter[str] = field(default_factory=Counter)
    unchecked: int = 0
    begun: int = 0
    longest_s: float = 0.0
    failures: list[str] = field(default_factory=list)

    def told(self, into: Counter[str], answer: bytes, whole: bool, seconds: float) -> None:
        """An exchange has ended."""
        head, _, body = answer.partition(b"\r\n\r\n")
        body = joined(body) if LENGTH.search(head + b"\r\n") is None else body
        open_bytes = sum(len(part) for part in body.split(b"\n\n") if CANARY.search(part))
        status = head[9:12].decode("ascii", "replace")
        streamed = b"text/event-stream" in head
        if not whole or (streamed and not body.endswith(b"data: [DONE]\n\n")):
            how = "cut" if head else "closed"
        else:
            how = "whole" if status == "200" else status
        into[how] += 1
        self.unchecked += open_bytes
        self.longest_s = max(self.longest_s, seconds)
        if how != "whole" and len(self.failures) < 20:
            self.failures.append(f"{time.time():.2f} {how} after {seconds:.2f} s, {len(body)} B: {bytes(body[:80])!r}")


class Load:
    """The clients of one process."""

    def __init__(self, place: str, plan: bytes, rate: float, counts: Counts) -> None:
        self._host, _, port = place.rpartition(":")
        self._port, self._counts = int(port), counts
        self._whole, self._streamed = request(place, b"whole"), request(place, plan)
        self._every_s, self._next = 1 / rate, 0.0
        self.stopped = False

    async def asking(self) -> None:
        """Whole answers, over one connection as long as it lasts."""
        connection: Connection | None = None
        while not self.stopped:
            now = time.monotonic()
            self._next = max(self._next, now - 0.1) + self._every_s
            if self._next > now:
                await asyncio.sleep(self._next - now)
            if connection is None or connection.closed:  # a refusal of Envoy's own may end its connection
                connection = await self._connect()
            await self._exchange(connection, self._whole, self._counts.asked)
        if connection is not None:
            connection.close()

    async def streaming(self) -> None:
        """Streams, one after another."""
        while not self.stopped:
            connection = await self._connect()
            await self._exchange(connection, self._streamed, self._counts.streamed)
            connection.close()

    async def _connect(self) -> Connection:
        _, connection = await asyncio.get_running_loop().create_connection(Connection, self._host, self._port)
        return connection

    async def _exchange(self, connection: Connection, data: bytes, into: Counter[str]) -> None:
        began = time.monotonic()
        self._counts.begun += 1
        try:
            answer, whole = await asyncio.wait_for(connection.ask(data), PATIENCE_S)
        except TimeoutError:
            answer, whole = b"", False
            connection.close()
        self._counts.told(into, answer, whole, time.monotonic() - began)


async def main(place: str, asking: int, streaming: int, events: int, pause_ms: int, rate: float, report: Path) -> None:
    counts = Counts()
    load = Load(place, b"%dx%d" % (events, pause_ms), rate, counts)

    def stop() -> None:
        load.stopped = True

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    tasks = [asyncio.create_task(load.asking()) for _ in range(asking)]
    tasks += [asyncio.create_task(load.streaming()) for _ in range(streaming)]
    while not all(task.done() for task in tasks):
        write(report, counts)
        await asyncio.wait(tasks, timeout=0.2)
    write(report, counts)
    await asyncio.gather(*tasks)


def write(report: Path, counts: Counts) -> None:
    """At once: a reader sees these counts or those before."""
    part = report.with_suffix(".part")
    part.write_text(json.dumps(counts.__dict__))
    part.rename(report)


if __name__ == "__main__":
    place, asking, streaming, events, pause_ms, rate, report = sys.argv[1:]
    uvloop.run(main(place, int(asking), int(streaming), int(events), int(pause_ms), float(rate), Path(report)))

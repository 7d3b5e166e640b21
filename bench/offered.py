"""An open-loop client: requests leave when they are due, whether answers have come or not.

    python -m bench.offered HOST:PORT PATH BODIES RATE SECONDS CONNECTIONS [HEADER: VALUE …]

BODIES is a JSON file, a list of strings that are sent in turn. Arrivals are a seeded Poisson process. A request that
is due while all connections are taken waits for one, and its time runs: from when it was due, not from when it was
sent. Prints one JSON object: encoded HdrHistograms (microseconds) of the time to the last byte, for answers of status
200 and for others, and to the first, and how many ended how.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import selectors
import sys
import time
from collections import Counter, deque
from pathlib import Path
from typing import cast

import uvloop
from hdrh.histogram import HdrHistogram

LONGEST_US = 120_000_000
MANY = 500
"""Connections beyond which the load matters more than the microsecond."""
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


def histogram() -> HdrHistogram:
    """Of microseconds, to three digits."""
    return HdrHistogram(1, LONGEST_US, 3)


class Offered:
    """The whole load of one run."""

    def __init__(self, place: str, path: str, bodies: list[bytes], headers: list[str], connections: int) -> None:
        self.place, self.connections = place, connections
        head = f"POST {path} HTTP/1.1\r\nhost: {place}\r\ncontent-type: application/json\r\n"
        head += "".join(f"{header}\r\n" for header in headers)
        self.requests = [f"{head}content-length: {len(body)}\r\n\r\n".encode() + body for body in bodies]
        self.free: list[Connection] = []
        self.due: deque[tuple[float, int]] = deque()
        self.opened = 0
        self.last, self.other, self.first = histogram(), histogram(), histogram()
        self.ends: Counter[str] = Counter()
        self.sent = 0
        self._ended: asyncio.Future[None] | None = None

    def offer(self, at: float) -> None:
        """A request is due."""
        self.due.append((at, self.sent % len(self.requests)))
        self.sent += 1
        self.go_on()

    def go_on(self) -> None:
        """What is due goes out, as far as there are connections."""
        if self._ended is not None and self._idle and not self._ended.done():
            self._ended.set_result(None)
        while self.due and self.free:
            self.free.pop().ask(*self.due.popleft())
        if self.due and self.opened < self.connections:
            self.opened += 1
            host, _, port = self.place.rpartition(":")
            opening = asyncio.get_running_loop().create_connection(lambda: Connection(self), host, int(port))
            asyncio.ensure_future(opening).add_done_callback(self._came)

    def _came(self, task: asyncio.Task[tuple[asyncio.Transport, Connection]]) -> None:
        if task.exception() is not None:
            self.opened -= 1
            self.ends["connect"] += 1

    async def rest(self, patience_s: float) -> None:
        """Wait for what is under way, but no longer."""
        if not self._idle:
            self._ended = asyncio.get_running_loop().create_future()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended, patience_s)

    @property
    def _idle(self) -> bool:
        return not self.due and len(self.free) == self.opened


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, load: Offered) -> None:
        self._load = load
        self._transport: asyncio.Transport
        self._data = b""
        self._at = 0.0
        self._begun = False
        self._left: int | None = None  # bytes of the body; None: until the last chunk
        self._status = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._load.free.append(self)
        self._load.go_on()

    def ask(self, at: float, number: int) -> None:
        """Send a request that was due at `at`."""
        self._at, self._begun, self._data, self._status = at, False, b"", "none"
        self._transport.write(self._load.requests[number])

    def data_received(self, data: bytes) -> None:
        if not self._begun:
            self._data += data
            end = self._data.find(b"\r\n\r\n")
            if end < 0:
                return
            head, data = self._data[: end + 2], self._data[end + 4 :]
            self._begun, self._status = True, head[9:12].decode()
            length = LENGTH.search(head)
            self._left = int(length.group(1)) if length else None
            self._data = b""
            self._load.first.record_value(self._spent_us())
        if self._left is not None:
            self._left -= len(data)
            if self._left > 0:
                return
        else:
            self._data = (self._data + data)[-7:]
            if not (self._data.endswith(b"\r\n0\r\n\r\n") or self._data == b"0\r\n\r\n"):
                return
        load = self._load
        (load.last if self._status == "200" else load.other).record_value(self._spent_us())
        load.ends[self._status] += 1
        self._begun, self._at = False, 0.0
        load.free.append(self)
        load.go_on()

    def connection_lost(self, error: Exception | None) -> None:
        load = self._load
        load.opened -= 1
        if self in load.free:
            load.free.remove(self)
        else:
            load.ends["broken"] += 1
        load.go_on()

    def _spent_us(self) -> int:
        return max(1, min(LONGEST_US, int((time.monotonic() - self._at) * 1e6)))


async def main(load: Offered, rate: float, seconds: float, patience_s: float = 30.0) -> None:
    rng = random.Random(7)  # noqa: S311
    began = due = time.monotonic() + 0.05
    while due < began + seconds:
        wait = due - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        now = time.monotonic()
        while due <= now and due < began + seconds:
            load.offer(due)
            due += rng.expovariate(rate)
        await asyncio.sleep(0)
    await load.rest(patience_s)
    took = time.monotonic() - began
    unanswered = load.sent - sum(load.ends.values())
    result = {
        "offered": load.sent,
        "ends": {**load.ends, **({"unanswered": unanswered} if unanswered else {})},
        "seconds": took,
        "cpu_s": time.process_time(),
        "last": load.last.encode().decode(),
        "other": load.other.encode().decode(),
        "first": load.first.encode().decode(),
    }
    sys.stdout.write(json.dumps(result) + "\n")


def loop(connections: int) -> asyncio.AbstractEventLoop:
    """select(2) wakes to the microsecond, epoll to the millisecond, but looks at every connection each time."""
    many = connections > MANY
    return uvloop.new_event_loop() if many else asyncio.SelectorEventLoop(selectors.SelectSelector())


if __name__ == "__main__":
    place, path, bodies, rate, seconds, connections, *headers = sys.argv[1:]
    read = [body.encode() for body in json.loads(Path(bodies).read_text())]
    with asyncio.Runner(loop_factory=lambda: loop(int(connections))) as runner:
        runner.run(main(Offered(place, path, read, headers, int(connections)), float(rate), float(seconds)))

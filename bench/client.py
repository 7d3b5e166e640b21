"""Many clients that read streams: how long each event travelled, and how long the first took to come.

    python -m bench.client HOST:PORT BODY STREAMS [HOLD [PER_S]]

BODY is a file with the request. Prints one JSON object: encoded HdrHistograms (microseconds) of the time to the first
event, of what each event travelled, and of the time between two; how many streams were complete, and how many
were refused. With HOLD the connections are closed after so many seconds, whatever has come; with PER_S so many are
opened a second, else all at once.
"""

from __future__ import annotations

import asyncio
import json
import re
import resource
import sys
import time
from pathlib import Path
from typing import cast

import uvloop

from bench.offered import histogram

STAMP = re.compile(rb'"obfuscation": ?"(\d+)"')
EVENT = re.compile(rb"data: ?\{")


class Clients:
    """All of them, and what they saw."""

    def __init__(self, place: str, body: bytes) -> None:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {place}\r\ncontent-type: application/json\r\n"
        self.request = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
        self.first, self.travelled, self.between = histogram(), histogram(), histogram()
        self.complete = self.refused = self.events = 0


class Reading(asyncio.Protocol):
    """One stream, from request to end."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked = 0
        self._last = 0
        self._began = False
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._asked = time.monotonic_ns()
        cast(asyncio.Transport, transport).write(self._clients.request)

    def data_received(self, data: bytes) -> None:
        now, clients = time.monotonic_ns(), self._clients
        if not self._began:
            self._began = True
            if data[9:12] != b"200":
                clients.refused += 1
                self.ended.set_result(None)
                return
        data = self._rest + data
        last = data.rfind(b"\n\n")
        whole, self._rest = data[: last + 2], data[last + 2 :]
        count = len(EVENT.findall(whole))
        if count:
            clients.events += count
            if self._last:
                clients.between.record_value(max(1, (now - self._last) // 1000))
            else:
                clients.first.record_value(max(1, (now - self._asked) // 1000))
            self._last = now
        for stamp in STAMP.findall(whole):
            clients.travelled.record_value(max(1, (now - int(stamp)) // 1000))
        if b"[DONE]" in whole and not self.ended.done():
            clients.complete += 1
            self.ended.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


async def main(place: str, body: bytes, streams: int, hold: float, per_s: float) -> None:
    host, _, port = place.rpartition(":")
    loop, clients = asyncio.get_running_loop(), Clients(place, body)
    readers = []
    for _ in range(streams):
        _, reader = await loop.create_connection(lambda: Reading(clients), host, int(port))
        readers.append(reader)
        if per_s:
            await asyncio.sleep(1 / per_s)
    if hold:
        await asyncio.sleep(hold)
    else:
        await asyncio.wait_for(asyncio.gather(*(reader.ended for reader in readers)), 120)
    result = {
        "complete": clients.complete,
        "refused": clients.refused,
        "events": clients.events,
        "first": clients.first.encode().decode(),
        "travelled": clients.travelled.encode().decode(),
        "between": clients.between.encode().decode(),
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    place, body, streams, *more = sys.argv[1:]
    hold, per_s = (float(each) for each in (*more, "0", "0")[:2])
    uvloop.run(main(place, Path(body).read_bytes(), int(streams), hold, per_s))

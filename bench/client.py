"""Many clients that read streams: how long each event travelled, and how long the first took to come.

    python -m bench.client HOST:PORT STREAMS [HOLD]

Prints one JSON object: seconds to the first event of each stream, milliseconds that each event travelled. With HOLD,
closes the connections after so many seconds instead of waiting for their end.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from typing import cast

import uvloop

BODY = b'{"model":"bench","stream":true,"messages":[{"role":"user","content":"Tell me about the valley."}]}'
STAMP = re.compile(rb'"id":"(\d+)"')


class Reading(asyncio.Protocol):
    """One stream, from request to end."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.asked = 0.0
        self.first = 0.0
        self.travelled: list[float] = []
        self.rest = b""
        self.complete = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.asked = time.monotonic()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {self.host}\r\ncontent-type: application/json\r\n"
        cast(asyncio.Transport, transport).write(f"{head}content-length: {len(BODY)}\r\n\r\n".encode() + BODY)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        data = self.rest + data
        last = data.rfind(b"\n\n")
        whole, self.rest = data[: last + 2], data[last + 2 :]
        for stamp in STAMP.findall(whole):
            self.first = self.first or time.monotonic() - self.asked
            self.travelled.append((now - int(stamp)) / 1e6)
        if b"[DONE]" in whole and not self.ended.done():
            self.complete = True
            self.ended.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


async def main(place: str, streams: int, hold: float) -> None:
    host, _, port = place.rpartition(":")
    loop = asyncio.get_running_loop()
    readers = []
    for _ in range(streams):
        _, reader = await loop.create_connection(lambda: Reading(place), host, int(port))
        readers.append(reader)
    if hold:
        await asyncio.sleep(hold)
    else:
        await asyncio.wait_for(asyncio.gather(*(reader.ended for reader in readers)), 60)
    result = {
        "complete": sum(reader.complete for reader in readers),
        "events": sum(len(reader.travelled) for reader in readers),
        "first_s": [reader.first for reader in readers],
        "travelled_ms": [round(ms, 3) for reader in readers for ms in reader.travelled],
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), float((sys.argv[3:] or ["0"])[0])))

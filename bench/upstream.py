"""A model server that streams at a steady rate and costs next to nothing: one write per event per stream.

    python -m bench.upstream PORT EVENTS RATE [HOLD]

Each answer is EVENTS chat chunks at RATE a second; each chunk's id is the monotonic time of its sending, nanoseconds,
so that the client, on the same machine, knows how long it travelled. HOLD seconds of silence follow the last event.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import cast

import uvloop

TEXT = (
    "The river runs past the old mill and into the valley where people have kept bees for as long as anyone there "
    "can remember. In spring the children walk up to the meadow with baskets and come home with flowers and stories."
)
WORDS = TEXT.split()

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
TAIL = b"data: [DONE]\n\n"


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(number: int, stamp: int | None = None) -> bytes:
    """A chat chunk of one word, stamped with the time unless it is given."""
    return (
        b'data: {"id":"%d","object":"chat.completion.chunk","created":1700000000,"model":"bench","choices":'
        b'[{"index":0,"delta":{"content":"%b "},"finish_reason":null}]}\n\n'
        % (time.monotonic_ns() if stamp is None else stamp, WORDS[number % len(WORDS)].encode())
    )


class Answering(asyncio.Protocol):
    """One connection. A request is over when its last bytes are (we send no pipelined ones)."""

    def __init__(self, events: int, rate: float, hold: float) -> None:
        self.events, self.rate, self.hold = events, rate, hold
        self.transport: asyncio.WriteTransport | None = None
        self.streaming: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        if data.endswith((b"}", b"0\r\n\r\n")):
            self.streaming = asyncio.get_running_loop().create_task(self.stream())

    def connection_lost(self, error: Exception | None) -> None:
        if self.streaming is not None:
            self.streaming.cancel()

    async def stream(self) -> None:
        assert self.transport is not None
        loop = asyncio.get_running_loop()
        write, began = self.transport.write, loop.time()
        write(HEAD)
        for number in range(self.events):
            write(chunked(event(number)))
            await asyncio.sleep(max(0.0, began + (number + 1) / self.rate - loop.time()))
        await asyncio.sleep(self.hold)
        write(chunked(TAIL) + b"0\r\n\r\n")


async def main(port: int, events: int, rate: float, hold: float) -> None:
    server = await asyncio.get_running_loop().create_server(
        lambda: Answering(events, rate, hold), "127.0.0.1", port, backlog=4096
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float((sys.argv[4:] or ["0"])[0])))

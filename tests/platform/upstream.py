"""A model whose every answer, and every event of a streamed one, holds something that must not be seen.

    python -m tests.platform.upstream HOST PORT

A request's member "model" says how it is answered: "12x50" is 12 events, 50 ms between them; "whole" one JSON object.
So a client finds what nobody looked at by the CANARY in it, and `GET /seen` says how many canaries of requests came
through to here. Chat completions over HTTP/1.1, no pipelining.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import ClassVar, cast

import uvloop

CANARY = re.compile(rb"CANARY-[0-9]{6}")
"""What policy takes out of every text, in both directions."""

SECRET = b"CANARY-271828"
PLAN = re.compile(rb'"model": ?"(\d+)x(\d+)"')
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding: chunked\r\n", re.IGNORECASE)

WHOLE = (
    b'{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"finish_reason":"stop",'
    b'"message":{"role":"assistant","content":"The code for the garden gate is %b, they say."}}]}' % SECRET
)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\n%b\r\n\r\n"


def event(content: bytes, finish: bytes = b"null") -> bytes:
    """One chunk of a streamed answer, as an HTTP chunk."""
    data = (
        b'data: {"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,'
        b'"delta":{"content":"%b"},"finish_reason":%b}]}\n\n' % (content, finish)
    )
    return b"%x\r\n%b\r\n" % (len(data), data)


EVENT = event(b"The code is %b. " % SECRET)
END = event(b"", b'"stop"') + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


class Model(asyncio.Protocol):
    """One connection."""

    seen: ClassVar = {"requests": 0, "canaries": 0, "finished": 0, "cut": 0}

    def __init__(self) -> None:
        self._buffer = b""
        self._streaming: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._streaming is not None and not self._streaming.done():
            self._streaming.cancel()
            self.seen["cut"] += 1

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, ended, body = self._buffer.partition(b"\r\n\r\n")
        if not ended:
            return
        head += b"\r\n"
        length = LENGTH.search(head)
        whole = body.endswith(b"0\r\n\r\n") if CHUNKED.search(head) else len(body) >= int(length[1] if length else 0)
        if whole:
            self._buffer = b""
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"GET /seen"):
            self._whole(json.dumps(self.seen).encode())
            return
        self.seen["requests"] += 1
        self.seen["canaries"] += len(CANARY.findall(body))
        plan = PLAN.search(body)
        if plan is None:
            self._whole(WHOLE)
            self.seen["finished"] += 1
        else:
            self._streaming = asyncio.get_running_loop().create_task(self._stream(int(plan[1]), int(plan[2]) / 1000))

    def _whole(self, body: bytes) -> None:
        self._transport.write(HEAD % (b"application/json", b"content-length: %d" % len(body)) + body)

    async def _stream(self, events: int, pause_s: float) -> None:
        self._transport.write(HEAD % (b"text/event-stream", b"transfer-encoding: chunked"))
        for _ in range(events):
            self._transport.write(EVENT)
            await asyncio.sleep(pause_s)
        self._transport.write(END)
        self.seen["finished"] += 1


async def main(host: str, port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Model, host, port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))

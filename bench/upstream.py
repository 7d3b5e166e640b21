"""A model server that costs next to nothing, and answers as the request's model says.

    python -m bench.upstream PORT

`bench-E-R-P` is a stream of E chat chunks, R a second, of which the first leaves P milliseconds after the request has
come; with a fourth number, S, as many seconds of silence follow the last one. Each chunk's id is the monotonic time of
its sending, nanoseconds, so that the client, on the same machine, knows how long it travelled. `bench-tools` calls a
tool, any other model answers at once.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from typing import Any, cast

import uvloop

TEXT = (
    "The river runs past the old mill and into the valley where people have kept bees for as long as anyone there "
    "can remember. In spring the children walk up to the meadow with baskets and come home with flowers and stories."
)
WORDS = TEXT.split()

STREAMED = re.compile(rb'"model": ?"bench-(\d+)-([\d.]+)-(\d+)(?:-([\d.]+))?"')
TOOLS = re.compile(rb'"model": ?"bench-tools"')
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
TAIL = b"data: [DONE]\n\n"


def _answer(message: dict[str, Any], finish: str) -> str:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    usage = {"prompt_tokens": 12, "completion_tokens": 17, "total_tokens": 29}
    head = {"id": "bench", "object": "chat.completion", "created": 1700000000, "model": "bench"}
    return json.dumps({**head, "choices": [choice], "usage": usage})


ANSWER = _answer(
    {"content": "Basil, garlic and marigolds are good neighbours; keep tomatoes away from fennel."}, "stop"
)
"""What is said at once."""

_CALLED = {"name": "weather", "arguments": '{"place": "Thimphu", "days": 3}'}
CALL = _answer({"content": None, "tool_calls": [{"id": "call_2", "type": "function", "function": _CALLED}]}, "stop")


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def whole(answer: str) -> bytes:
    """An answer of one piece."""
    body = answer.encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def event(number: int, stamp: int | None = None) -> bytes:
    """A chat chunk of one word, stamped with the time unless it is given, where OpenAI writes letters by chance."""
    return (
        b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"bench","choices":'
        b'[{"index":0,"delta":{"content":"%b "},"finish_reason":null}],"obfuscation":"%d"}\n\n'
        % (WORDS[number % len(WORDS)].encode(), time.monotonic_ns() if stamp is None else stamp)
    )


class Answering(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.WriteTransport
        self.streaming: asyncio.Task[None] | None = None
        self.data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        self.data += data
        head = self.data.find(b"\r\n\r\n")
        if head < 0:
            return
        length = LENGTH.search(self.data, 0, head + 2)
        if length:
            if len(self.data) < head + 4 + int(length.group(1)):
                return
        elif not self.data.endswith(b"\r\n0\r\n\r\n"):
            return
        asked, self.data = self.data, b""
        stream = STREAMED.search(asked)
        if stream is not None:
            events, rate, prefill_ms, silence_s = (float(each or 0) for each in stream.groups())
            said = self.stream(int(events), rate, prefill_ms / 1000, silence_s)
            self.streaming = asyncio.get_running_loop().create_task(said)
        else:
            self.transport.write(whole(CALL if TOOLS.search(asked) else ANSWER))

    def connection_lost(self, error: Exception | None) -> None:
        if self.streaming is not None:
            self.streaming.cancel()

    async def stream(self, events: int, rate: float, prefill_s: float, silence_s: float) -> None:
        loop = asyncio.get_running_loop()
        write, began = self.transport.write, loop.time() + prefill_s
        if prefill_s:
            await asyncio.sleep(prefill_s)
        write(HEAD)
        for number in range(events):
            write(chunked(event(number)))
            await asyncio.sleep(max(0.0, began + (number + 1) / rate - loop.time()))
        if silence_s:
            await asyncio.sleep(silence_s)
        write(chunked(TAIL) + b"0\r\n\r\n")


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))

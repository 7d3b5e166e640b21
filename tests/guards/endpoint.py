"""A server of OpenAI's chat completions that judges by what stands in a text, on loopback, in a thread of its own.

The answer has log-probabilities token by token, as vLLM's has. Words in the text choose what else it does.
"""

from __future__ import annotations

import asyncio
import json
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aiohttp import web

KEY = "a-key"


@dataclass(slots=True)
class Seen:
    """The address, every body that came, and the most that were answered at a time."""

    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    now: int = 0
    most: int = 0


def answer(word: str, share: float, logprobs: bool) -> dict[str, Any]:
    """A completion that says `word`, whose probability is `share`."""
    tokens = ['{"', "verdict", '":', ' "', word, '"}']
    other = "0" if word == "1" else "1"
    content = [
        {
            "token": token,
            "bytes": None,
            "logprob": math.log(share),
            "top_logprobs": [
                {"token": token, "bytes": None, "logprob": math.log(share)},
                {"token": other, "bytes": None, "logprob": math.log(1 - share)},
            ]
            if token == word
            else [{"token": token, "bytes": None, "logprob": 0.0}],
        }
        for token in tokens
    ]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "judge",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": "".join(tokens), "refusal": None},
                "logprobs": {"content": content, "refusal": None} if logprobs else None,
            }
        ],
    }


async def _judge(seen: Seen, request: web.Request) -> web.Response:
    body = json.loads(await request.read())
    text = body["messages"][-1]["content"]
    seen.bodies.append(body)
    if request.headers.get("authorization") != f"Bearer {KEY}":
        return web.json_response({"error": {"message": "no key"}}, status=401)
    seen.now += 1
    seen.most = max(seen.most, seen.now)
    try:
        await asyncio.sleep(0.02)  # so that those that come together meet here
        if "[busy]" in text:
            return web.json_response({"error": {"message": "busy"}}, status=429)
        if "[slow]" in text:
            await asyncio.sleep(60)
    finally:
        seen.now -= 1
    found = answer("1", 0.75, "[bare]" not in text) if "bomb" in text else answer("0", 0.9, "[bare]" not in text)
    if "[chatty]" in text:
        found["choices"][0]["message"]["content"] = "I would say 0."
    if "[other]" in text:
        found["choices"][0]["message"]["content"] = '{"verdict": "2"}'
    if "[cut]" in text:
        found["choices"][0]["finish_reason"] = "length"
    return web.json_response(found)


@contextmanager
def serving() -> Iterator[Seen]:
    """Serve until the end of the block."""
    seen, loop = Seen(), asyncio.new_event_loop()
    app = web.Application(client_max_size=8 << 20)
    app.router.add_post("/v1/chat/completions", partial(_judge, seen))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)

    async def up() -> None:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()

    loop.run_until_complete(up())
    seen.url = "http://{}:{}/v1".format(*runner.addresses[0][:2])
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()

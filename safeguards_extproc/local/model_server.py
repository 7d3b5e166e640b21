"""The demo's model server: scripted answers in two dialects, and an account of what reached it.

The script is chosen by the header `x-demo-exchange`, or by the last user text, so that a plain curl works too. What
matches neither gets a canned answer that quotes the question as it arrived. `GET /__stats` counts per exchange.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

from safeguards_extproc.replay.answers import DIALECTS, writes
from safeguards_extproc.replay.requests import EXCHANGE_HEADER, MODEL_HEADER, MODELS, PATHS, STATS_PATH
from safeguards_extproc.replay.traffic import Answer, Exchange, read

QUOTED = 400  # characters of the question in a canned answer
MAX_BODY = 64 << 20


@dataclass(slots=True)
class Served:
    """What this server saw of one exchange. `leaks` counts strings that the filter should have hidden from it."""

    received: int = 0
    bytes_sent: int = 0
    finished: int = 0
    cancelled: int = 0
    leaks: int = 0


class Script:
    """Finds the answer for a request, and keeps the account."""

    def __init__(self, exchanges: Sequence[Exchange]) -> None:
        self._by_id = {exchange.id: exchange for exchange in exchanges}
        self._by_text = {_last_text_of(exchange): exchange for exchange in reversed(exchanges)}
        self.served: dict[str, Served] = {}
        self.requests = 0

    def find(self, exchange_id: str, question: str) -> Exchange | None:
        return self._by_id.get(exchange_id) or (self._by_text.get(question) if question else None)

    def account(self, exchange_id: str, exchange: Exchange | None, body: str) -> Served:
        """The account of an exchange, with this request counted in."""
        self.requests += 1
        served = self.served.setdefault(exchange.id if exchange else exchange_id or "-", Served())
        served.received += 1
        if exchange and exchange.expect:
            served.leaks += sum(text in body for text in exchange.expect.hidden)
        return served


_SCRIPT = web.AppKey("script", Script)


def application(exchanges: Sequence[Exchange]) -> web.Application:
    """The server's routes over a script."""
    app = web.Application(client_max_size=MAX_BODY)
    app[_SCRIPT] = Script(exchanges)
    for name, path in PATHS.items():
        app.router.add_post(path, partial(_complete, name))
    app.router.add_get("/v1/models", _models)
    app.router.add_get(STATS_PATH, _stats)
    app.router.add_route("*", "/{path:.*}", _unknown)
    return app


def canned(question: str) -> Answer:
    """What an unscripted question gets: itself, as it arrived here."""
    quoted = question if len(question) <= QUOTED else question[:QUOTED] + " …"
    return Answer(text=f'Hello from the demo\'s model server. Your question reached me as: "{quoted}"', delay_ms=5)


def last_user_text(body: Mapping[str, Any]) -> str:
    """The last user turn's text in either dialect, "" where there is none."""
    messages = body.get("messages")
    for message in reversed(messages if isinstance(messages, list) else []):
        match message:
            case {"role": "user", "content": str(text)}:
                return text
            case {"role": "user", "content": list(parts)}:
                return "\n".join(part["text"] for part in parts if isinstance(part, dict) and "text" in part)
    return ""


def _last_text_of(exchange: Exchange) -> str:
    return next((turn.content for turn in reversed(exchange.messages) if turn.role == "user"), "")


async def _complete(dialect_name: str, request: web.Request) -> web.StreamResponse:
    dialect, script = DIALECTS[dialect_name], request.app[_SCRIPT]
    body = _object(await request.read())
    exchange_id, question = request.headers.get(EXCHANGE_HEADER, ""), last_user_text(body)
    exchange = script.find(exchange_id, question)
    served = script.account(exchange_id, exchange, json.dumps(body, ensure_ascii=False))
    if not isinstance(body.get("messages"), list):
        return _error(400, "not an object with a list of messages")
    answer = exchange.answer if exchange else canned(question)
    model = str(body.get("model", MODELS[dialect_name]))
    if body.get("stream") is True:
        return await _stream(request, served, answer, writes(answer, dialect.events(answer, model)))
    data = json.dumps(dialect.whole(answer, model), ensure_ascii=False).encode()
    served.bytes_sent += len(data)
    served.finished += 1
    return web.Response(body=data, content_type="application/json", headers={MODEL_HEADER: model})


def _object(data: bytes) -> dict[str, Any]:
    """The JSON object that a body is, an empty one if it is none."""
    try:
        value = json.loads(data)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


async def _stream(request: web.Request, served: Served, answer: Answer, parts: Iterator[bytes]) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={"content-type": "text/event-stream", "cache-control": "no-cache", MODEL_HEADER: "stream"}
    )
    done = False
    try:
        await response.prepare(request)
        for part in parts:
            await response.write(part)
            served.bytes_sent += len(part)
            await asyncio.sleep(answer.delay_ms / 1000)
        await response.write_eof()
        done = True
    except ConnectionResetError:
        pass  # the other side hung up, which `cancelled` counts
    finally:
        served.finished += done
        served.cancelled += not done
    return response


async def _models(_request: web.Request) -> web.Response:
    rows = [{"id": name, "object": "model", "owned_by": "demo"} for name in MODELS.values()]
    return web.json_response({"object": "list", "data": rows}, headers={MODEL_HEADER: "list"})


async def _stats(request: web.Request) -> web.Response:
    script = request.app[_SCRIPT]
    exchanges = {name: asdict(served) for name, served in script.served.items()}
    return web.json_response({"requests": script.requests, "exchanges": exchanges})


async def _unknown(request: web.Request) -> web.Response:
    request.app[_SCRIPT].account(request.headers.get(EXCHANGE_HEADER, ""), None, "")
    return _error(404, "no such path")


def _error(status: int, message: str) -> web.Response:
    error = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}
    return web.json_response(error, status=status, headers={MODEL_HEADER: "error"})


async def serve(exchanges: Sequence[Exchange], host: str, port: int, ready_file: Path | None) -> None:
    """Serve until SIGTERM or SIGINT. `ready_file` gets "host:port" once requests are taken; port 0 takes a free one."""
    runner = web.AppRunner(application(exchanges), handler_cancellation=True, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    await site.start()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if ready_file:
        written = ready_file.with_suffix(".part")
        written.write_text("{}:{}".format(*runner.addresses[0][:2]))
        written.rename(ready_file)
    await stop.wait()
    await runner.cleanup()


def main() -> None:
    """`python -m safeguards_extproc.local.model_server`."""
    parser = argparse.ArgumentParser(description="The demo's model server.")
    parser.add_argument("--traffic", type=Path, help="traffic file with the scripted answers")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    parser.add_argument("--ready-file", type=Path, help="gets host:port once requests are taken")
    options = parser.parse_args()
    exchanges = read(options.traffic) if options.traffic else []
    asyncio.run(serve(exchanges, options.host, options.port, options.ready_file))


if __name__ == "__main__":
    main()

"""The runner against the model server alone: no filter, so everything arrives as it was scripted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from safeguards_extproc.core.record import Record
from safeguards_extproc.local.model_server import application
from safeguards_extproc.replay.outcome import Kind
from safeguards_extproc.replay.run import Target, records_of, run
from safeguards_extproc.replay.traffic import Answer, Exchange, Expect, Message, ToolCall, Transport


def exchange(name: str, **fields: object) -> Exchange:
    base: dict[str, object] = {"id": name, "format": "openai_chat", "messages": [Message(role="user", content=name)]}
    return Exchange(**base | fields)  # type: ignore[arg-type]


EXCHANGES = [
    exchange("whole", answer=Answer(text="A whole answer."), expect=Expect(request="allow", response="allow")),
    exchange("stream", stream=True, answer=Answer(text="Bit by bit.", chunk=7)),
    exchange("other", format="anthropic_messages", stream=True, answer=Answer(text="Bonjour.", reasoning="French.")),
    exchange("packed", transport=Transport(encoding="gzip"), answer=Answer(text="Unpacked.")),
    exchange("call", stream=True, answer=Answer(tool_calls=[ToolCall(name="f", arguments={"a": 1})])),
    exchange("nowhere", transport=Transport(path="/v2/none"), expect=Expect(status=404)),
    exchange("leak", answer=Answer(text="fine"), expect=Expect(hidden=["leak"])),
]


@pytest.fixture
async def model() -> AsyncIterator[TestServer]:
    server = TestServer(application(EXCHANGES))
    async with server:
        yield server


async def test_every_exchange_comes_back_as_it_was_scripted(model: TestServer) -> None:
    """Whole or streamed, packed or plain, in both dialects: without a filter the script is what the client reads."""
    heard: list[str] = []
    target = Target(str(model.make_url("")).rstrip("/"), str(model.make_url("")).rstrip("/"))
    results = {row.exchange.id: row for row in await run(EXCHANGES, target, lambda outcome: heard.append(outcome.id))}
    assert {row.id for row in EXCHANGES} == set(heard)
    assert results["whole"].outcome.seen.generated == "A whole answer."
    assert results["stream"].outcome.seen.generated == "Bit by bit."
    assert results["other"].outcome.seen.texts == {"reasoning/0": "French.", "content/1": "Bonjour."}
    assert results["packed"].outcome.seen.generated == "Unpacked."
    assert results["call"].outcome.seen.texts == {"content/0": "", "tool/0.0": 'f{"a":1}'}
    assert (results["nowhere"].outcome.kind, results["nowhere"].outcome.status) == (Kind.ERROR, 404)
    assert [name for name, row in results.items() if row.problems] == ["leak"]
    assert all(row.outcome.first_byte_ms >= 0 for row in results.values())


async def test_no_more_than_so_many_at_once() -> None:
    """A bounded runner never has more requests in flight than it was told."""
    running, most = 0, 0

    async def slow(_request: web.Request) -> web.Response:
        nonlocal running, most
        running, most = running + 1, max(most, running + 1)
        for _ in range(20):
            await asyncio.sleep(0)
        running -= 1
        return web.json_response({"choices": []})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", slow)
    async with TestServer(app) as server:
        target = Target(str(server.make_url("")).rstrip("/"), concurrency=3)
        await run([exchange(str(number)) for number in range(12)], target)
    assert most == 3


async def test_a_peer_that_hangs_up_is_a_broken_answer_and_nobody_there_is_too() -> None:
    """The runner reports what other people's servers do to it; it does not fall over."""

    async def hang_up(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: {}\n\n")
        assert request.transport is not None
        request.transport.abort()
        return response

    app = web.Application()
    app.router.add_post("/v1/chat/completions", hang_up)
    async with TestServer(app) as server:
        url = str(server.make_url("")).rstrip("/")
        [cut] = await run([exchange("cut")], Target(url))
    [nobody] = await run([exchange("nobody")], Target(url))
    assert [cut.outcome.kind, nobody.outcome.kind] == [Kind.BROKEN, Kind.BROKEN]
    assert ["the answer was cut off"] == cut.problems == nobody.problems


async def test_a_record_that_is_written_a_little_later_is_waited_for(tmp_path: Path) -> None:
    """The last byte may come before the record is on disk; half a line is not yet a record."""
    path = tmp_path / "records.jsonl"
    first, second = (msgspec.json.encode(Record(name)) + b"\n" for name in ("a", "b"))
    path.write_bytes(first + second[:10])
    waiting = asyncio.create_task(records_of(path, ["a", "b"]))
    await asyncio.sleep(0)
    path.write_bytes(first + second)
    assert {"a", "b"} == set(await waiting)


async def test_a_record_that_never_comes_ends_the_waiting(tmp_path: Path) -> None:
    """A lost record is a finding, not a hang."""
    assert await records_of(tmp_path / "none.jsonl", ["a"], patience_s=0.0) == {}

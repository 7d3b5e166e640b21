"""What the official SDK sees of our refusals, endings and edited streams of the Responses API, over real HTTP."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from safeguards_extproc import wire
from safeguards_extproc.core.decision import Action
from safeguards_extproc.core.text import Answer
from safeguards_extproc.wire.refusals import EVENTS
from tests.contract.wire_contract import GOLDEN, frames, recorded, streams
from tests.playbook import Conversation
from tests.wire import test_sdks
from tests.wire.test_sdks import NO, STATUSES, Server, stopped
from tests.world import TEST, WordPolicy

pytestmark = pytest.mark.real

FORMAT = wire.FORMATS["openai_responses"]
ASK: Any = {"model": "demo", "input": "hello"}
ADDRESS = "tours@museum.example"

server, chat = test_sdks.server, test_sdks.chat


class Guest(BaseModel):
    name: str


@pytest.mark.parametrize(("reason", "error"), STATUSES)
async def test_a_refusal_is_raised_once(server: Server, chat: openai.AsyncOpenAI, reason: str, error: str) -> None:
    """One request, the message, the code and the id, from `create` and from the stream helper."""
    server.answer = FORMAT.refuse(replace(NO, reason=reason))
    with pytest.raises(getattr(openai, error)) as caught:
        await chat.responses.create(**ASK)
    assert (server.requests, caught.value.request_id) == (1, "e1")
    assert "Not that." in caught.value.message
    with pytest.raises(getattr(openai, error)):
        async with chat.responses.stream(**ASK):
            pass
    assert server.requests == 2


async def test_an_answer_that_says_no_is_read_by_every_helper(server: Server, chat: openai.AsyncOpenAI) -> None:
    """`create`, `parse`, raw iteration and the stream helper: a message with a refusal and nothing else."""
    server.answer = FORMAT.answer(NO, model="demo", streamed=False)
    whole = await chat.responses.create(**ASK)
    parsed = await chat.responses.parse(**ASK, text_format=Guest)
    assert (whole.status, whole.output_text, parsed.output_parsed) == ("completed", "", None)
    server.answer = FORMAT.answer(NO, model="demo", streamed=True)
    kinds = [event.type async for event in await chat.responses.create(**ASK, stream=True)]
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    async with chat.responses.stream(**ASK, text_format=Guest) as stream:
        final = await stream.get_final_response()
    for answer in (whole, final):
        (item,) = answer.model_dump()["output"]
        assert item["content"] == [{"type": "refusal", "refusal": "Not that."}]


@pytest.mark.parametrize("number", range(len(streams("openai_responses"))))
async def test_a_stopped_stream_is_incomplete(server: Server, chat: openai.AsyncOpenAI, number: int) -> None:
    """Broken off at every third event: raw readers see the reason, and no call that was not whole by then."""
    stream = streams("openai_responses")[number]
    whole = frames(FORMAT, stream)
    calls = {
        item["call_id"]: item["arguments"]
        for frame in whole
        if (item := json.loads(frame.partition(b"data: ")[2]).get("item")) and item["type"] == "function_call"
    }
    for count in range(number % 3, len(whole), 3):
        server.answer = stopped(FORMAT, stream, count)
        events = [event async for event in await chat.responses.create(**ASK, stream=True)]
        last = events[-1]
        assert last.type == "response.incomplete"
        assert last.response.incomplete_details is not None
        assert last.response.incomplete_details.reason == "content_filter"
        assert "Not that." in last.model_dump_json()
        for item in last.response.output:
            assert item.type != "function_call" or calls[item.call_id] == item.arguments


async def test_the_helper_has_no_final_response_of_a_stopped_stream(server: Server, chat: openai.AsyncOpenAI) -> None:
    """It iterates to the end, and then raises: half an answer never passes for a whole one."""
    for stream in streams("openai_responses"):
        for count in (3, len(frames(FORMAT, stream)) - 1):
            server.answer = stopped(FORMAT, stream, count)
            async with chat.responses.stream(**ASK) as helper:
                kinds = [event.type async for event in helper]
                with pytest.raises(RuntimeError, match="completed"):
                    await helper.get_final_response()
            assert kinds[-1] == "response.incomplete"


async def test_an_edited_stream_is_one_to_the_helper(server: Server, chat: openai.AsyncOpenAI) -> None:
    """Redacted by an exchange: deltas, snapshots and the final response agree, and nothing is left of the text."""
    place = replace(TEST, format="auto")
    talk = Conversation(WordPolicy({ADDRESS: Action.REDACT}, place=place), wire=wire)
    talk.request(b'{"model":"m","input":"hello","stream":true}', path="/v1/responses")
    talk.stream(recorded("openai_responses", "text.response.sse"), 100)
    server.answer = Answer(200, [("content-type", EVENTS)], talk.client_saw())
    said, snapshot = "", ""
    async with chat.responses.stream(**ASK) as helper:
        async for event in helper:
            if event.type == "response.output_text.delta":
                said, snapshot = said + event.delta, event.snapshot
        final = await helper.get_final_response()
    assert said == snapshot == final.output_text
    assert "[REDACTED:" in said
    assert ADDRESS not in final.model_dump_json()


async def test_recorded_exchanges_are_the_sdks(server: Server, chat: openai.AsyncOpenAI) -> None:
    """The golden streams are ones that the helper takes; their whole is what it puts together."""
    for path in sorted((GOLDEN / "openai_responses").glob("*.response.sse")):
        server.answer = Answer(200, [("content-type", EVENTS)], path.read_bytes())
        whole = json.loads(path.with_suffix(".json").read_text())
        async with chat.responses.stream(**ASK) as helper:
            last = [event async for event in helper][-1]
        assert last.type == "response." + whole["status"]


async def test_a_bare_cut_would_read_as_success(server: Server, chat: openai.AsyncOpenAI) -> None:
    """Planted: without the ending, raw iteration ends as if all had been said."""
    cut = frames(FORMAT, recorded("openai_responses", "text.response.sse"))[:8]
    server.answer = Answer(200, [("content-type", EVENTS)], b"".join(cut))
    kinds = [event.type async for event in await chat.responses.create(**ASK, stream=True)]
    assert kinds[-1] == "response.output_text.delta"

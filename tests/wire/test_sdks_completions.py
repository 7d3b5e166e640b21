"""What OpenAI's SDK sees of the legacy completions and of Azure's deployments, over real HTTP on the loopback."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from safeguards_extproc import wire
from safeguards_extproc.core.text import Answer, Edit, Refusal
from safeguards_extproc.wire.refusals import EVENTS, JSON
from tests.contract.wire_contract import frames, golden, recorded
from tests.wire.test_sdks import Server, chat, server, stopped

pytestmark = pytest.mark.real

__all__ = ["chat", "server"]

NO = Refusal("policy", "Not that.", "harm", "e1")
FORMAT = wire.FORMATS["openai_completions"]
ASK: Any = {"model": "demo", "prompt": "Once"}
CHAT: Any = {"model": "demo", "messages": [{"role": "user", "content": "hello"}]}
AZURE = wire.resolve("auto", {":method": "POST", ":path": "/openai/deployments/d/chat/completions?api-version=1"})[0]


@pytest.fixture
def azure(server: Server) -> openai.AsyncAzureOpenAI:
    return openai.AsyncAzureOpenAI(api_key="none", azure_endpoint=server.url, api_version="2024-10-21")


async def test_a_block_is_raised_once(server: Server, chat: openai.AsyncOpenAI) -> None:
    """With the code that chat has."""
    server.answer = FORMAT.refuse(NO)
    with pytest.raises(openai.BadRequestError, match="Not that") as caught:
        await chat.completions.create(**ASK)
    assert (server.requests, caught.value.code) == (1, "content_policy_violation")


async def test_an_answer_that_says_no_is_filtered(server: Server, chat: openai.AsyncOpenAI) -> None:
    """As JSON and as a stream."""
    server.answer = FORMAT.answer(NO, model="demo", streamed=False)
    whole = await chat.completions.create(**ASK)
    assert (whole.choices[0].finish_reason, whole.choices[0].text) == ("content_filter", "")
    assert (whole.choices[0].model_extra or {})["refusal"] == "Not that."
    server.answer = FORMAT.answer(NO, model="demo", streamed=True)
    chunks = [chunk async for chunk in await chat.completions.create(**ASK, stream=True)]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == ["content_filter"]


async def test_a_stopped_stream_is_filtered(server: Server, chat: openai.AsyncOpenAI) -> None:
    """Broken off after any frame, every choice that was begun ends once, by us or by the upstream."""
    for stream in golden("openai_completions", "response.sse"):
        total = len(frames(FORMAT, stream))
        for count in range(total):
            server.answer = stopped(FORMAT, stream, count)
            reasons: dict[int, str | None] = {}
            async for chunk in await chat.completions.create(**ASK, stream=True):
                for choice in chunk.choices:
                    assert reasons.get(choice.index) is None
                    reasons[choice.index] = choice.finish_reason
            assert None not in reasons.values()
            if count < 2:
                assert set(reasons.values()) == {"content_filter"}


async def test_an_edited_stream_is_read_to_the_end(server: Server, chat: openai.AsyncOpenAI) -> None:
    """What was redacted is gone, the rest is as it was."""
    reader = FORMAT.stream()
    body = b""
    for frame in frames(FORMAT, recorded("openai_completions", "logprobs.response.sse")):
        found = [segment for segment in reader.read(frame).segments if "Paris" in segment.text]
        body += reader.edit(frame, [Edit(segment.path, 1, 6, "***") for segment in found]) if found else frame
    server.answer = Answer(200, [("content-type", EVENTS)], body)
    chunks = [chunk async for chunk in await chat.completions.create(**ASK, stream=True)]
    assert "".join(chunk.choices[0].text for chunk in chunks) == "The capital of France is ***."
    assert "Paris" not in repr(chunks)


async def test_recorded_answers_are_the_sdks_own_types(server: Server, chat: openai.AsyncOpenAI) -> None:
    """The golden bodies are what the SDK reads, so what we read is what an application gets."""
    for body in golden("openai_completions", "response.json"):
        server.answer = Answer(200, [("content-type", JSON)], body)
        whole = await chat.completions.create(**ASK)
        read = FORMAT.read_response(body, 200).segments
        assert [choice.text for choice in whole.choices] == [s.text for s in read if s.channel[0] == "content"]


async def test_azure_raises_its_own_error(server: Server, azure: openai.AsyncAzureOpenAI) -> None:
    """Applications on Azure look for "content_filter"."""
    server.answer = AZURE.refuse(NO)
    with pytest.raises(openai.BadRequestError, match="Not that") as caught:
        await azure.chat.completions.create(**CHAT)
    assert (server.requests, caught.value.code, caught.value.param) == (1, "content_filter", "prompt")


async def test_azure_sees_a_stopped_stream_as_filtered(server: Server, azure: openai.AsyncAzureOpenAI) -> None:
    """After the first chunk without choices as after any other; and the verdict is there."""
    for name in ("azure", "azure_data"):
        stream = recorded("openai_chat", name + ".response.sse")
        for count in range(3):
            server.answer = stopped(AZURE, stream, count)
            chunks = [chunk async for chunk in await azure.chat.completions.create(**CHAT, stream=True)]
            last = chunks[-1].choices[0]
            assert last.finish_reason == "content_filter"
            assert (last.model_extra or {})["content_filter_results"] == {"harm": {"filtered": True}}


async def test_the_azure_client_asks_where_we_listen(server: Server, azure: openai.AsyncAzureOpenAI) -> None:
    """The paths that the SDK writes, with their query, lead to Azure's variant and name the deployment."""
    server.answer = AZURE.answer(NO, model="demo", streamed=False)
    await azure.chat.completions.create(**CHAT)
    await azure.completions.create(**ASK)
    found = [wire.resolve("auto", {":method": "POST", ":path": path}) for path in server.paths]
    assert [(format_.name, model) for format_, model in found] == [
        ("openai_chat", "demo"),
        ("openai_completions", "demo"),
    ]
    assert found[0][0] is AZURE

"""The model server as the official SDKs see it, and the account that it keeps."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI, NotFoundError

from safeguards_extproc.local.envoy import get
from safeguards_extproc.local.model_server import application, last_user_text
from safeguards_extproc.replay.traffic import Answer, Exchange, Expect, Message, ToolCall, write

ROMAN = Answer(text="Rome was not built in a day.", reasoning="A proverb.", chunk=7)
CALL = Answer(tool_calls=[ToolCall(name="weather", arguments={"city": "Köln"})])
SLOW = Answer(text="word " * 2000, delay_ms=2)


def scripted(name: str, answer: Answer, expect: Expect | None = None) -> Exchange:
    turns = [Message(role="user", content=f"say {name}")]
    return Exchange(id=name, format="openai_chat", messages=turns, answer=answer, expect=expect)


EXCHANGES = [
    scripted("roman", ROMAN),
    scripted("call", CALL),
    scripted("slow", SLOW),
    scripted("two", Answer(text="one", choices=["other"])),
    scripted("secret", Answer(text="fine"), Expect(hidden=["say secret"])),
]


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    running = TestServer(application(EXCHANGES), handler_cancellation=True)
    async with running:
        yield running


@pytest.fixture
async def openai(server: TestServer) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(api_key="none", base_url=str(server.make_url("/v1")), max_retries=0) as client:
        yield client


@pytest.fixture
async def anthropic(server: TestServer) -> AsyncIterator[AsyncAnthropic]:
    async with AsyncAnthropic(api_key="none", base_url=str(server.make_url("/")), max_retries=0) as client:
        yield client


def ask(name: str) -> Any:
    return {"model": "m", "messages": [{"role": "user", "content": f"say {name}"}]}


async def stats(server: TestServer) -> Any:
    async with aiohttp.ClientSession() as session, session.get(server.make_url("/__stats")) as response:
        return (await response.json())["exchanges"]


async def test_the_openai_sdk_reads_answers_choices_and_calls(openai: AsyncOpenAI) -> None:
    """A person who points the SDK at the demo gets scripted answers, found by the question alone."""
    answer = await openai.chat.completions.create(**ask("two"), n=2)
    assert [choice.message.content for choice in answer.choices] == ["one", "other"]
    called = (await openai.chat.completions.create(**ask("call"))).choices[0]
    assert called.finish_reason == "tool_calls"
    [call] = called.message.tool_calls or []
    assert call.type == "function"
    assert call.function.arguments == '{"city":"Köln"}'


async def test_the_openai_sdk_reads_a_stream_cut_anywhere(openai: AsyncOpenAI) -> None:
    """Seven bytes a write, and the SDK still reads every word."""
    text = ""
    async for chunk in await openai.chat.completions.create(**ask("roman"), stream=True):
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
    assert ROMAN.text == text


async def test_the_anthropic_sdk_reads_answers_thinking_and_calls(anthropic: AsyncAnthropic) -> None:
    """The same script in the other dialect: thinking, text, and a tool call with its input."""
    whole = await anthropic.messages.create(**ask("roman"), max_tokens=10)
    assert [block.type for block in whole.content] == ["thinking", "text"]
    async with anthropic.messages.stream(**ask("roman"), max_tokens=10) as stream:
        assert ROMAN.text == "".join([text async for text in stream.text_stream])
    async with anthropic.messages.stream(**ask("call"), max_tokens=10) as stream:
        [block] = (await stream.get_final_message()).content
    assert (block.type, block.input) == ("tool_use", {"city": "Köln"})  # type: ignore[union-attr]


async def test_the_header_names_the_script_and_anything_else_is_quoted(openai: AsyncOpenAI) -> None:
    """The runner chooses by header; a person with curl gets her question back as it arrived."""
    answer = await openai.chat.completions.create(**ask("anything"), extra_headers={"x-demo-exchange": "roman"})
    assert ROMAN.text == answer.choices[0].message.content
    answer = await openai.chat.completions.create(**ask("anything"))
    assert '"say anything"' in str(answer.choices[0].message.content)


async def test_an_unknown_path_is_the_providers_404(server: TestServer, openai: AsyncOpenAI) -> None:
    """What does not exist here is refused as a provider refuses it, and counted."""
    with pytest.raises(NotFoundError):
        await openai.embeddings.create(model="m", input="x", extra_headers={"x-demo-exchange": "lost"})
    assert (await stats(server))["lost"]["received"] == 1


async def test_the_account_counts_what_reached_it(server: TestServer, openai: AsyncOpenAI) -> None:
    """Tests learn from the account whether a prompt arrived, and whether it still held what should be hidden."""
    await openai.chat.completions.create(**ask("secret"))
    await openai.chat.completions.create(**ask("roman"))
    seen = await stats(server)
    assert (seen["secret"]["received"], seen["secret"]["leaks"], seen["secret"]["cancelled"]) == (1, 1, 0)
    assert (seen["roman"]["received"], seen["roman"]["leaks"], seen["roman"]["finished"]) == (1, 0, 1)
    assert "call" not in seen


async def test_a_reader_that_hangs_up_is_counted_as_cancelled(server: TestServer, openai: AsyncOpenAI) -> None:
    """When Envoy cancels a stopped answer, the account says that the model stopped too."""
    stream = await openai.chat.completions.create(**ask("slow"), stream=True)
    await anext(aiter(stream))
    await stream.close()
    async with asyncio.timeout(5):
        while not (served := (await stats(server))["slow"])["cancelled"]:
            continue
    assert served["finished"] == 0
    assert served["bytes_sent"] < len(SLOW.text)


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b'{"messages":"Hello"}'])
async def test_nonsense_is_a_400(server: TestServer, body: bytes) -> None:
    """A body that is no request is said to be none, in the dialect's shape."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(server.make_url("/v1/messages"), data=body) as response,
    ):
        assert (response.status, (await response.json())["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, "a"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image"}]}]}, "a"),
        ({"messages": []}, ""),
        ({"messages": "x"}, ""),
        ({}, ""),
    ],
)
def test_the_question_is_the_last_user_turn(body: dict[str, Any], text: str) -> None:
    """In either dialect, and in bodies that are neither, the question is found or there is none."""
    assert text == last_user_text(body)


@pytest.mark.long
def test_as_a_program_it_says_where_it_listens_and_ends_when_asked(tmp_path: Path) -> None:
    """The stack starts it on any free port, learns which, and ends it by SIGTERM with exit code 0."""
    traffic, ready = tmp_path / "t.jsonl", tmp_path / "ready"
    write(traffic, EXCHANGES)
    argv = [sys.executable, "-m", "safeguards_extproc.local.model_server", "--port", "0"]
    with subprocess.Popen([*argv, "--traffic", str(traffic), "--ready-file", str(ready)]) as process:
        while not ready.exists() and process.poll() is None:
            os.sched_yield()
        assert get(ready.read_text(), "/v1/models")[0] == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == 0

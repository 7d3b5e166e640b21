"""Requests as the two dialects have them."""

from __future__ import annotations

import gzip
import json

from safeguards_extproc.replay.requests import body_of, request
from safeguards_extproc.replay.traffic import Answer, Exchange, Message, Tool, ToolCall, Transport

TURNS = [
    Message(role="user", content="How warm is it?", document="A report."),
    Message(role="assistant", tool_calls=[ToolCall(name="weather", arguments={"city": "Köln"})]),
    Message(role="tool", content="14 °C"),
]
TOOLS = [Tool(name="weather", description="Says how warm it is.")]


def test_a_chat_with_tools_and_a_document() -> None:
    """A conversation in which the assistant called a tool becomes the Chat Completions body that an SDK would send."""
    exchange = Exchange(id="x", format="openai_chat", stream=True, system="Be brief.", messages=TURNS, tools=TOOLS)
    body = body_of(exchange)
    assert [turn["role"] for turn in body["messages"]] == ["system", "user", "assistant", "tool"]
    assert body["messages"][1]["content"] == [
        {"type": "text", "text": "A report."},
        {"type": "text", "text": "How warm is it?"},
    ]
    [call] = body["messages"][2]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"city": "Köln"}
    assert call["id"] == body["messages"][3]["tool_call_id"]
    assert body["tools"][0]["function"]["name"] == "weather"
    assert body["stream"] is True


def test_the_same_conversation_as_messages() -> None:
    """The Messages dialect keeps instructions outside the turns, and a tool's result inside a user turn."""
    turns = [Message(role="developer", content="Metric units."), *TURNS]
    body = body_of(Exchange(id="x", format="anthropic_messages", system="Be brief.", messages=turns, tools=TOOLS))
    assert body["system"] == "Be brief.\n\nMetric units."
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    document, question = body["messages"][0]["content"]
    assert (
        document["type"],
        document["source"]["data"],
        question["text"],
    ) == ("document", "A report.", "How warm is it?")
    [use] = body["messages"][1]["content"]
    [result] = body["messages"][2]["content"]
    assert (use["id"], "tool_result") == (result["tool_use_id"], result["type"])
    assert "stream" not in body


def test_further_choices_are_asked_for() -> None:
    """A script with two further answers asks for n=3."""
    turns = [Message(role="user", content="A name?")]
    assert body_of(Exchange(id="x", format="openai_chat", messages=turns, answer=Answer(choices=["b", "c"])))["n"] == 3


def test_a_compressed_body_says_so_and_unpacks_to_the_plain_one() -> None:
    """A client that compresses sends the same question, packed, and names the encoding."""
    turns = [Message(role="user", content="Hello")]
    plain = request(Exchange(id="x", format="openai_chat", messages=turns))
    packed = request(Exchange(id="x", format="openai_chat", messages=turns, transport=Transport(encoding="gzip")))
    assert packed.headers["content-encoding"] == "gzip"
    assert plain.body == gzip.decompress(packed.body)
    assert "content-encoding" not in plain.headers


def test_a_body_and_a_path_go_as_they_stand() -> None:
    """Traffic that no SDK would send can still be written down."""
    transport = Transport(path="/v1/else", body='{"a":1,"a":2}', content_type="text/plain")
    sent = request(Exchange(id="x", format="openai_chat", transport=transport, headers={"x-demo-exchange": "y"}))
    assert (sent.path, sent.body, sent.headers["content-type"]) == ("/v1/else", b'{"a":1,"a":2}', "text/plain")
    assert sent.headers["x-demo-exchange"] == "y"

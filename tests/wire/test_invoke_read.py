"""Prompts and what answers them: where text stands, whichever vendor's members hold it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from safeguards_extproc.core.text import Kind
from safeguards_extproc.wire import invoke_read
from safeguards_extproc.wire.invoke_dialects import Dialect, of_answer, of_request
from safeguards_extproc.wire.leaves import Leaves
from tests.contract.wire_contract import GOLDEN, texts

WORDS = "say these words"


def asked(body: dict[str, Any]) -> Any:
    return invoke_read.request(body, of_request(body))[0]


def answered(body: dict[str, Any]) -> Any:
    return invoke_read.answer(body, of_answer(body))[0]


@pytest.mark.parametrize(
    ("body", "channel", "expected"),
    [
        ({"prompt": "x"}, (Kind.USER, "0"), "x"),
        ({"inputText": "x"}, (Kind.USER, "0"), "x"),
        ({"texts": ["x", "y"]}, (Kind.USER, "texts"), "x\ny\n"),
        ({"prompt": ["x"]}, (Kind.USER, "prompt"), "x\n"),
        ({"prompt": "", "preamble": "x"}, (Kind.SYSTEM, "preamble"), "x\n"),
        ({"prompt": "", "documents": [{"snippet": "x"}]}, (Kind.TOOL, "documents"), "x\n"),
        ({"prompt": "", "chat_history": [{"role": "chatbot", "message": "x"}]}, (Kind.ASSISTANT, "0"), "x"),
        ({"prompt": "", "chat_history": [{"role": "bishop", "message": "x"}]}, (Kind.USER, "0"), "x"),
        ({"prompt": "", "chat_history": [{"role": "USER", "message": ["x"]}]}, (Kind.USER, "0"), "x\n"),
        ({"prompt": "", "chat_history": ["x"]}, (Kind.USER, "0"), "x\n"),
        ({"prompt": "", "stop_sequences": ["x"]}, (Kind.OTHER, "fields"), "x\n"),
        ({"prompt": "", "tools": [{"description": "x"}]}, (Kind.TOOLS, "tools"), "x\n"),
        ({"prompt": "", "novel": {"deep": ["x"]}}, (Kind.OTHER, "fields"), "x\n"),
        ({"taskType": "TEXT_IMAGE", "textToImageParams": {"text": "x"}}, (Kind.USER, "textToImageParams"), "x\n"),
        ({"novel": "x"}, (Kind.USER, "0"), "x\n"),
    ],
)
def test_a_request_has_its_text_on_its_channel(body: dict[str, Any], channel: tuple[Kind, str], expected: str) -> None:
    """Prompts, turns, documents and what no list of members names."""
    assert {channel: expected} == texts(asked(body).segments)


@pytest.mark.parametrize(
    ("body", "channel", "expected"),
    [
        ({"generation": "x", "stop_reason": "stop"}, (Kind.CONTENT, "0"), "x"),
        ({"completion": "x"}, (Kind.CONTENT, "0"), "x"),
        ({"outputText": "x", "index": 2}, (Kind.CONTENT, "2"), "x"),
        ({"results": [{"outputText": "x"}]}, (Kind.CONTENT, "0"), "x"),
        ({"outputs": [{"text": ""}, {"text": "x"}]}, (Kind.CONTENT, "1"), "x"),
        ({"outputs": ["x"]}, (Kind.CONTENT, "0"), "x\n"),
        ({"generations": [{"text": "x", "index": 4}]}, (Kind.CONTENT, "4"), "x"),
        ({"generations": [{"token_likelihoods": [{"token": "x"}]}]}, (Kind.OTHER, "0"), "x\n"),
        ({"text": "", "tool_calls": [{"id": "t1", "name": "x"}]}, (Kind.TOOL_CALL, "0"), "x\n"),
        ({"event_type": "stream-end", "response": {"text": "x"}}, (Kind.CONTENT, "whole"), "x\n"),
        ({"choices": [{"text": "x", "stop_reason": None}]}, (Kind.CONTENT, "0"), "x"),
        ({"embeddings": [[0.1]], "texts": ["x"]}, (Kind.OTHER, "fields"), "x\n"),
        ({"generation": "", "amazon-bedrock-trace": {"input": "x"}}, (Kind.OTHER, "fields"), "x\n"),
    ],
)
def test_an_answer_has_its_text_on_its_channel(body: dict[str, Any], channel: tuple[Kind, str], expected: str) -> None:
    """Answers, the tokens and whole texts that repeat them, echoes, and what a guardrail reports."""
    assert {channel: expected} == texts(answered(body).segments)


@pytest.mark.parametrize(
    "disguise", [{"anthropic_version": "x"}, {"messages": []}, {"messages": [], "schemaVersion": "x"}]
)
@pytest.mark.parametrize("prompt", ["prompt", "inputText", "message"])
def test_no_disguise_makes_a_prompt_anything_but_the_users(disguise: dict[str, Any], prompt: str) -> None:
    """A policy that looks at what users say must see it, whoever's member stands beside it."""
    assert WORDS == texts(asked({**disguise, prompt: WORDS}).segments)[Kind.USER, "0"]


def test_what_no_dialect_knows_is_read_and_named_unread() -> None:
    """Every string, in either direction; what it means is policy's to decide."""
    for document in (asked({"novel": {"deep": [WORDS]}}), answered({"novel": {"deep": [WORDS]}})):
        assert [WORDS] == [segment.text for segment in document.segments if segment.path]
        assert {invoke_read.UNKNOWN} == document.unread


@pytest.mark.parametrize(
    ("body", "unread"),
    [
        ({"inputText": "x", "inputImage": "aGk="}, "image"),
        ({"prompt": "x", "images": ["aGk="]}, "image"),
        ({"taskType": "x", "inPaintingParams": {"image": "aGk=", "text": "x"}}, "image"),
    ],
)
def test_media_is_named_as_unread(body: dict[str, Any], unread: str) -> None:
    """Beside a prompt, and in an answer."""
    assert {unread} == asked(body).unread
    assert {"image"} == answered({"images": ["aGk="]}).unread


@pytest.mark.parametrize("member", ["prompt", "generation", "novel", "text", "role", "type", "id", "stop_reason", "p"])
@pytest.mark.parametrize("dialect", [*Dialect, None])
def test_no_member_hides_words(member: str, dialect: Dialect | None) -> None:
    """Under any name, in any dialect, in either direction; an OpenAI answer's own id alone is the server's word."""
    body = {member: WORDS, "deep": [{member: WORDS}]}
    for read in (invoke_read.request, invoke_read.answer):
        segments = read(body, dialect)[0].segments
        servers = read is invoke_read.answer and (member, dialect) == ("id", Dialect.CHAT)
        assert (1 if servers else 2) == sum(segment.text == WORDS for segment in segments)


def test_a_reader_that_knew_only_its_vendor_would_be_blind() -> None:
    """Planted: text in another vendor's member, read by that member alone."""
    leaves = Leaves()
    leaves.text((Kind.CONTENT, "0"), {"generation": "", "completion": WORDS}["generation"], ("generation",))
    assert WORDS not in [segment.text for segment in leaves.segments]
    assert WORDS in texts(answered({"generation": "", "completion": WORDS}).segments).values()


def test_a_conversation_is_counted() -> None:
    """Features for policy, as in the other formats."""
    body = json.loads((GOLDEN / "bedrock_invoke/command_r.request.json").read_bytes())
    document = asked(body)
    assert {"messages": 3, "tools": 1, "prefill": False} == document.features
    said = texts(document.segments)
    assert [said[Kind.USER, "0"], said[Kind.ASSISTANT, "1"], said[Kind.USER, "2"]] == [
        "What are X-rays?",
        "Light of short waves.",
        "Who discovered them?",
    ]

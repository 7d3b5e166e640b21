"""The shapes by which a body tells its format, and the first bytes that promise one."""

from __future__ import annotations

import json
from itertools import combinations

import pytest

from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import FORMATS, recognise
from safeguards_extproc.wire.shapes import SHAPES, is_object, promises
from tests.contract.wire_contract import golden

ASK = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def shape(body: object) -> str:
    return next((row.format for row in SHAPES if isinstance(body, dict) and row.request(body)), "")


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (ASK, "openai_chat"),
        ({**ASK, "max_tokens": 9}, "openai_chat"),
        ({**ASK, "system": "Be brief."}, "anthropic_messages"),
        ({**ASK, "tools": [{"name": "f", "input_schema": {}}]}, "anthropic_messages"),
        ({**ASK, "tools": [{"type": "code_execution_20250825", "name": "code_execution"}]}, "anthropic_messages"),
        ({**ASK, "tools": [{"type": "function", "function": {}}, 3]}, "openai_chat"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "anthropic_messages"),
        ({"messages": [{"role": "user", "content": [{"type": ["tool_result"]}, 3]}, "x"]}, "openai_chat"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}, "anthropic_messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "openai_chat"),
        ({"messages": "hi"}, "openai_chat"),
        ({"messages": [{"role": "user", "content": [{"text": "hi"}]}]}, "bedrock_converse"),
        ({"messages": [{"role": "user", "content": [{}, 3]}, 4]}, "openai_chat"),
        ({"prompt": "hi"}, "openai_completions"),
        ({"prompt": "hi", "max_gen_len": 9}, "bedrock_invoke"),
        ({"prompt": "<s>[INST] hi [/INST]", "max_tokens": 9}, "bedrock_invoke"),
        ({"prompt": "<s>[INST] hi [/INST]", "model": "m"}, "openai_completions"),
        ({"prompt": "<s>[INST] hi [/INST]", "stream": True}, "openai_completions"),
        ({"inputText": "hi"}, "bedrock_invoke"),
        ({**ASK, "anthropic_version": "bedrock-2023-05-31"}, "bedrock_invoke"),
        ({**ASK, "anthropic_version": "vertex-2023-10-16"}, "anthropic_messages"),
        (
            {"messages": [{"role": "user", "content": [{"text": "hi"}]}], "schemaVersion": "messages-v1"},
            "bedrock_invoke",
        ),
        ({"message": "hi", "chat_history": []}, "bedrock_invoke"),
        ({"taskType": "TEXT_IMAGE", "textToImageParams": {"text": "a fox"}}, "bedrock_invoke"),
        ({"taskType": "RETRIEVAL_DOCUMENT", "content": {"parts": [{"text": "hi"}]}}, ""),
        ({"message": "hi"}, ""),
        ({"schemaVersion": "1", "colour": "red"}, ""),
        ({"promptVariables": {"name": {"text": "Ada"}}}, "bedrock_converse"),
        ({"inputs": "hi", "parameters": {}}, "tgi"),
        ({"inputs": ["hi"]}, ""),
        ({"inputs": [{"name": "TEXT", "datatype": "BYTES", "shape": [1], "data": ["hi"]}]}, "kserve_v2/infer"),
        ({"text_input": "hi"}, "kserve_v2"),
        ({"generateContentRequest": {}}, "gemini"),
        ({"dimensions": 3}, ""),
        ({"input": [[1, 2]]}, "openai_embeddings"),
        ({"input": [1, 2]}, "openai_embeddings"),
        ({"input": [{"text": "hi"}, {"image": "x"}]}, "openai_embeddings"),
        ({"input": [{"type": "image_url", "image_url": {"url": "x"}}]}, "openai_moderations"),
        ({"prompt": {"id": "pmpt_1"}, "model": "m"}, "openai_responses"),
        ({"contents": [{"parts": [{"text": "hi"}]}]}, "gemini"),
        ({"requests": [{"params": {}}]}, "batches"),
        ({"input_file_id": "f"}, "batches"),
        ({"requests": ["x"]}, ""),
        ({"model": "m", "input": "hi"}, "openai_responses"),
        ({"model": "m", "input": "hi", "encoding_format": "float"}, "openai_embeddings"),
        ({"system": "x"}, ""),
        ({"colour": "red"}, ""),
        ({}, ""),
    ],
)
def test_a_request_is_told_by_its_members(body: object, name: str) -> None:
    """Of two APIs with the same members, by those that only one has."""
    assert name == shape(body)


NAMES = sorted({row.format.partition("/")[0] for row in SHAPES})
SAME = {
    "bedrock_invoke": {"anthropic_messages", "bedrock_converse", "openai_chat", "openai_completions"},
    "openai_embeddings": {"openai_moderations", "openai_responses"},
    "openai_moderations": {"openai_responses"},
}
"""APIs whose bodies may be those of another API, to the byte."""


def shown(row: str) -> str:
    return row.partition("/")[0]


@pytest.mark.parametrize("name", NAMES)
def test_recorded_answers_show_their_format(name: str) -> None:
    """Each recorded answer has its own format's shape, and no line before it takes it away; lists are TGI's alone."""
    found = [value for body in golden(name, "response.json") if isinstance(value := json.loads(body), dict)]
    assert found
    for value in found:
        first = shown(next((row.format for row in SHAPES if row.answer(value)), ""))
        assert first in {name} | SAME.get(name, set())


@pytest.mark.parametrize("name", NAMES)
def test_recorded_requests_show_their_format(name: str) -> None:
    """Whatever the path: what is read of them is what would be read on their own."""
    for body in golden(name, "request.json"):
        known = recognise(body)
        assert known is not None
        assert known.name in {name} | SAME.get(name, set())
        read, own = known.read_request(body), FORMATS[name].read_request(body)
        for text in (segment.text for segment in own.segments):
            assert text in "".join(segment.text for segment in read.segments)
        assert own.unread <= read.unread


QUESTIONS = {
    "messages": [{"role": "user", "content": "hi"}],
    "contents": [{"parts": [{"text": "hi"}]}],
    "prompt": "hi",
    "input": "hi",
    "inputs": "hi",
    "text_input": "hi",
    "inputText": "hi",
    "message": "hi",
    "requests": [{"params": {}}],
}


@pytest.mark.parametrize(("one", "other"), list(combinations(QUESTIONS, 2)))
def test_a_body_that_asks_two_apis_is_nobodys_to_read(one: str, other: str) -> None:
    """The upstream answers one of them; read as the other, a user's words would pass for some field's."""
    asked = {one: QUESTIONS[one], other: QUESTIONS[other]}
    with pytest.raises(MalformedBody, match="shape"):
        recognise(json.dumps(asked).encode())
    if one != "message":
        known = recognise(json.dumps({**asked, other: None}).encode())
        assert known is not None
        assert known.name == shown(shape({one: QUESTIONS[one]}))


def test_a_stored_prompt_and_its_input_ask_one_api() -> None:
    """OpenAI's Responses have both."""
    assert recognise(b'{"prompt": {"id": "pmpt_1"}, "input": "hi"}') is not None
    with pytest.raises(MalformedBody, match="shape"):
        recognise(b'{"prompt": "hi", "input": "hi"}')


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-16-le", "utf-32", "utf-32-be"])
@pytest.mark.parametrize("size", [1, 3, 4, 7, 64])
def test_an_object_is_waited_for_in_every_encoding_that_a_server_may_guess(encoding: str, size: int) -> None:
    """Python's json takes them all; so none may pass as something that is not JSON."""
    body = (" \r\n" + json.dumps(ASK)).encode(encoding)
    assert promises(body[:size])
    assert is_object(body)
    assert is_object((" " * 999 + json.dumps(ASK)).encode(encoding))


@pytest.mark.parametrize(
    "begun",
    [b"\x00\x00\x00\x00\x7b\x0a\x05", b"\x01\x00\x00\x01\x00", b"field=value", b"--boundary", b"[1, 2]", b"\x89PNG"],
)
def test_what_begins_otherwise_is_not(begun: bytes) -> None:
    """gRPC, forms, lists, pictures: whoever sends them is not kept waiting."""
    assert not promises(begun)
    assert not is_object(begun)
    assert not is_object(begun[:2])

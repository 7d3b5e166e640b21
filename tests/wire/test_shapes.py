"""The shapes by which a body tells its format, and the first bytes that promise one."""

from __future__ import annotations

import json

import pytest

from safeguards_extproc.wire import FORMATS
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
        ({**ASK, "tools": [{"type": "function", "function": {}}, 3]}, "openai_chat"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "anthropic_messages"),
        ({"messages": [{"role": "user", "content": [{"type": ["tool_result"]}, 3]}, "x"]}, "openai_chat"),
        ({"messages": "hi"}, "openai_chat"),
        ({"messages": [{"role": "user", "content": [{"text": "hi"}]}]}, "bedrock_converse"),
        ({"messages": [{"role": "user", "content": [{}, 3]}, 4]}, "openai_chat"),
        ({"prompt": "hi"}, "openai_completions"),
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


@pytest.mark.parametrize("row", SHAPES, ids=lambda row: row.format)
def test_recorded_answers_and_events_show_their_format(row: object) -> None:
    """Each recorded answer has its own format's shape, and no line before it takes it away."""
    found = golden(row.format, "response.json")  # type: ignore[attr-defined]
    assert found
    assert row.format in FORMATS  # type: ignore[attr-defined]
    for body in found:
        value = json.loads(body)
        assert row.format == next((one.format for one in SHAPES if one.answer(value)), "")  # type: ignore[attr-defined]


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

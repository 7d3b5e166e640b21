"""The Anthropic dialect: refusals, answers, steering, errors."""

from __future__ import annotations

import json

import pytest

from safeguards_extproc.core.text import Edit, Kind, Refusal
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire.anthropic_messages import AnthropicMessages
from tests.contract.wire_contract import texts

FORMAT = AnthropicMessages()


@pytest.mark.parametrize(
    ("reason", "type_"),
    [
        ("policy", "invalid_request_error"),
        ("suspended", "permission_error"),
        ("throttled", "rate_limit_error"),
        ("too-large", "request_too_large"),
        ("unavailable", "api_error"),
    ],
)
def test_a_refusal_is_the_apis_own_error(reason: str, type_: str) -> None:
    """With the id by which a user can quote it, in the body and where the SDK looks."""
    answer = FORMAT.refuse(Refusal(reason, "Not that.", id="e1"))
    assert json.loads(answer.body) == {
        "type": "error",
        "error": {"type": type_, "message": "Not that."},
        "request_id": "e1",
    }
    assert ("request-id", "e1") in answer.headers


def test_an_answer_that_says_no_is_a_message_that_was_refused() -> None:
    """200, no content, a reason to stop."""
    body = json.loads(FORMAT.answer(Refusal("policy", "Not that.", "harm", "e1"), model="demo", streamed=False).body)
    assert (body["id"], body["model"], body["content"], body["stop_reason"]) == ("msg_e1", "demo", [], "refusal")
    assert body["stop_details"] == {"type": "refusal", "category": "harm", "explanation": "Not that."}


@pytest.mark.parametrize(
    ("body", "steered"),
    [
        ('{ "system" : "Be\\u0020brief." }', '{ "system" : "Be brief.\\n\\nBe kind." }'),
        ('{"system":""}', '{"system":"Be kind."}'),
        ('{"system": null, "a": 1}', '{"system": "Be kind.", "a": 1}'),
        ('{"a": 1}', '{"system":"Be kind.","a": 1}'),
        ("{ }", '{"system":"Be kind." }'),
        ('{"system":[]}', '{"system":[{"type":"text","text":"Be kind."}]}'),
        (
            '{"system":[{"type":"text","text":"x"}]}',
            '{"system":[{"type":"text","text":"x"},{"type":"text","text":"Be kind."}]}',
        ),
    ],
)
def test_steering_ends_the_system_prompt(body: str, steered: str) -> None:
    """As a string, as blocks, or where there was none; other bytes stay."""
    assert FORMAT.steer(body.encode(), "Be kind.").decode() == steered


@pytest.mark.parametrize("body", [b"[]", b'{"system":3}', b'{"system":{}}'])
def test_what_has_no_place_for_an_instruction_cannot_be_steered(body: bytes) -> None:
    """Better refused than sent without it."""
    with pytest.raises(MalformedBody, match="shape"):
        FORMAT.steer(body, "x")


def test_a_calls_input_is_edited_as_it_is_written() -> None:
    """Offsets count the JSON's own characters; numbers and spaces elsewhere stay."""
    body = b'{"content":[{"type":"tool_use","name":"f","input":{ "to": "a@b.co", "n": 1.50 }}]}'
    segment = FORMAT.read_response(body, 200).segments[-1]
    start = segment.text.index("a@")
    assert segment.raw
    assert FORMAT.edit(body, [Edit(segment.path, start, start + 6, "[EMAIL]")]) == body.replace(b"a@b.co", b"[EMAIL]")


def test_a_providers_error_is_text() -> None:
    """Error messages quote prompts."""
    body = (
        b'{"type":"error","error":{"type":"invalid_request_error","message":"Bad prompt: hello"},"request_id":"req_1"}'
    )
    assert texts(FORMAT.read_response(body, 400).segments) == {(Kind.ERROR, "error"): "Bad prompt: hello\n"}


def test_a_body_that_is_no_object_is_malformed() -> None:
    """Requests and answers are objects."""
    with pytest.raises(MalformedBody, match="shape"):
        FORMAT.read_request(b"[]")
    with pytest.raises(MalformedBody, match="shape"):
        FORMAT.read_response(b'"x"', 200)

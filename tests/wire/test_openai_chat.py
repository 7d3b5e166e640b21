"""The OpenAI dialect: refusals, answers, steering, errors."""

from __future__ import annotations

import json

import pytest

from safeguards_extproc.core.text import Kind, Refusal
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire.openai_chat import OpenAIChat
from tests.contract.wire_contract import texts

FORMAT = OpenAIChat()


def test_a_block_is_an_invalid_request_about_content() -> None:
    """The error object that the API itself gives for prompts it refuses."""
    answer = FORMAT.refuse(Refusal("policy", "Not that.", id="e1"))
    assert answer.status == 400
    assert json.loads(answer.body) == {
        "error": {
            "message": "Not that.",
            "type": "invalid_request_error",
            "param": None,
            "code": "content_policy_violation",
        }
    }
    assert ("x-request-id", "e1") in answer.headers


def test_each_reason_has_a_code_of_its_own() -> None:
    """A client can tell a throttle from a block."""
    reasons = [
        "policy",
        "suspended",
        "throttled",
        "too-large",
        "unsupported-encoding",
        "malformed",
        "unavailable",
        "timeout",
    ]
    codes = {json.loads(FORMAT.refuse(Refusal(reason, "no")).body)["error"]["code"] for reason in reasons}
    assert len(codes) == len(reasons)


def test_an_answer_that_says_no_is_a_filtered_completion() -> None:
    """200, no content, the words in `refusal`."""
    body = json.loads(FORMAT.answer(Refusal("policy", "Not that.", id="e1"), model="demo", streamed=False).body)
    assert body["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": None, "refusal": "Not that."},
            "logprobs": None,
            "finish_reason": "content_filter",
        }
    ]
    assert (body["object"], body["model"], body["id"]) == ("chat.completion", "demo", "chatcmpl-e1")


@pytest.mark.parametrize("messages", ["[ ]", '[ {"role":"user","content":"x"} ]'])
def test_steering_puts_the_instruction_first(messages: str) -> None:
    """Only those bytes are new."""
    body = f'{{"model" : "m", "messages" : {messages}}}'.encode()
    steered = FORMAT.steer(body, 'Be "kind".\n')
    assert json.loads(steered)["messages"][0] == {"role": "system", "content": 'Be "kind".\n'}
    assert json.loads(steered)["messages"][1:] == json.loads(messages)


@pytest.mark.parametrize("body", [b"[]", b'{"messages":{}}', b"{}"])
def test_what_has_no_messages_cannot_be_steered(body: bytes) -> None:
    """There is no place to put it."""
    with pytest.raises(MalformedBody, match="shape"):
        FORMAT.steer(body, "x")


def test_a_providers_error_is_text() -> None:
    """Error messages quote prompts; any JSON may come with an error status."""
    body = b'{"error":{"message":"Bad prompt: hello","type":"invalid_request_error","code":null}}'
    assert texts(FORMAT.read_response(body, 400).segments) == {(Kind.ERROR, "error"): "Bad prompt: hello\n"}
    assert texts(FORMAT.read_response(b'["over quota"]', 429).segments) == {(Kind.ERROR, "error"): "over quota\n"}


def test_a_body_that_is_no_object_is_malformed() -> None:
    """Requests and answers are objects."""
    with pytest.raises(MalformedBody, match="shape"):
        FORMAT.read_request(b"[]")
    with pytest.raises(MalformedBody, match="shape"):
        FORMAT.read_response(b'"x"', 200)

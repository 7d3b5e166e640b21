"""A request to be counted is read and edited like the one that would follow it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from safeguards_extproc import wire
from safeguards_extproc.core.text import Edit, Kind, Refusal
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire.bedrock_invoke import BedrockInvoke
from tests.contract.wire_contract import golden, texts

FORMAT = BedrockInvoke(counting=True)


def invoked(request: bytes, **beside: Any) -> bytes:
    return json.dumps({"input": {"invokeModel": {"body": base64.b64encode(request).decode()}}, **beside}).encode()


@pytest.mark.parametrize("request_", golden("bedrock_invoke", "request.json"))
def test_it_says_what_the_request_says(request_: bytes) -> None:
    """Through the base64, in every dialect."""
    plain, counted = BedrockInvoke().read_request(request_), FORMAT.read_request(invoked(request_))
    assert (texts(plain.segments), plain.unread) == (texts(counted.segments), counted.unread)


@pytest.mark.parametrize("request_", golden("bedrock_converse", "request.json"))
def test_a_request_of_converse_says_what_it_says(request_: bytes) -> None:
    """It stands in the body as it is."""
    converse = wire.FORMATS["bedrock_converse"]
    plain, counted = converse.read_request(request_), FORMAT.read_request(b'{"input": {"converse": %b}}' % request_)
    assert (texts(plain.segments), plain.unread) == (texts(counted.segments), counted.unread)


@pytest.mark.parametrize(
    "body",
    [
        invoked(b'{"prompt":"mail a@b.co now", "n": 1.50}'),
        b'{"input": {"converse": {"messages": [{"role": "user", "content": [{"text": "mail a@b.co now"}]}]}}}',
    ],
)
def test_a_redaction_reaches_the_request(body: bytes) -> None:
    """Every other byte of it stays."""
    segment = FORMAT.read_request(body).segments[0]
    edited = FORMAT.edit(body, [Edit(segment.path, 5, 11, "[EMAIL]")])
    plain = body if b"a@b.co" in body else base64.b64decode(json.loads(body)["input"]["invokeModel"]["body"])
    after = edited if plain is body else base64.b64decode(json.loads(edited)["input"]["invokeModel"]["body"])
    assert plain.replace(b"a@b.co", b"[EMAIL]") == after
    assert body == FORMAT.edit(body, [])


def test_what_stands_around_is_read() -> None:
    """No member is a blind spot; what is neither of the two is unread."""
    around = FORMAT.read_request(invoked(b'{"prompt":"x"}', novel="some words")).segments
    assert "some words\n" == texts(around)[Kind.OTHER, "fields"]
    unknown = FORMAT.read_request(b'{"input":{"novel":"x"}}')
    assert {(Kind.USER, "0"): "x\n"} == texts(unknown.segments)
    assert {"dialect"} == unknown.unread


@pytest.mark.parametrize(
    ("text", "reason"), [("!!", "encoding"), ("W10=", "shape"), ("eyJhIjoxLCJhIjoyfQ==", "duplicate-key")]
)
def test_what_cannot_be_read_is_malformed(text: str, reason: str) -> None:
    """As the request itself would be."""
    with pytest.raises(MalformedBody, match=reason):
        FORMAT.read_request(json.dumps({"input": {"invokeModel": {"body": text}}}).encode())


def test_a_count_is_no_answer_to_refuse_with() -> None:
    """An error says no; an instruction is not counted; the count itself holds no text."""
    body = invoked(b'{"prompt":"x"}')
    assert 400 == FORMAT.answer(Refusal("policy", "No."), model="meta.llama3-8b-instruct-v1:0", streamed=False).status
    assert body == FORMAT.steer(body, "Be kind.")
    assert [] == FORMAT.read_response(b'{"inputTokens":7}', 200).segments
    format_, model = wire.resolve("auto", {":method": "POST", ":path": "/model/meta.llama3-8b/count-tokens"})
    assert ("meta.llama3-8b", texts(FORMAT.read_request(body).segments)) == (
        model,
        texts(format_.read_request(body).segments),
    )

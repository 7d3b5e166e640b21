"""OpenAI Responses as a format: paths, edits, steering, refusals and answers."""

from __future__ import annotations

import json

import pytest
from openai.types.responses import Response

from safeguards_extproc import wire
from safeguards_extproc.core.text import Edit, Kind
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import sse
from tests.contract.wire_contract import frames, refusal, texts

FORMAT = wire.FORMATS["openai_responses"]


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("/v1/responses", "openai_responses"),
        ("/openai/v1/responses?api-version=preview", "openai_responses"),
        ("/openai/responses?api-version=2025-04-01-preview", "openai_responses"),
        ("/v1/responses/compact", "openai_responses"),
        ("/v1/responses/input_tokens", "openai_responses"),
        ("//V1/re%73ponses/", "openai_responses"),
        ("/v1/responses/resp_1/cancel", "opaque"),
        ("/surveys/7/responses", "opaque"),
    ],
)
def test_paths(target: str, name: str) -> None:
    """What carries text to a model is claimed; other APIs have responses too."""
    assert wire.resolve("auto", {":method": "POST", ":path": target})[0].name == name


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("/v1/responses", "content_policy_violation"),
        ("/openai/v1/responses", "content_policy_violation"),
        ("/openai/responses?api-version=2025-04-01-preview", "content_filter"),
        ("/openai/responses/compact", "content_filter"),
    ],
)
def test_a_refusal_is_azures_on_azures_path(target: str, code: str) -> None:
    """Applications on Azure look for its own code; the newer path is other gateways' as well."""
    format_, _ = wire.resolve("auto", {":method": "POST", ":path": target})
    assert code == json.loads(format_.refuse(refusal()).body)["error"]["code"]


def test_tokens_go_with_an_edited_text() -> None:
    """Log-probabilities repeat it; those of other texts stay."""
    parts = [
        {"type": "output_text", "text": text, "annotations": [], "logprobs": [{"token": text}]} for text in ("a", "b")
    ]
    body = json.dumps({"output": [{"type": "message", "content": parts}]}).encode()
    edited = json.loads(FORMAT.edit(body, [Edit(("output", 0, "content", 1, "text"), 0, 1, "▇")]))
    first, second = edited["output"][0]["content"]
    assert (first["text"], len(first["logprobs"])) == ("a", 1)
    assert (second["text"], second["logprobs"]) == ("▇", [])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (b'{"input":"x"}', "Be kind."),
        (b'{"instructions":null,"input":"x"}', "Be kind."),
        (b'{"instructions":"","input":"x"}', "Be kind."),
        (b'{"instructions":"Be brief.","input":"x"}', "Be brief.\n\nBe kind."),
    ],
)
def test_steering_goes_into_the_instructions(given: bytes, expected: str) -> None:
    """After those of the caller, so that the last word is ours."""
    steered = FORMAT.steer(given, "Be kind.")
    assert texts(FORMAT.read_request(steered).segments)[Kind.SYSTEM, "instructions"] == expected


@pytest.mark.parametrize("body", [b"[]", b'{"instructions":[]}'])
def test_what_cannot_be_steered_is_malformed(body: bytes) -> None:
    """There is no place that every server would read."""
    with pytest.raises(MalformedBody):
        FORMAT.steer(body, "Be kind.")


@pytest.mark.parametrize("streamed", [False, True])
def test_an_answer_that_says_no_is_whole(streamed: bool) -> None:
    """A completed response whose only words are the refusal, in either form."""
    given = FORMAT.answer(refusal(), model="demo", streamed=streamed)
    last = json.loads(sse.fields(frames(FORMAT, given.body)[-1])[1])["response"] if streamed else json.loads(given.body)
    parsed = Response.model_validate(last)
    assert (parsed.status, parsed.output_text, parsed.model) == ("completed", "", "demo")
    assert texts(FORMAT.read_response(json.dumps(last).encode(), 200).segments) == {
        (Kind.REFUSAL, "0"): refusal().message
    }


def test_errors_are_read_whatever_their_status() -> None:
    """The provider's message is text like any other."""
    document = FORMAT.read_response(b'{"error":{"message":"No such model.","type":"invalid_request_error"}}', 404)
    assert texts(document.segments) == {(Kind.ERROR, "error"): "No such model.\n"}


def test_other_media_is_read_whole() -> None:
    """Only an event stream comes in frames."""
    assert FORMAT.framer("application/json") is None
    assert FORMAT.framer("text/event-stream") is not None

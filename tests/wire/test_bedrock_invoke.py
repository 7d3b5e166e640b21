"""InvokeModel: requests and answers in every vendor's JSON, steering, refusals."""

from __future__ import annotations

import json

import pytest

from safeguards_extproc.core.text import Kind, Refusal
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import eventstream
from safeguards_extproc.wire.bedrock_invoke import BedrockInvoke
from tests.contract.wire_contract import GOLDEN, texts

FORMAT = BedrockInvoke()
NO = Refusal("policy", "Not that.", "harm", "e1")


def test_the_path_names_the_model_and_asks_for_the_stream() -> None:
    """Whatever the body says: some vendors' have members for both, which Bedrock does not heed."""
    body = b'{"messages":[],"model":"another","stream":true}'
    assert "" == FORMAT.read_request(body).model
    assert (False, True) == (
        FORMAT.read_request(body).streamed,
        BedrockInvoke(streamed=True).read_request(body).streamed,
    )


@pytest.mark.parametrize(
    ("body", "steered"),
    [
        (
            '{"anthropic_version":"x","system":"Brief.","messages":[]}',
            '{"anthropic_version":"x","system":"Brief.\\n\\nBe kind.","messages":[]}',
        ),
        (
            '{"messages":[{"role":"user","content":"x"}]}',
            '{"messages":[{"role": "system", "content": "Be kind."},{"role":"user","content":"x"}]}',
        ),
        (
            '{"schemaVersion":"messages-v1","messages":[]}',
            '{"system":[{"text":"Be kind."}],"schemaVersion":"messages-v1","messages":[]}',
        ),
        ('{"message":"x"}', '{"preamble":"Be kind.","message":"x"}'),
        ('{"message":"x","preamble":""}', '{"message":"x","preamble":"Be kind."}'),
        ('{"message":"x","preamble":"Brief."}', '{"message":"x","preamble":"Brief.\\n\\nBe kind."}'),
    ],
)
def test_steering_is_the_dialects(body: str, steered: str) -> None:
    """A system prompt, a system message, a preamble."""
    assert json.loads(steered) == json.loads(FORMAT.steer(body.encode(), "Be kind."))


@pytest.mark.parametrize(
    "body", [b'{"prompt":"x"}', b'{"inputText":"x"}', b'{"novel":"x"}', b'{"message":"x","preamble":null}']
)
def test_a_prompt_has_no_place_for_an_instruction(body: bytes) -> None:
    """Better refused than sent without it, or within what the user says."""
    with pytest.raises(MalformedBody, match="shape"):
        FORMAT.steer(body, "Be kind.")


def test_a_providers_error_is_text() -> None:
    """Error messages quote prompts."""
    assert {(Kind.ERROR, "error"): "Bad prompt: hello\n"} == texts(
        FORMAT.read_response(b'{"message":"Bad prompt: hello"}', 400).segments
    )


def test_a_model_whose_dialect_is_not_known_gets_an_error() -> None:
    """An answer in another vendor's words would read as none at all."""
    profile = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
    for streamed in (False, True):
        answer = FORMAT.answer(NO, model=profile, streamed=streamed)
        assert 400 == answer.status
        assert ("x-amzn-errortype", "ValidationException") in answer.headers


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("anthropic.claude-sonnet-4-20250514-v1:0", ("stop_reason", "refusal")),
        ("meta.llama3-8b-instruct-v1:0", ("stop_reason", "content_filtered")),
        ("amazon.nova-micro-v1:0", ("stopReason", "guardrail_intervened")),
        ("cohere.command-r-plus-v1:0", ("finish_reason", "ERROR_TOXIC")),
    ],
)
def test_an_answer_that_says_no_is_of_the_models_dialect(model: str, reason: tuple[str, str]) -> None:
    """200, with the vendor's reason."""
    answer = FORMAT.answer(NO, model=model, streamed=False)
    assert (200, "application/json") == (answer.status, dict(answer.headers)["content-type"])
    assert reason in json.loads(answer.body).items()
    assert eventstream.MEDIA == dict(FORMAT.answer(NO, model=model, streamed=True).headers)["content-type"]


def test_only_a_binary_stream_is_cut_into_frames() -> None:
    """A body in JSON, as an error is, is read whole."""
    assert FORMAT.framer("application/json") is None
    assert FORMAT.framer(eventstream.MEDIA) is not None


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"3"])
def test_a_body_that_is_no_object_is_malformed(body: bytes) -> None:
    """Requests and answers are objects."""
    for read in (FORMAT.read_request, lambda data: FORMAT.read_response(data, 200)):
        with pytest.raises(MalformedBody, match="shape"):
            read(body)


def test_embeddings_are_read() -> None:
    """What is embedded is the user's; vectors are no text; what the answer gives back is."""
    request = FORMAT.read_request((GOLDEN / "bedrock_invoke/cohere_embed.request.json").read_bytes())
    assert {(Kind.USER, "texts"): "first passage\nsecond one – longer\n"} == texts(request.segments)
    answer = FORMAT.read_response(b'{"embedding":[0.1,0.2],"inputTextTokenCount":5}', 200)
    assert ([], frozenset()) == (answer.segments, answer.unread)

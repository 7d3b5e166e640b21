"""Requests and whole answers of the Responses API."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.responses import Response
from openai.types.responses.response_create_params import ResponseCreateParamsBase

from safeguards_extproc.core.text import Document, Kind
from safeguards_extproc.wire import responses_read
from tests.contract.wire_contract import GOLDEN, texts
from tests.wire.sdk_shapes import examples
from tests.wire.test_responses_items import ALTERNATIVES, MEDIA


def recorded(name: str) -> Document:
    return responses_read.request(json.loads((GOLDEN / "openai_responses" / f"{name}.request.json").read_text()))


def missing(document: Document, said: list[str]) -> set[str]:
    text = "\n".join(segment.text for segment in document.segments)
    return {words.split()[0] for words in said if words not in text}


def test_every_member_of_a_request_is_read() -> None:
    """Built from the SDK's own parameters: no string of a request is a blind spot."""
    for body, said in examples(ResponseCreateParamsBase):
        assert missing(responses_read.request(body), said) <= MEDIA | ALTERNATIVES


def test_every_member_of_an_answer_is_read() -> None:
    """The same for the SDK's `Response`."""
    for body, said in examples(Response):
        assert missing(responses_read.response(body), said) <= MEDIA | ALTERNATIVES


def test_a_plain_question() -> None:
    """`input` may be a string."""
    document = responses_read.request({"model": "m", "input": "hello", "instructions": "Be brief.", "stream": True})
    assert texts(document.segments) == {(Kind.USER, "0"): "hello", (Kind.SYSTEM, "instructions"): "Be brief."}
    assert (document.model, document.streamed, document.unread) == ("m", True, frozenset())
    assert (document.features["messages"], document.features["stored"]) == (1, True)


@pytest.mark.parametrize(
    ("body", "unread"),
    [
        ({"previous_response_id": "resp_1"}, {"history"}),
        ({"conversation": "conv_1"}, {"history"}),
        ({"conversation": {"id": "conv_1"}}, {"history"}),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, {"history"}),
        ({"input": [{"id": "msg_1"}]}, {"history"}),
        ({"input": [{"type": None, "id": "msg_1"}]}, {"history"}),
        ({"input": [{"type": "compaction", "encrypted_content": "gAAAAA"}]}, {"history"}),
        ({"prompt": {"id": "pmpt_1"}}, {"prompt"}),
        ({"previous_response_id": None, "conversation": None, "prompt": None}, set()),
        ({"input": [{"type": "compaction_trigger"}]}, set()),
    ],
)
def test_what_the_provider_adds_is_named(body: dict[str, Any], unread: set[str]) -> None:
    """Evasion 40: history and templates that are not in the body."""
    assert responses_read.request(body).unread == unread


def test_variables_of_a_prompt_are_read() -> None:
    """They end up in the conversation."""
    document = recorded("prompt")
    assert texts(document.segments)[Kind.USER, "prompt"] == "Zürich, by the lake\nthe question\nWhen does it open?"
    assert document.unread == {"prompt", "image"}


def test_facts_for_policy() -> None:
    """An answer in the background is fetched later by GET, a stored one may be."""
    facts = recorded("history").features
    assert (facts["background"], facts["stored"], facts["prefill"]) == (True, False, False)
    prefilled = responses_read.request({"input": [{"role": "assistant", "content": "Sure, here"}]})
    assert prefilled.features["prefill"]


def test_an_answer_repeats_its_request_on_the_same_kinds() -> None:
    """Instructions and tools that come back are not the model's words."""
    tool = {"type": "function", "name": "ask", "description": "Asks."}
    document = responses_read.response({"instructions": "Be brief.", "tools": [tool], "output": []})
    assert {segment.channel[0] for segment in document.segments} == {Kind.SYSTEM, Kind.TOOLS}
    listed = responses_read.response({"instructions": [{"role": "user", "content": "hi"}], "output": []})
    assert texts(listed.segments) == {(Kind.USER, "instructions.0"): "hi"}


def test_an_error_in_an_answer_is_read() -> None:
    """A failed response says why."""
    document = responses_read.response({"error": {"code": "server_error", "message": "It broke."}, "output": []})
    assert texts(document.segments) == {(Kind.ERROR, "error"): "It broke.\n"}
    assert document.features == {"items": 0}

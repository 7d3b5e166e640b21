"""Moderations: every input is read, the verdict is numbers by category, and nothing hides in it."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from safeguards_extproc import wire
from safeguards_extproc.core.text import Answer, Edit, Kind, Refusal
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire.openai_moderations import OpenAIModerations
from safeguards_extproc.wire.refusals import JSON
from tests.contract.wire_contract import golden, texts
from tests.wire.test_sdks import Server, chat, server

__all__ = ["chat", "server"]

FORMAT = OpenAIModerations()
FIELDS = (Kind.OTHER, "fields")
NO = Refusal("policy", "Not that.", "harm", "e1")


def test_each_input_is_a_text_of_its_own() -> None:
    """A string, several, or the parts of one input."""
    body = {"model": "m", "input": ["a", {"type": "text", "text": "b"}]}
    document = FORMAT.read_request(json.dumps(body).encode())
    assert texts(document.segments) == {(Kind.USER, "0"): "a", (Kind.USER, "1"): "b"}
    assert (document.model, document.features["messages"], document.unread) == ("m", 2, frozenset())


def test_pictures_are_named_and_their_links_read() -> None:
    """Evasion 41."""
    part = {"type": "image_url", "image_url": {"url": "https://a.example/say this"}}
    document = FORMAT.read_request(json.dumps({"input": [part]}).encode())
    assert texts(document.segments) == {FIELDS: "https://a.example/say this\n"}
    assert document.unread == {"image"}


@pytest.mark.parametrize("member", [{"user": "say this"}, {"model": "say this"}, {"say this": 1}])
def test_every_member_of_a_request_is_read(member: dict[str, Any]) -> None:
    """No field is a blind spot."""
    assert texts(FORMAT.read_request(json.dumps(member).encode()).segments) == {FIELDS: "say this\n"}


def test_a_verdict_is_no_text() -> None:
    """Whatever the categories are."""
    for body in golden("openai_moderations", "response.json"):
        document = FORMAT.read_response(body, 200)
        assert (document.segments, document.model) == ([], "omni-moderation-2024-09-26")


@pytest.mark.parametrize(
    "result",
    [
        {"categories": {"say this": True}},
        {"categories": {"hate": "say this"}},
        {"category_applied_input_types": {"hate": ["say this"]}},
        {"category_applied_input_types": ["say this"]},
        {"reason": "say this"},
        "say this",
    ],
)
def test_a_verdict_is_no_blind_spot(result: object) -> None:
    """Planted: words where numbers and names are expected, in a list of results or without."""
    for results in ([result], result):
        said = texts(FORMAT.read_response(json.dumps({"results": results}).encode(), 200).segments)
        assert said == {FIELDS: "say this\n"}


def test_an_input_can_be_edited_and_not_steered() -> None:
    """There is no model to instruct."""
    body = b'{ "input": "a@b.example" }'
    assert FORMAT.edit(body, [Edit(("input",), 0, 11, "***")]) == b'{ "input": "***" }'
    with pytest.raises(MalformedBody, match="shape"):
        FORMAT.steer(body, "Be kind.")


async def test_the_sdk_raises_a_block_and_reads_a_verdict(server: Server, chat: openai.AsyncOpenAI) -> None:
    """Never a verdict of ours: an answer that says no is an error too."""
    for refused in (FORMAT.refuse(NO), FORMAT.answer(NO, model="m", streamed=False)):
        server.answer = refused
        with pytest.raises(openai.BadRequestError, match="Not that"):
            await chat.moderations.create(input="x")
    for body in golden("openai_moderations", "response.json"):
        server.answer = Answer(200, [("content-type", JSON)], body)
        assert (await chat.moderations.create(input="x")).results
    assert {wire.resolve("auto", {":method": "POST", ":path": path})[0].name for path in server.paths} == {FORMAT.name}

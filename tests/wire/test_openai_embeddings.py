"""Embeddings: every input is read, no vector is, and nothing hides where numbers are expected."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import openai
import pytest

from safeguards_extproc import wire
from safeguards_extproc.core.text import Answer, Edit, Kind, Refusal
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire.openai_embeddings import OpenAIEmbeddings
from safeguards_extproc.wire.refusals import JSON
from tests.contract.wire_contract import golden, texts
from tests.wire.test_sdks import Server, chat, server

__all__ = ["chat", "server"]

FORMAT = OpenAIEmbeddings()
FIELDS = (Kind.OTHER, "fields")
NO = Refusal("policy", "Not that.", "harm", "e1")
VECTOR = base64.b64encode(struct.pack("<3f", 0.1, -0.2, 3e9)).decode()


def answer(vector: object, **more: Any) -> bytes:
    return json.dumps({"object": "list", "data": [{"index": 0, "embedding": vector, **more}], "model": "m"}).encode()


def test_each_input_is_a_text_of_its_own() -> None:
    """And the closed sets beside are none."""
    body = {"model": "m", "input": ["a", "b"], "encoding_format": "base64", "input_type": "query", "dimensions": 8}
    document = FORMAT.read_request(json.dumps(body).encode())
    assert texts(document.segments) == {(Kind.USER, "0"): "a", (Kind.USER, "1"): "b"}
    assert (document.model, document.features["messages"]) == ("m", 2)


@pytest.mark.parametrize("value", [[1, 2], [[1, 2], [3]]])
def test_token_ids_are_named(value: object) -> None:
    """Evasion 27."""
    assert FORMAT.read_request(json.dumps({"input": value}).encode()).unread == {"token-ids"}


@pytest.mark.parametrize(
    ("member", "kind"),
    [
        ({"encoding_format": "say this"}, Kind.OTHER),
        ({"user": "say this"}, Kind.OTHER),
        ({"input": {"text": "say this"}}, Kind.USER),
        ({"messages": [{"role": "system", "content": ["say this"]}]}, Kind.SYSTEM),
    ],
)
def test_every_member_of_a_request_is_read(member: dict[str, Any], kind: Kind) -> None:
    """A value from no closed set is text; messages are those of chat."""
    ((channel, text),) = texts(FORMAT.read_request(json.dumps(member).encode()).segments).items()
    assert (channel[0], text.strip()) == (kind, "say this")


@pytest.mark.parametrize("vector", [[0.1, -2e-5], VECTOR, [[0.1], [0.2]], {"float": [0.1], "int8": [3]}, [], None])
def test_a_vector_is_no_text(vector: object) -> None:
    """As numbers or as base64 of them."""
    document = FORMAT.read_response(answer(vector), 200)
    assert (document.segments, document.model) == ([], "m")
    assert document.unread == frozenset()


@pytest.mark.parametrize(
    ("vector", "said"),
    [
        ("say this", "say this\n"),
        ("c2F5IHRoaXM=", "say this"),
        (["say this"], "say this\n"),
        ("word", "word\n"),
        ("a_b-", "a_b-\n"),
    ],
)
def test_a_vector_is_no_blind_spot(vector: object, said: str) -> None:
    """Planted: words, and base64 of words, where numbers are expected."""
    assert texts(FORMAT.read_response(answer(vector), 200).segments) == {FIELDS: said}


@pytest.mark.parametrize(
    "body", [answer([0.1], note="say this"), b'{"data":"say this"}', b'{"data":["say this"]}', b'{"note":"say this"}']
)
def test_what_stands_beside_the_vectors_is_read(body: bytes) -> None:
    """In the list and around it."""
    assert texts(FORMAT.read_response(body, 200).segments) == {FIELDS: "say this\n"}


def test_an_input_can_be_edited_and_not_steered() -> None:
    """Redaction before a text is stored as a vector; there is no model to instruct."""
    body = b'{ "input": ["mail me: a@b.example"] }'
    assert FORMAT.edit(body, [Edit(("input", 0), 9, 20, "***")]) == b'{ "input": ["mail me: ***"] }'
    with pytest.raises(MalformedBody, match="shape"):
        FORMAT.steer(body, "Be kind.")


async def test_the_sdk_raises_a_block(server: Server, chat: openai.AsyncOpenAI) -> None:
    """Once; and an answer that says no is the same error, for an empty list would be the SDK's own ValueError."""
    for refused in (FORMAT.refuse(NO), FORMAT.answer(NO, model="m", streamed=False)):
        server.answer = refused
        with pytest.raises(openai.BadRequestError, match="Not that"):
            await chat.embeddings.create(model="m", input="x")
    assert server.requests == 2
    assert {wire.resolve("auto", {":method": "POST", ":path": path})[0].name for path in server.paths} == {FORMAT.name}


async def test_recorded_vectors_are_the_sdks(server: Server, chat: openai.AsyncOpenAI) -> None:
    """It decodes the base64 that we take for numbers."""
    for body in golden("openai_embeddings", "response.json"):
        server.answer = Answer(200, [("content-type", JSON)], body)
        assert (await chat.embeddings.create(model="m", input="x")).data[0].embedding
        assert FORMAT.read_response(body, 200).segments == []

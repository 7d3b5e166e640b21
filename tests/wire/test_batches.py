"""Batches: the requests within are read, a file that is only named is not."""

from __future__ import annotations

import json

import pytest

from safeguards_extproc import wire
from safeguards_extproc.core.text import Format, Kind, Refusal
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import FORMATS
from tests.contract import wire_contract as contract

REFERENCE, INLINE = (
    (contract.GOLDEN / "batches" / f"{name}.request.json").read_bytes() for name in ("reference", "messages")
)


def at(path: str) -> Format:
    return wire.resolve("auto", {":method": "POST", ":path": path})[0]


OPENAI, ANTHROPIC = at("/v1/batches"), at("/v1/messages/batches")


def test_the_requests_of_a_batch_are_read_each_as_on_its_own() -> None:
    """Same kinds, on channels of their own; what was chosen beside them is text."""
    read = contract.texts(ANTHROPIC.read_request(INLINE).segments)
    for index, request in enumerate(json.loads(INLINE)["requests"]):
        alone = FORMATS["anthropic_messages"].read_request(
            json.dumps(request["params"], separators=(",", ":")).encode()
        )
        for (kind, name), text in contract.texts(alone.segments).items():
            assert text == read[kind, f"{index}.{name}"]
    assert "second one\n" == read[Kind.OTHER, "fields"]
    document = ANTHROPIC.read_request(INLINE)
    assert ("claude-sonnet-4-5", 2) == (document.model, document.features["requests"])
    assert {"image"} == document.unread


def test_a_file_that_is_only_named_is_not_read() -> None:
    """Policy decides: what it holds was judged when it was uploaded, or not at all."""
    document = OPENAI.read_request(REFERENCE)
    assert {"file-reference"} == document.unread
    assert {(Kind.OTHER, "fields"): "nightly run\n"} == contract.texts(document.segments)


@pytest.mark.parametrize(
    "requests", ["words", ["words"], [{"params": "words"}], [{"params": {"messages": "words"}}], {"a": "words"}]
)
def test_a_batch_of_another_shape_is_read_as_plain_text(requests: object) -> None:
    """No field is a blind spot."""
    read = contract.texts(ANTHROPIC.read_request(json.dumps({"requests": requests}).encode()).segments)
    assert "words" in "".join(read.values())


def test_a_batch_keeps_the_promises() -> None:
    """Every byte that no edit names stays; hostile bodies are read or malformed; the requests cannot all be steered."""
    for format_, body in ((OPENAI, REFERENCE), (ANTHROPIC, INLINE)):
        contract.edits_touch_only_what_they_say(format_, body, format_.read_request(body).segments)
        contract.escapes_hide_nothing(format_, body)
        contract.reading_is_total(format_, body)
        with pytest.raises(MalformedBody, match="shape"):
            format_.steer(body, "Be kind.")
        with pytest.raises(MalformedBody, match="shape"):
            format_.read_request(b"[]")
    for body in contract.golden("batches", "response.json"):
        contract.edits_touch_only_what_they_say(ANTHROPIC, body, ANTHROPIC.read_response(body, 200).segments)


def test_a_no_is_told_in_the_dialect_of_the_path() -> None:
    """As an error even where an answer was wished for."""
    no = Refusal("policy", "no", id="e1")
    for format_, dialect in ((OPENAI, FORMATS["openai_chat"]), (ANTHROPIC, FORMATS["anthropic_messages"])):
        assert dialect.refuse(no) == format_.refuse(no) == format_.answer(no, model="m", streamed=False)
        error = dialect.refuse(no).body
        assert dialect.read_response(error, 400) == format_.read_response(error, 400)
        assert type(dialect.stream()) is type(format_.stream())

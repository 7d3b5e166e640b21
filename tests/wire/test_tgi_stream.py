"""Streams of Text Generation Inference: tokens, the last event's replica, edits that reach it, and endings."""

from __future__ import annotations

import json
from typing import Any

import pytest

from safeguards_extproc.core.text import Edit, Kind, Reading, Refusal, Segment
from safeguards_extproc.wire import sse
from safeguards_extproc.wire.tgi_stream import TokenStream
from tests.contract.wire_contract import texts

NO = Refusal("policy", "Not that.", "harm", "e1")
CONTENT = (Kind.CONTENT, "0")
DETAILS = {"finish_reason": "eos_token", "generated_tokens": 2, "seed": None}


def frame(text: str, whole: str | None = None, special: bool = False, **more: Any) -> bytes:
    token = {"id": 1, "text": text, "logprob": -0.5, "special": special}
    body = {"index": 1, "token": token, "generated_text": whole, "details": DETAILS if whole else None, **more}
    return b"data:" + json.dumps(body).encode() + b"\n\n"


def data(event: bytes) -> Any:
    return json.loads(sse.fields(event)[1])


def test_the_last_event_repeats_what_was_said() -> None:
    """Law 3: the copy is no text of its own, but waits with its channel; everything closes."""
    reader = TokenStream()
    assert texts(reader.read(frame("a")).segments) == {CONTENT: "a"}
    reading = reader.read(frame("b", "ab"))
    assert [(segment.text, segment.path) for segment in reading.segments] == [
        ("b", ("token", "text")),
        ("", ("generated_text",)),
    ]
    assert (reading.closed, reading.finished) == ([CONTENT], True)


def test_a_last_event_that_says_something_else_is_read() -> None:
    """A text of its own: some servers put the prompt before it."""
    reader = TokenStream()
    reader.read(frame("a"))
    said = texts(reader.read(frame("</s>", "other", special=True)).segments)
    assert said == {(Kind.CONTENT, "0.again"): "other"}


def test_an_edit_reaches_the_copy() -> None:
    """A word that was redacted, in parts, in the tokens is gone from the whole text too, and from the guesses."""
    reader = TokenStream()
    whole = [
        frame(" bo", top_tokens=[{"id": 1, "text": " bo"}]),
        frame("mb"),
        frame("."),
        frame("</s>", " bomb.", True),
    ]
    for known in whole:
        reader.read(known)
    changes: list[list[Edit]] = [
        [Edit(("token", "text"), 1, 3, "***")],
        [Edit(("token", "text"), 0, 2, "")],
        [],
        [],
    ]
    sent = []
    for known, edits in zip(whole, changes, strict=True):
        sent.append(reader.edit(known, edits))
        reader.released(sent[-1])
    assert [data(event)["token"]["text"] for event in sent] == [" ***", "", ".", "</s>"]
    assert data(sent[-1])["generated_text"] == " ***."
    assert (data(sent[0])["top_tokens"], sent[2]) == (None, whole[2])
    assert reader.ending(NO) == b""


def test_without_edits_the_copy_stays_byte_for_byte() -> None:
    """Law 10."""
    reader = TokenStream()
    for known in (frame("a"), frame("b", "ab")):
        reader.read(known)
        assert reader.edit(known, []) == known
        reader.released(known)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"note": "say this"}, "say this\n"),
        ({"index": "say this"}, "say this\n"),
        ({"details": "say this"}, "say this\n"),
        ({"top_tokens": ["say this"]}, "say this\n"),
        ({"generated_text": {"a": "say this"}}, "say this\n"),
    ],
)
def test_an_event_has_no_blind_spot(more: dict[str, Any], expected: str) -> None:
    """Planted: words in members that mostly hold none."""
    assert expected in texts(TokenStream().read(frame("a", **more)).segments).values()


def test_guesses_are_no_text() -> None:
    """What could have stood there did not."""
    guesses = [{"id": 1, "text": "a", "logprob": -0.1, "special": False}]
    assert texts(TokenStream().read(frame("a", top_tokens=guesses)).segments) == {CONTENT: "a"}


@pytest.mark.parametrize(("event", "reason"), [(b"data:{\n\n", "syntax"), (b"data:[]\n\n", "shape"), (b":\n\n", "")])
def test_what_cannot_be_read_says_why(event: bytes, reason: str) -> None:
    """A frame is not an exception; a comment says nothing."""
    assert TokenStream().read(event) == Reading(unread=reason)


def test_the_common_case_is_one_segment() -> None:
    """And an empty token is none."""
    reader = TokenStream()
    assert reader.read(frame("a")).segments == (Segment(CONTENT, "a", ("token", "text")),)
    assert reader.read(frame("")).segments == ()


def test_the_ending_is_an_error_until_the_last_event_went() -> None:
    """The official client raises it; after the last event or the provider's own error nothing follows."""
    reader = TokenStream()
    reader.released(frame("a"))
    assert data(reader.ending(NO)) == {"error": "Not that.", "error_type": "validation"}
    reader.released(frame("b", "ab"))
    assert reader.ending(NO) == b""
    reader = TokenStream()
    error = b'data:{"error":"Request failed","error_type":"generation"}\n\n'
    assert reader.read(error).finished
    reader.released(error)
    assert reader.ending(NO) == b""

"""Frames with a vendor's chunk in base64: read strictly, edited with both sums, ended in the vendor's dialect."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.core.text import Edit, Kind, Reading, Refusal
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import bedrock, eventstream
from safeguards_extproc.wire.eventstream import Header, Type
from safeguards_extproc.wire.invoke_stream import InvokeStream, edit_body, written
from tests.contract.wire_contract import GOLDEN, chunked, texts

NO = Refusal("policy", "Not that.", "harm", "e1")
CHUNKS = [
    line for path in sorted((GOLDEN / "bedrock_invoke").glob("*.chunks")) for line in path.read_bytes().splitlines()
]
LLAMA = b'{"generation": "mail a@b.co now", "stop_reason": null}'


def payload(**members: Any) -> bytes:
    return eventstream.event("chunk", json.dumps(members).encode())


def inside(frame: bytes) -> bytes:
    data: str = json.loads(eventstream.parse(frame).payload)["bytes"]
    return base64.b64decode(data)


def test_a_redaction_changes_the_text_and_nothing_around_it() -> None:
    """In the base64, the vendor's JSON keeps its other bytes; outside, the padding stays, and the sums are right."""
    reader, frame = InvokeStream(), chunked(LLAMA)
    (segment,) = reader.read(frame).segments
    edited = reader.edit(frame, [Edit(segment.path, 5, 11, "[EMAIL]")])
    assert LLAMA.replace(b"a@b.co", b"[EMAIL]") == inside(edited)
    before, after = eventstream.parse(frame), eventstream.parse(edited)
    assert before.headers == after.headers
    assert json.loads(before.payload)["p"] == json.loads(after.payload)["p"]
    assert frame == reader.edit(frame, [])


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (chunked(LLAMA)[:-1] + b"\0", "framing"),
        (payload(bytes="!!!"), "encoding"),
        (payload(bytes=base64.b64encode(LLAMA).decode() + "\n"), "encoding"),
        (payload(bytes=base64.b64encode(b'{"a":1,"a":2}').decode()), "duplicate-key"),
        (payload(bytes=base64.b64encode(b"\xff").decode()), "encoding"),
        (payload(bytes=base64.b64encode(b"[]").decode()), "shape"),
        (payload(bytes=3), "shape"),
        (payload(), "shape"),
        (payload(bytes=base64.b64encode(LLAMA).decode(), p="a text beside it"), "shape"),
        (payload(bytes=base64.b64encode(LLAMA).decode(), more=["a text"]), "shape"),
        (eventstream.event("chunk", b"{"), "syntax"),
    ],
)
def test_what_two_clients_could_read_differently_is_not_read(frame: bytes, reason: str) -> None:
    """Lenient decoders skip what is no base64; a text beside the chunk has no place."""
    reading = InvokeStream().read(frame)
    assert (reason, []) == (reading.unread, list(reading.segments))


def test_what_stands_around_a_chunk_may_be_plain() -> None:
    """Padding, and members to come that hold no text."""
    reading = InvokeStream().read(payload(bytes=base64.b64encode(LLAMA).decode(), p="abc", seq=3, last=False))
    assert "" == reading.unread


def test_an_exception_is_read_and_is_the_last_frame() -> None:
    """The provider's error passes as it is; nothing can follow it."""
    frame = eventstream.exception("modelStreamErrorException", b'{"message":"Bad words","originalStatusCode":400}')
    reader = InvokeStream()
    reading = reader.read(frame)
    assert reading.finished
    assert {(Kind.ERROR, "error"): "Bad words\n"} == texts(reading.segments)
    assert b"[GONE] words" in reader.edit(frame, [Edit(("message",), 0, 3, "[GONE]")])
    reader.released(frame)
    assert b"" == reader.ending(NO)


def test_other_events_and_headers_are_read() -> None:
    """No place in a frame is a blind spot."""
    reader = InvokeStream()
    assert {(Kind.OTHER, "fields"): "x\n"} == texts(reader.read(eventstream.event("novel", b'{"a":"x"}')).segments)
    assert [] == list(reader.read(eventstream.event("initial-response", b"")).segments)
    headers = {**eventstream.parse(chunked(LLAMA)).headers, "x-more": (Type.STRING, "some words")}
    frame = eventstream.write(headers, eventstream.parse(chunked(LLAMA)).payload)
    segment = next(segment for segment in reader.read(frame).segments if segment.text == "some words")
    edited = reader.edit(frame, [Edit(segment.path, 0, 4, "no"), Edit(("generation",), 0, 4, "post")])
    assert (bedrock.HEADER, "no words") == (segment.path[0], eventstream.parse(edited).text("x-more"))
    assert b"post a@b.co" in inside(edited)


@pytest.mark.parametrize("kind", [None, (Type.STRING, "other"), (Type.BYTES, b"exception")])
def test_what_is_no_exception_is_a_chunk(kind: Header | None) -> None:
    """boto3 takes any message type but "exception" and "error" for an event: its text is the answer's."""
    headers: dict[str, Header] = {":event-type": (Type.STRING, "chunk"), **({":message-type": kind} if kind else {})}
    frame = eventstream.write(headers, eventstream.parse(chunked(LLAMA)).payload)
    assert "mail a@b.co now" == texts(InvokeStream().read(frame).segments)[Kind.CONTENT, "0"]


def test_a_stream_is_ended_in_the_dialect_that_it_was_read_in() -> None:
    """From the first chunk of a known shape; before one, by an exception."""
    reader = InvokeStream()
    assert "dialect" == reader.read(chunked(b'{"novel":"x"}')).unread
    assert "exception" == eventstream.parse(reader.ending(NO)).type
    reader.read(chunked(LLAMA))
    reader.released(chunked(LLAMA))
    assert "content_filtered" == json.loads(inside(reader.ending(NO)))["stop_reason"]


def test_what_repeats_an_edited_text_goes() -> None:
    """The tokens of the same answer, and no other's."""
    body = (
        b'{"generations":[{"text":"abc","token_likelihoods":[{"token":"abc"}]},{"token_likelihoods":[{"token":"d"}]}]}'
    )
    token = Edit(("generations", 0, "token_likelihoods", 0, "token"), 0, 1, "x")
    edited = json.loads(edit_body(body, [Edit(("generations", 0, "text"), 0, 3, "x"), token]))
    assert [{"text": "x", "token_likelihoods": None}, {"token_likelihoods": [{"token": "d"}]}] == edited["generations"]


def test_frames_of_ours_are_read_back() -> None:
    """With the headers that the service itself writes."""
    frame = written([{"generation": "x"}])
    assert [("x", ("generation",))] == [(s.text, s.path) for s in InvokeStream().read(frame).segments]
    assert eventstream.parse(chunked(b"{}")).headers == eventstream.parse(frame).headers


SPLICES = [b"", b"{", b'"', b",", b"\\", b"null", b"0", b"[]", b"{}", b'""', b"\xff", b"\\ud83d", b'{"text":"x"}']


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A recorded chunk with up to three pieces replaced, in a frame whose sums are right."""
    body = draw(st.sampled_from(CHUNKS))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(body)))
        body = body[:at] + draw(st.sampled_from(SPLICES)) + body[at + draw(st.integers(0, 8)) :]
    return chunked(body)


def total(frames: list[bytes], stream: type[InvokeStream]) -> None:
    """Reading, editing, releasing and ending raise nothing but MalformedBody("shape") for an edit."""
    reader = stream()
    for frame in frames:
        for segment in reader.read(frame).segments:
            reason = "shape"
            try:
                reader.edit(frame, [Edit(segment.path, 0, len(segment.text), "")])
            except MalformedBody as error:
                reason = error.reason
            assert reason == "shape"
        reader.released(frame)
        stream().released(frame)
    for frame in eventstream.Framer().push(reader.ending(NO)):
        eventstream.parse(frame)


@settings(max_examples=120, deadline=None)
@given(frames=st.lists(mutated() | st.sampled_from(CHUNKS).map(chunked), min_size=1, max_size=3))
def test_hostile_chunks_are_read_or_named(frames: list[bytes]) -> None:
    """Law 5 within the base64, which mutated frames do not reach: their sums are wrong."""
    total(frames, InvokeStream)


def test_the_law_bites() -> None:
    """Planted: a reader that trusts a chunk's shape."""

    class Trusting(InvokeStream):
        def read(self, frame: bytes) -> Reading:
            return super().read(frame) if json.loads(inside(frame))["generation"] else Reading()

    total([chunked(LLAMA)], Trusting)
    with pytest.raises(KeyError):
        total([chunked(b"{}")], Trusting)

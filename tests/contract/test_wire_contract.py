"""The contract of wire formats, run over every row of the table and declared APIs; then with planted faults."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc import wire
from safeguards_extproc.core.text import Document, Edit, Format, Framer, Reading, Refusal, StreamReader
from safeguards_extproc.wire.openai_chat import OpenAIChat
from safeguards_extproc.wire.openai_stream import ChatStream
from tests.contract import wire_contract as contract
from tests.declarations import DECLARED

FORMATS: dict[str, Format] = {**wire.FORMATS, **DECLARED}
READABLE = [name for name in FORMATS if name != "opaque"]
STREAMED = [name for name in FORMATS if name not in contract.STREAMLESS | {"batches"}]
every_format = pytest.mark.parametrize("name", FORMATS)
every_streamed = pytest.mark.parametrize("name", STREAMED)
every_readable = pytest.mark.parametrize("name", READABLE)


@every_readable
def test_every_format_has_recorded_exchanges_in_which_it_finds_text(name: str) -> None:
    """A format without examples would pass this suite unread."""
    for body in contract.golden(name, "request.json"):
        document = FORMATS[name].read_request(body)
        assert document.segments or document.unread
    wholes, streams = contract.golden(name, "response.json"), contract.streams(name)
    assert len(wholes) > 1
    if name not in contract.NO_DIALOGUE:
        assert len(streams) == (0 if name in contract.STREAMLESS else len(wholes))


@pytest.mark.parametrize("names", [*([name] for name in wire.FORMATS if name != "opaque"), list(DECLARED)])
def test_every_format_has_twenty_recorded_bodies(names: list[str]) -> None:
    """Fewer would leave parts of an API to chance; declared APIs are one format, told by policies."""
    assert sum(len(list((contract.GOLDEN / name).iterdir())) for name in names) >= 20


@pytest.mark.parametrize("name", sorted(contract.STREAMLESS))
def test_what_is_never_streamed_has_no_frames_and_no_answer_but_an_error(name: str) -> None:
    """Numbers cannot say no, and a stream of them would be one that nobody reads."""
    format_ = FORMATS[name]
    assert [None, None] == [format_.framer("text/event-stream"), format_.framer("application/json")]
    for streamed in (False, True):
        assert format_.answer(contract.refusal(), model="demo", streamed=streamed) == format_.refuse(contract.refusal())


@every_streamed
def test_frames_do_not_depend_on_chunks(name: str) -> None:
    """Law 1, on recorded streams."""
    for stream in contract.streams(name) or contract.streams("openai_chat"):
        contract.frames_do_not_depend_on_chunks(FORMATS[name], stream)


@every_readable
def test_edits_touch_only_what_they_say(name: str) -> None:
    """Law 10, on requests and answers."""
    format_ = FORMATS[name]
    for body in contract.golden(name, "request.json"):
        contract.edits_touch_only_what_they_say(format_, body, format_.read_request(body).segments)
    for body in contract.golden(name, "response.json"):
        contract.edits_touch_only_what_they_say(format_, body, format_.read_response(body, 200).segments)


@every_readable
def test_edited_frames_say_what_was_left(name: str) -> None:
    """Law 10, on streams."""
    for stream in contract.streams(name):
        contract.edited_frames_say_what_was_left(FORMATS[name], stream)


@every_readable
def test_escapes_hide_nothing(name: str) -> None:
    """Evasion 23: a body whose names and texts are all escapes reads like the plain one."""
    for body in contract.golden(name, "request.json"):
        contract.escapes_hide_nothing(FORMATS[name], body)


@pytest.mark.parametrize("name", [name for name in STREAMED if name not in contract.NO_DIALOGUE])
def test_streamed_or_not_says_the_same(name: str) -> None:
    """Law 3: the same answer has the same text on the same channels."""
    for whole, stream in zip(contract.golden(name, "response.json"), contract.streams(name), strict=True):
        contract.streamed_or_not_says_the_same(FORMATS[name], whole, stream)


@pytest.mark.long
@every_readable
def test_any_prefix_can_be_ended(name: str) -> None:
    """A stream that is broken off anywhere is a whole stream to the client."""
    for stream in contract.streams(name):
        contract.any_prefix_can_be_ended(FORMATS[name], stream)


@every_readable
def test_steering_adds_only_an_instruction(name: str) -> None:
    """The model is told one thing more; all other bytes stay."""
    for body in contract.golden(name, "request.json"):
        contract.steering_adds_only_an_instruction(FORMATS[name], body)


@every_format
def test_refusals_are_whole(name: str) -> None:
    """The same statuses and headers in every dialect."""
    contract.refusals_are_whole(FORMATS[name])


@pytest.mark.parametrize("name", [name for name in STREAMED if name != "opaque"])
@pytest.mark.parametrize("streamed", [False, True])
def test_answers_that_say_no_can_be_read_back(name: str, streamed: bool) -> None:
    """A 200 answer of ours is one that the format itself reads to the end."""
    answer = FORMATS[name].answer(contract.refusal(), model=contract.MODELS.get(name, "demo"), streamed=streamed)
    assert answer.status == 200
    if streamed:
        contract.streamed(FORMATS[name], answer.body)
    else:
        FORMATS[name].read_response(answer.body, 200)


BODIES = [
    body
    for name in READABLE
    for body in (
        *contract.golden(name, "request.json"),
        *contract.golden(name, "response.json"),
        *contract.streams(name),
    )
]
SPLICES = [
    b"",
    b"{",
    b"]",
    b'"',
    b",",
    b":",
    b"\\",
    b"null",
    b"0",
    b"[]",
    b"{}",
    b'""',
    b"\xff",
    b"\\ud83d",
    b"\r",
    b"\n\n",
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A recorded body with up to three bytes or values replaced, or cut short."""
    body = draw(st.sampled_from(BODIES))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(body)))
        body = body[:at] + draw(st.sampled_from(SPLICES)) + body[at + draw(st.integers(0, 6)) :]
    return body


@st.composite
def reshaped(draw: st.DrawFn) -> bytes:
    """A recorded JSON body in which one value is of another type."""
    value = json.loads(draw(st.sampled_from([body for body in BODIES if body.startswith(b"{")])))
    places: list[tuple[dict[str, object] | list[object], str | int]] = []
    stack: list[object] = [value]
    while stack:
        holder = stack.pop()
        if isinstance(holder, dict):
            places += [(holder, key) for key in holder]
            stack += holder.values()
        elif isinstance(holder, list):
            places += [(holder, index) for index in range(len(holder))]
            stack += holder
    holder, step = draw(st.sampled_from(places))
    other = draw(st.sampled_from([None, True, 3, 1.5, "text", [], ["text"], {}, {"text": "x"}, [[1]], [None]]))
    holder[step] = other  # type: ignore[index]
    body = json.dumps(value).encode()
    return body if draw(st.booleans()) else b"data: " + body + b"\n\n"


@pytest.mark.long
@settings(max_examples=60, deadline=None)
@given(body=mutated() | reshaped())
def test_reading_is_total(body: bytes) -> None:
    """Law 5: hostile input is MalformedBody or is read, in every format; nothing else is ever raised."""
    for format_ in FORMATS.values():
        contract.reading_is_total(format_, body)


class SplitsAtChunks:
    """A framer that forgets what a chunk left over."""

    held = 0

    def push(self, data: bytes) -> list[bytes]:
        return [data]

    def finish(self) -> bytes:
        return b""


class Faulty(OpenAIChat):
    """A format in which one promise at a time is broken."""

    def __init__(self, fault: str) -> None:
        self.fault = fault

    def framer(self, media: str) -> Framer | None:  # type: ignore[override]
        return SplitsAtChunks() if self.fault == "framer" else super().framer(media)

    def read_request(self, body: bytes) -> Document:
        if self.fault == "total":
            return Document([], model=json.loads(body)["messages"])
        if self.fault == "escapes":
            return super().read_request(body.replace(b"\\u0065", b""))
        return super().read_request(body)

    def edit(self, body: bytes, edits: Sequence[Edit]) -> bytes:
        edited = super().edit(body, edits)
        return json.dumps(json.loads(edited)).encode() if self.fault == "edit" else edited

    def steer(self, body: bytes, instruction: str) -> bytes:
        return body if self.fault == "steer" else super().steer(body, instruction)

    def stream(self) -> StreamReader:  # type: ignore[override]
        return FaultyStream(self.fault)


class FaultyStream(ChatStream):
    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault

    def read(self, frame: bytes) -> Reading:
        reading = super().read(frame)
        if self.fault == "parity":
            reading.segments = [segment for segment in reading.segments if segment.channel[1] != "1"]
        return reading

    def edit(self, frame: bytes, edits: Sequence[Edit]) -> bytes:
        return frame if self.fault == "frame" else super().edit(frame, edits)

    def ending(self, refusal: Refusal) -> bytes:
        return b"" if self.fault == "ending" else super().ending(refusal)


REQUEST = contract.recorded("openai_chat", "choices.request.json")
WHOLE = contract.recorded("openai_chat", "choices.response.json")
STREAM = contract.recorded("openai_chat", "choices.response.sse")

CHECKS: dict[str, Callable[[Format], None]] = {
    "framer": lambda f: contract.frames_do_not_depend_on_chunks(f, STREAM),
    "total": lambda f: contract.reading_is_total(f, b"{}"),
    "escapes": lambda f: contract.escapes_hide_nothing(f, REQUEST),
    "edit": lambda f: contract.edits_touch_only_what_they_say(f, REQUEST, f.read_request(REQUEST).segments),
    "frame": lambda f: contract.edited_frames_say_what_was_left(f, STREAM),
    "parity": lambda f: contract.streamed_or_not_says_the_same(f, WHOLE, STREAM),
    "ending": lambda f: contract.any_prefix_can_be_ended(f, STREAM),
    "steer": lambda f: contract.steering_adds_only_an_instruction(f, REQUEST),
}


@pytest.mark.parametrize("fault", CHECKS)
@pytest.mark.interpreted
def test_each_promise_bites(fault: str) -> None:
    """A format that breaks one promise fails that check, and passes it without the fault."""
    CHECKS[fault](Faulty("none"))
    with pytest.raises((AssertionError, KeyError)):
        CHECKS[fault](Faulty(fault))

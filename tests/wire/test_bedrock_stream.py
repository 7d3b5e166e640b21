"""A streamed Converse answer: what each frame says, and what a client sees of one that is broken off."""

from __future__ import annotations

import json
import timeit
from functools import partial
from typing import Any

import pytest

from safeguards_extproc.core.text import Edit, Kind, Reading, Refusal
from safeguards_extproc.wire.bedrock_stream import ConverseStream
from safeguards_extproc.wire.eventstream import Framer, Header, Type, event, exception, parse, with_payload, write

SLOW = b'{"message":"slow down"}'
NO = Refusal("policy", "Not that.", "harm", "e1")


def frame(name: str, **body: Any) -> bytes:
    return event(name, json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode())


def delta(index: int = 0, **parts: Any) -> bytes:
    return frame("contentBlockDelta", contentBlockIndex=index, delta=parts, p="abcdef")


def call(index: int = 0) -> bytes:
    return frame("contentBlockStart", contentBlockIndex=index, start={"toolUse": {"toolUseId": "t", "name": "mail"}})


def stop(index: int = 0) -> bytes:
    return frame("contentBlockStop", contentBlockIndex=index)


START = frame("messageStart", role="assistant")
END = frame("messageStop", stopReason="end_turn")
LAST = frame("metadata", usage={"inputTokens": 1}, metrics={"latencyMs": 1})


def said(reading: Reading) -> list[tuple[Kind, str, str]]:
    return [(segment.channel[0], segment.channel[1], segment.text) for segment in reading.segments]


def ended(*released: bytes, refusal: Refusal = NO) -> list[tuple[str, dict[str, Any]]]:
    """The frames that follow when these have gone to the client."""
    reader = ConverseStream()
    for each in released:
        reader.read(each)
        reader.released(each)
    framer = Framer()
    frames = framer.push(reader.ending(refusal))
    assert framer.held == 0
    return [(message.name, json.loads(message.payload)) for message in map(parse, frames)]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (START, []),
        (delta(text="Hi"), [(Kind.CONTENT, "0", "Hi")]),
        (delta(text=""), []),
        (delta(1, reasoningContent={"text": "Hm"}), [(Kind.REASONING, "0", "Hm")]),
        (delta(1, reasoningContent={"signature": "c2ln"}), []),
        (call(2), [(Kind.TOOL_CALL, "0.2", "mail"), (Kind.TOOL_CALL, "0.2", "\n")]),
        (delta(2, toolUse={"input": '{"to'}), [(Kind.TOOL_CALL, "0.2", '{"to')]),
        (delta(2, toolResult=[{"text": "ran"}]), [(Kind.TOOL, "0.2", "ran")]),
        (delta(citation={"title": "A b"}), [(Kind.OTHER, "0", "A b"), (Kind.OTHER, "0", "\n")]),
        (delta(newPart={"words": "a b"}), [(Kind.CONTENT, "0", "a b"), (Kind.CONTENT, "0", "\n")]),
        (delta(text="Hi", more="a b"), [(Kind.CONTENT, "0", part) for part in ("Hi", "a b", "\n")]),
        (frame("newEvent", words="a b"), [(Kind.OTHER, "fields", "a b"), (Kind.OTHER, "fields", "\n")]),
        (frame("messageStop", stopReason="stop it"), [(Kind.OTHER, "fields", "stop it"), (Kind.OTHER, "fields", "\n")]),
        (exception("throttlingException", SLOW), [(Kind.ERROR, "error", "slow down"), (Kind.ERROR, "error", "\n")]),
        (event("ping", b""), []),
    ],
)  # fmt: skip
def test_what_a_frame_says(raw: bytes, expected: list[tuple[Kind, str, str]]) -> None:
    """Known events, new ones, and errors: each text on its channel."""
    reading = ConverseStream().read(raw)
    assert (expected, "") == (said(reading), reading.unread)


def test_padding_that_is_no_padding_is_read() -> None:
    """AWS pads events with "p" so that their length tells nothing; words in it are text like any other."""
    raw = frame("contentBlockDelta", contentBlockIndex=0, delta={"text": "Hi"}, p="meet at noon")
    assert [(Kind.CONTENT, "0", "Hi"), (Kind.OTHER, "fields", "meet at noon")] == said(ConverseStream().read(raw))[:2]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (START[:-1], "framing"),
        (START[:-1] + bytes((START[-1] ^ 1,)), "framing"),
        (event("contentBlockDelta", b"{"), "syntax"),
        (event("contentBlockDelta", b'{"delta":{},"delta":{"text":"x"}}'), "duplicate-key"),
        (event("contentBlockDelta", b'{"delta":{"text":"\\ud800"}}'), "surrogate"),
        (event("contentBlockDelta", b"[]"), "shape"),
        (delta(image={"source": {"bytes": "AAAA"}}), "image"),
        (write({":message-type": (Type.STRING, "event"), "x": (Type.BYTES, b"words")}, b"{}"), "headers"),
    ],
)
def test_what_cannot_be_read_is_said(raw: bytes, reason: str) -> None:
    """Law 6: wrong sums, JSON of two readings, media, headers of bytes."""
    assert reason == ConverseStream().read(raw).unread


def test_a_frame_is_read_by_its_event_type_whatever_else_its_headers_say() -> None:
    """Evasion 34: headers in another order, more of them, a type that is no string."""
    payload = b'{"contentBlockIndex":0,"delta":{"text":"Hi there"}}'
    usual: list[tuple[str, Header]] = [
        (":message-type", (Type.STRING, "event")),
        (":event-type", (Type.STRING, "contentBlockDelta")),
        ("x", (Type.STRING, "a b")),
    ]
    expected = [(Kind.OTHER, "fields", "a b"), (Kind.OTHER, "fields", "\n"), (Kind.CONTENT, "0", "Hi there")]
    assert expected == said(ConverseStream().read(write(dict(usual), payload)))
    assert (Kind.OTHER, "fields", "Hi there") in said(ConverseStream().read(write(dict(usual[:1]), payload)))


@pytest.mark.parametrize("kind", [None, (Type.STRING, "other"), (Type.BYTES, b"exception")])
def test_what_is_no_exception_is_an_event(kind: Header | None) -> None:
    """boto3 takes any message type but "exception" and "error" for an event, and so do we: its text is the answer's."""
    headers: dict[str, Header] = {":event-type": (Type.STRING, "contentBlockDelta")}
    raw = write({**headers, **({":message-type": kind} if kind else {})}, b'{"delta":{"text":"Hi there"}}')
    assert (Kind.CONTENT, "0", "Hi there") in said(ConverseStream().read(raw))


def test_blocks_close_their_calls_and_the_end_closes_all() -> None:
    """A call's text is whole when its block stops; metadata is the last event."""
    reader = ConverseStream()
    reader.read(delta(text="Hi"))
    reader.read(call(1))
    assert [(Kind.TOOL_CALL, "0.1")] == list(reader.read(stop(1)).closed)
    finished = reader.read(END)
    assert ([(Kind.CONTENT, "0")], False) == (list(finished.closed), finished.finished)
    assert reader.read(LAST).finished


def test_an_exception_ends_a_stream() -> None:
    """Nothing follows it; the SDK has raised."""
    failed = exception("modelStreamErrorException", b'{"message":"It broke"}')
    reader = ConverseStream()
    reader.read(delta(text="Hi"))
    reading = reader.read(failed)
    assert reading.finished
    assert (Kind.CONTENT, "0") in reading.closed
    assert [] == ended(START, delta(text="Hi"), failed)
    assert [] == ended(START, exception("throttlingException", b""))


def test_redaction_leaves_headers_and_padding() -> None:
    """Law 10: only the text, the lengths and the sums change."""
    raw = delta(text="call Zoë now")
    edited = ConverseStream().edit(raw, [Edit(("delta", "text"), 5, 8, "[name]")])
    assert with_payload(raw, parse(raw).payload.replace("Zoë".encode(), b"[name]")) == edited
    assert raw == ConverseStream().edit(raw, [])


def test_a_stream_of_which_nothing_left_is_a_whole_answer() -> None:
    """The words of the refusal are the answer's text, as a guardrail of Bedrock's own would have it."""
    names = [name for name, _ in ended()]
    assert ["messageStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"] == names
    assert {"text": "Not that."} == ended()[1][1]["delta"]


def test_open_blocks_stop_and_then_the_message() -> None:
    """What the client saw begin ends; no words are put in the model's mouth, the reason stands beside."""
    frames = ended(START, delta(text="Hi"), stop(), delta(1, text="and"), delta(1, text=" so"))
    stopped, last, _ = frames
    assert ("contentBlockStop", {"contentBlockIndex": 1}) == stopped
    assert ("messageStop", "guardrail_intervened") == (last[0], last[1]["stopReason"])
    assert {"message": "Not that.", "category": "harm", "id": "e1"} == last[1]["additionalModelResponseFields"][
        "refusal"
    ]


def test_a_late_stop_is_told_after_the_messages_own() -> None:
    """In `follow`, a verdict may come behind messageStop; behind metadata there is nothing to add."""
    assert ["messageStop", "metadata"] == [name for name, _ in ended(START, END)]
    assert [] == ended(START, END, LAST)


@pytest.mark.parametrize(
    "begun",
    [
        (call(),),
        (call(), delta(toolUse={"input": '{"to":"a"'})),
        (delta(toolUse={"input": "{"}),),
        (delta(text="x"), delta(toolUse={"input": "{"})),
        (call(), delta(text="x")),
        (call(12), delta(1, text="x")),
    ],
)
def test_half_a_call_is_never_closed(begun: tuple[bytes, ...]) -> None:
    """Some applications run what a block held when it stopped: an exception, on which every SDK raises, ends it."""
    assert [("validationException", {"message": "Not that."})] == ended(START, *begun)
    assert [("throttlingException", {"message": "Wait."})] == ended(
        START, *begun, refusal=Refusal("throttled", "Wait.")
    )


def test_a_whole_call_that_was_cleared_does_not_stand_in_the_way() -> None:
    """It has its verdict: the message ends as refused, and nothing runs on another stop reason than tool_use."""
    assert ["messageStop", "metadata"] == [
        name for name, _ in ended(START, call(), delta(toolUse={"input": "{}"}), stop())
    ]


def test_a_reader_that_closes_half_a_call_fails() -> None:
    """Planted: closing every open block alike is what the promise forbids."""

    class Careless(ConverseStream):
        def released(self, frame: bytes) -> None:
            super().released(frame)
            self._open = dict.fromkeys(self._open, False)

    reader = Careless()
    for each in (START, call()):
        reader.released(each)
    assert ["contentBlockStop", "messageStop", "metadata"] == [
        parse(each).name for each in Framer().push(reader.ending(NO))
    ]


def test_a_text_delta_is_cheap() -> None:
    """A token costs a few microseconds to read and to let go; a wide bound, as machines differ."""
    raw, reader = delta(text=" token"), ConverseStream()
    reader.released(raw)
    for step in (reader.read, reader.released):
        each = min(timeit.repeat(partial(step, raw), number=500, repeat=5)) / 500
        assert each < 50e-6

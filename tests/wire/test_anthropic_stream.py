"""A streamed message: what each event says, what closes, and how it ends early."""

from __future__ import annotations

import json
from typing import Any

import pytest

from safeguards_extproc.core.text import Edit, Kind, Refusal, Segment
from safeguards_extproc.wire import sse
from safeguards_extproc.wire.anthropic_stream import MessageStream
from tests.contract.wire_contract import golden, texts

NO = Refusal("policy", "Not that.", "harm", "e1")
START = {
    "id": "msg_7",
    "type": "message",
    "role": "assistant",
    "model": "demo",
    "content": [],
    "usage": {"output_tokens": 1},
}


def frame(type_: str, **members: Any) -> bytes:
    return f"event: {type_}\ndata: {json.dumps({'type': type_, **members})}\n\n".encode()


def delta(index: int, **members: Any) -> bytes:
    return frame("content_block_delta", index=index, delta=members)


def opened(index: int, **block: Any) -> bytes:
    return frame("content_block_start", index=index, content_block=block)


def text(index: int, words: str) -> bytes:
    return delta(index, type="text_delta", text=words)


BEGIN = frame("message_start", message=START)
TEXT = opened(0, type="text", text="")


def events(stream: bytes) -> list[dict[str, Any]]:
    found = [sse.fields(event) for event in sse.Framer().push(stream)]
    bodies = [json.loads(data) for _, data in found]
    assert [name for name, _ in found] == [body["type"] for body in bodies]
    return bodies


@pytest.mark.parametrize(
    ("data", "channel", "expected"),
    [
        (text(0, "x"), (Kind.CONTENT, "0"), "x"),
        (delta(3, type="thinking_delta", thinking="x"), (Kind.REASONING, "0"), "x"),
        (delta(3, type="input_json_delta", partial_json='{"a'), (Kind.TOOL_CALL, "0.3"), '{"a'),
        (delta(3, type="citations_delta", citation={"cited_text": "x"}), (Kind.OTHER, "0"), "x\n"),
        (delta(3, type="new_delta", words="x"), (Kind.CONTENT, "0"), "x\n"),
        (opened(3, type="tool_use", id="t", name="f", input={}), (Kind.TOOL_CALL, "0.3"), "f\n"),
        (opened(3, type="tool_use", id="t", name="f", input={"a": 1}), (Kind.TOOL_CALL, "0.3"), 'f\n{"a": 1}'),
        (opened(3, type="web_search_tool_result", content=[{"title": "x"}]), (Kind.TOOL, "0.3"), "x\n"),
        (opened(0, type="text", text="x"), (Kind.CONTENT, "0"), "x"),
        (
            frame("message_start", message={**START, "content": [{"type": "text", "text": "x"}]}),
            (Kind.CONTENT, "0"),
            "x",
        ),
        (frame("message_delta", delta={"stop_sequence": "x"}), (Kind.OTHER, "fields"), "x\n"),
        (frame("error", error={"type": "overloaded_error", "message": "x"}), (Kind.ERROR, "error"), "x\n"),
        (frame("invented", words="x"), (Kind.OTHER, "fields"), "x\n"),
        (frame("content_block_delta", index=0, delta="x"), (Kind.CONTENT, "0"), "x\n"),
    ],
)
def test_every_event_is_read(data: bytes, channel: tuple[Kind, str], expected: str) -> None:
    """Evasion 33: text, thinking, tool arguments, citations, errors, and events of no API."""
    assert texts(MessageStream().read(data).segments) == {channel: expected}


@pytest.mark.parametrize(
    "data", [b": ping\n\n", frame("ping"), BEGIN, TEXT, text(0, ""), delta(0, type="signature_delta", signature="a b")]
)
def test_events_without_text_say_nothing(data: bytes) -> None:
    """Pings, beginnings and signatures."""
    reading = MessageStream().read(data)
    assert (list(reading.segments), list(reading.closed), reading.finished, reading.unread) == ([], [], False, "")


@pytest.mark.parametrize(("data", "reason"), [(b"{", "syntax"), (b"3", "shape"), (b"[DONE]", "syntax")])
def test_what_cannot_be_read_says_why(data: bytes, reason: str) -> None:
    """Another dialect's mark is nothing here."""
    assert MessageStream().read(b"data: " + data + b"\n\n").unread == reason


def test_a_call_closes_with_its_block_and_text_with_the_message() -> None:
    """A call can have its verdict at once; text goes on in later blocks."""
    reader = MessageStream()
    for data in (BEGIN, TEXT, text(0, "x"), opened(1, type="tool_use", name="f", input={})):
        reader.read(data)
    assert reader.read(frame("content_block_stop", index=0)).closed == []
    assert reader.read(frame("content_block_stop", index=1)).closed == [(Kind.TOOL_CALL, "0.1")]
    assert reader.read(frame("message_delta", delta={"stop_reason": "end_turn"})).closed == [(Kind.CONTENT, "0")]
    assert reader.read(frame("message_stop")).finished


def test_an_edited_frame_keeps_its_shape() -> None:
    """Only the delta's text changes."""
    data = text(0, "a@b.co")
    assert MessageStream().edit(data, [Edit(("delta", "text"), 0, 6, "[EMAIL]")]) == data.replace(b"a@b.co", b"[EMAIL]")


def released(*frames: bytes) -> MessageStream:
    """A reader of which the client has seen `frames`, while a further block was read."""
    reader = MessageStream()
    for data in (*frames, opened(9, type="text", text="")):
        reader.read(data)
    for data in frames:
        reader.released(data)
    return reader


REFUSED = {
    "stop_reason": "refusal",
    "stop_sequence": None,
    "stop_details": {"type": "refusal", "category": "harm", "explanation": "Not that."},
}


def test_an_ending_stops_what_the_client_saw_opened() -> None:
    """Block 1 is open, block 0 was stopped, block 9 was held back."""
    reader = released(BEGIN, TEXT, text(0, "x"), frame("content_block_stop", index=0), opened(1, type="text", text=""))
    assert events(reader.ending(NO)) == [
        {"type": "content_block_stop", "index": 1},
        {"type": "message_delta", "delta": REFUSED, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ]


def test_an_ending_before_anything_was_seen_begins_the_message() -> None:
    """The SDK fails on a stream without message_start; id and model are the upstream's where it gave them."""
    reader = MessageStream()
    start, last, stop = events(reader.ending(NO))
    assert (start["message"]["id"], start["message"]["model"], stop["type"]) == ("msg_e1", "", "message_stop")
    reader.read(BEGIN)
    start, last, stop = events(reader.ending(NO))
    assert (start["message"]["id"], start["message"]["model"]) == ("msg_7", "demo")
    assert last["delta"] == REFUSED


def test_after_the_last_event_nothing_follows() -> None:
    """A message that has ended stays ended."""
    for stream in golden("anthropic_messages", "response.sse"):
        assert released(*sse.Framer().push(stream)).ending(NO) == b""


def test_usage_is_the_last_that_the_client_saw() -> None:
    """Tokens that were paid for stay counted."""
    seen = (BEGIN, frame("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 25}))
    assert events(released(*seen).ending(NO))[0]["usage"] == {"output_tokens": 25}


def test_every_prefix_closes_each_block_once() -> None:
    """The state machine of the client: start, blocks opened and stopped in pairs, delta, stop."""
    for stream in golden("anthropic_messages", "response.sse"):
        frames = sse.Framer().push(stream)
        for count in range(len(frames)):
            reader, openings = released(*frames[:count]), []
            for body in events(b"".join(frames[:count]) + reader.ending(NO)):
                match body:
                    case {"type": "content_block_start", "index": index}:
                        openings.append(index)
                    case {"type": "content_block_stop", "index": index}:
                        openings.remove(index)
                    case {"type": "message_stop"}:
                        assert openings == []
            assert body == {"type": "message_stop"}


def test_a_block_that_begins_again_does_not_part_its_arguments() -> None:
    """A client joins the pieces of a call by its index, whatever stands between them."""
    reader = MessageStream()
    said: list[Segment] = []
    begin = opened(1, type="tool_use", id="t", name="shell", input={})
    for each in (begin, delta(1, type="input_json_delta", partial_json='{"cmd": "rm'), begin):
        said += reader.read(each).segments
    reading = reader.read(delta(1, type="input_json_delta", partial_json=' -rf /"}'))
    expected = {(Kind.TOOL_CALL, "0.1"): 'shell\n{"cmd": "rm -rf /"}', (Kind.TOOL_CALL, "0.1.aside"): "shell\n"}
    assert expected == texts([*said, *reading.segments])
    closed = reader.read(frame("content_block_stop", index=1)).closed
    assert [(Kind.TOOL_CALL, "0.1"), (Kind.TOOL_CALL, "0.1.aside")] == closed


def test_media_is_named_as_in_a_whole_answer() -> None:
    """Law 3: policy is asked of it either way."""
    block = {"type": "code_execution_tool_result", "content": {"content": [{"type": "image", "file_id": "file_1"}]}}
    assert "file" == MessageStream().read(opened(0, **block)).unread


@pytest.mark.parametrize("members", [{"type": "in other words"}, {"index": "in other words"}])
def test_nothing_hides_in_an_event_beside_its_delta(members: dict[str, str]) -> None:
    """A type that is no identifier, an index that is no number: texts like any other."""
    body = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}, **members}
    said = texts(MessageStream().read(b"data: " + json.dumps(body).encode() + b"\n\n").segments)
    assert "in other words\n" in "".join(said.values())

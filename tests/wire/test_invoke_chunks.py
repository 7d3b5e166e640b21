"""Chunks of a streamed answer per dialect: what closes, and what breaks it off."""

from __future__ import annotations

import json
from typing import Any

import pytest

from safeguards_extproc.core.text import Kind, Refusal
from safeguards_extproc.wire import eventstream
from safeguards_extproc.wire.invoke_chunks import ChatChunks, Chunks, FlatChunks, NovaChunks, chunks, nova
from safeguards_extproc.wire.invoke_dialects import METRICS, Dialect

NO = Refusal("policy", "Not that.", "harm", "e1")
END = {METRICS: {"outputTokenCount": 1}}


def read(reader: Chunks, body: dict[str, Any]) -> Any:
    return reader.read(body, json.dumps(body).encode())


def released(reader: Chunks, body: dict[str, Any]) -> None:
    reader.released(json.dumps(body).encode())


def call(arguments: str, **members: Any) -> dict[str, Any]:
    function = {"index": 0, "function": {"arguments": arguments}}
    return {"choices": [{"index": 0, "delta": {"tool_calls": [function]}, **members}]}


def said(text: str, index: int = 0, member: str = "delta", **members: Any) -> dict[str, Any]:
    return {"id": "c1", "model": "demo", "choices": [{"index": index, member: {"content": text}, **members}]}


def test_bedrocks_metrics_end_every_flat_answer() -> None:
    """A reason to stop may come before others have finished; the metrics come last."""
    reader = FlatChunks(Dialect.COMMAND)
    assert not read(reader, {"text": "x", "finish_reason": "COMPLETE", "index": 0}).finished
    reading = read(reader, {"text": "y", "index": 1, **END})
    assert reading.finished
    assert [(Kind.CONTENT, "0"), (Kind.CONTENT, "1")] == list(reading.closed)


def test_words_of_ours_never_stand_in_the_models_text() -> None:
    """At the beginning they are the answer; in the middle they would read as the model's."""
    reader = FlatChunks(Dialect.LLAMA)
    first = reader.ending(NO) or []
    released(reader, {"generation": "You take"})
    middle = reader.ending(NO) or []
    released(reader, {"generation": "", "stop_reason": "stop", **END})
    assert [["Not that."], [""]] == [[chunk["generation"] for chunk in chunks_] for chunks_ in (first, middle)]
    assert [] == reader.ending(NO)


def test_a_choice_ends_with_its_reason_and_lets_its_calls_go() -> None:
    """A call is held whole until then; the reason has one of two names."""
    for reason in ("finish_reason", "stop_reason"):
        reader = ChatChunks()
        assert not read(reader, call('{"a"')).closed
        assert [(Kind.TOOL_CALL, "0.0")] == list(read(reader, call(":1}", **{reason: "tool_calls"})).closed)


def test_only_choices_that_were_begun_are_broken_off() -> None:
    """With what the stream says of itself, and in the member that it uses."""
    reader = ChatChunks()
    for body in (said("a"), said("b", 1, "message"), said("", 0, finish_reason="stop")):
        read(reader, body)
        released(reader, body)
    (chunk,) = reader.ending(NO) or []
    assert ("c1", "demo", [1]) == (chunk["id"], chunk["model"], [choice["index"] for choice in chunk["choices"]])
    assert "Not that." == chunk["choices"][0]["message"]["refusal"]
    released(reader, {"choices": [], **END})
    assert [] == reader.ending(NO)


def test_novas_events_are_read_as_converses() -> None:
    """Paths lead through the event's name; what stands beside the event is read too."""
    reader = NovaChunks()
    body = {"contentBlockDelta": {"delta": {"text": "x"}, "contentBlockIndex": 0}, "novel": "some words"}
    reading = read(reader, body)
    assert [
        ((Kind.CONTENT, "0"), "x", ("contentBlockDelta", "delta", "text")),
        ((Kind.OTHER, "fields"), "some words", ("novel",)),
    ] == [(segment.channel, segment.text, segment.path) for segment in reading.segments if segment.path]


def test_a_begun_call_can_only_be_ended_by_an_exception() -> None:
    """Some applications run what a block held when it stopped."""
    reader = NovaChunks()
    released(
        reader, {"contentBlockStart": {"start": {"toolUse": {"name": "f", "toolUseId": "t"}}, "contentBlockIndex": 0}}
    )
    assert reader.ending(NO) is None
    assert nova(eventstream.exception("validationException", b"{}")) is None


@pytest.mark.parametrize(
    ("dialect", "streams"), [(dialect, dialect not in ("embedding", "image")) for dialect in Dialect]
)
def test_every_dialect_that_streams_has_a_reader(dialect: Dialect, streams: bool) -> None:
    """Vectors and pictures do not stream; what nobody knows has no reader."""
    assert streams == (chunks(dialect) is not None)
    assert chunks(None) is None


@pytest.mark.parametrize("body", [{"choices": [3, None, "x"]}, {"choices": {"a": 1}}, {"choices": [{"index": "x"}]}])
def test_choices_of_another_shape_are_no_error(body: dict[str, Any]) -> None:
    """Hostile input is read or named, never raised."""
    reader = ChatChunks()
    read(reader, body)
    released(reader, body)
    assert reader.ending(NO)

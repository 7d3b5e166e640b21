"""The family of events: every type that the official SDK knows, and where in the answer it stands."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.responses import ResponseStreamEvent

from safeguards_extproc.core.text import Kind, Path
from safeguards_extproc.wire import responses_events
from tests.wire.sdk_shapes import by_type, examples
from tests.wire.test_responses_items import ALTERNATIVES, MEDIA

EVENTS = dict(by_type(ResponseStreamEvent))
UNREAD = {"partial_image_b64", "obfuscation"}
"""Media, and padding."""


@pytest.mark.parametrize("type_", EVENTS)
def test_every_type_of_event_is_read(type_: str) -> None:
    """Whatever stands in a string of an event is found."""
    for body, said in examples(EVENTS[type_]):
        known = responses_events.read(body)
        text = "\n".join(segment.text for segment in known.leaves.segments)
        missing = {words.split()[0] for words in said if words not in text}
        allowed = MEDIA | ALTERNATIVES | UNREAD | ({"delta"} if type_ == "response.audio.delta" else set())
        assert missing <= allowed


def test_an_event_that_no_table_knows_is_read() -> None:
    """A delta of a kind that is new is text all the same."""
    known = responses_events.read({"type": "response.song.delta", "delta": "la la la", "output_index": 0})
    assert [segment.text for segment in known.leaves.segments] == ["la la la", "\n"]


@pytest.mark.parametrize(
    ("body", "kind", "place"),
    [
        (
            {"type": "response.output_text.delta", "output_index": 2, "content_index": 1, "delta": "x"},
            Kind.CONTENT,
            ("output", 2, "content", 1, "text"),
        ),
        (
            {"type": "response.output_text.done", "output_index": 2, "content_index": 1, "text": "x"},
            Kind.CONTENT,
            ("output", 2, "content", 1, "text"),
        ),
        (
            {
                "type": "response.content_part.done",
                "output_index": 2,
                "content_index": 1,
                "part": {"type": "output_text", "text": "x"},
            },
            Kind.CONTENT,
            ("output", 2, "content", 1, "text"),
        ),
        (
            {
                "type": "response.output_item.done",
                "output_index": 2,
                "item": {"type": "message", "content": [{"text": ""}, {"text": "x"}]},
            },
            Kind.CONTENT,
            ("output", 2, "content", 1, "text"),
        ),
        (
            {
                "type": "response.completed",
                "response": {"output": [{}, {}, {"content": [{}, {"text": "x"}]}]},
            },
            Kind.CONTENT,
            ("output", 2, "content", 1, "text"),
        ),
        (
            {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 1, "delta": "x"},
            Kind.REASONING,
            ("output", 0, "summary", 1, "text"),
        ),
        (
            {"type": "response.function_call_arguments.done", "output_index": 1, "arguments": "x"},
            Kind.TOOL_CALL,
            ("output", 1, "arguments"),
        ),
        (
            {"type": "response.shell_call_command.delta", "output_index": 1, "command_index": 2, "delta": "x"},
            Kind.TOOL_CALL,
            ("output", 1, "action", "commands", 2),
        ),
        (
            {
                "type": "response.shell_call_output_content.delta",
                "output_index": 1,
                "command_index": 2,
                "delta": {"stdout": "x"},
            },
            Kind.TOOL,
            ("output", 1, "output", 2, "stdout"),
        ),
    ],
)
def test_events_say_the_same_of_the_same_place(body: dict[str, Any], kind: Kind, place: Path) -> None:
    """A text has one place, whichever event brings or repeats it."""
    (located,) = list(responses_events.read(body).located())
    segment, where = located
    assert (segment.channel[0], segment.text, where) == (kind, "x", place)


def test_a_call_ends_with_its_arguments() -> None:
    """It is held whole, so its end is told as early as it is known."""
    done = {"type": "response.function_call_arguments.done", "output_index": 1, "arguments": "{}"}
    assert responses_events.read(done).ends == (Kind.TOOL_CALL, "1")
    assert responses_events.read({"type": "response.output_item.done", "output_index": 4, "item": {}}).item == 4


def test_media_in_a_stream_is_named() -> None:
    """As in a whole answer."""
    image = {"type": "response.image_generation_call.partial_image", "partial_image_b64": "iVBORw0KGgo="}
    assert responses_events.read(image).leaves.unread == {"image"}
    assert responses_events.read({"type": "response.audio.delta", "delta": "UklGRg=="}).leaves.unread == {"audio"}


def test_an_error_event_is_an_error() -> None:
    """Its message is read, its code is none."""
    said = responses_events.read({"type": "error", "code": "server_error", "message": "It broke.", "param": None})
    assert [(segment.channel[0], segment.text) for segment in said.leaves.segments if segment.path] == [
        (Kind.ERROR, "It broke.")
    ]

"""What a client has seen of a streamed response, and how it ends there."""

from __future__ import annotations

import json
from typing import Any

from safeguards_extproc.core.text import Path, Refusal
from safeguards_extproc.wire import sse
from safeguards_extproc.wire.responses_ending import Seen
from safeguards_extproc.wire.responses_stream import ResponseStream
from tests.contract.wire_contract import frames, recorded, refusal
from tests.wire.test_responses_stream import FORMAT, answer, event


def bodies(stream: bytes) -> list[dict[str, Any]]:
    return [json.loads(sse.fields(frame)[1]) for frame in frames(FORMAT, stream)]


def ended(stream: list[bytes], count: int, refused: Refusal | None = None) -> list[dict[str, Any]]:
    """The ending after `count` events."""
    reader = ResponseStream()
    for frame in stream:
        reader.read(frame)
    for frame in stream[:count]:
        reader.released(frame)
    return bodies(reader.ending(refused or refusal()))


def types(events: list[dict[str, Any]]) -> list[str]:
    return [body["type"].removeprefix("response.") for body in events]


def test_an_open_text_ends_as_the_client_has_it() -> None:
    """The part ends, the message says no in another, and the answer is incomplete."""
    events = ended(answer("Hel", "lo"), 4)
    assert types(events) == [
        "output_text.done",
        "content_part.done",
        "content_part.added",
        "refusal.delta",
        "refusal.done",
        "content_part.done",
        "output_item.done",
        "incomplete",
    ]
    assert events[0]["text"] == "Hel"
    last = events[-1]["response"]
    assert (last["id"], last["status"]) == ("resp_1", "incomplete")
    assert last["incomplete_details"] == {"reason": "content_filter"}
    assert [part.get("text", part.get("refusal")) for part in last["output"][0]["content"]] == [
        "Hel",
        refusal().message,
    ]
    assert last["output"][0]["status"] == "incomplete"


def test_before_anything_was_seen_the_answer_begins() -> None:
    """The first event names the upstream's answer, so the client's id is that of what was stopped."""
    events = ended(answer("Hello"), 0)
    assert types(events)[:3] == ["created", "in_progress", "output_item.added"]
    assert [body["sequence_number"] for body in events] == list(range(len(events)))


def test_a_finished_message_stays_as_it_is() -> None:
    """The refusal is a message of its own."""
    stream = answer("Hello")
    events = ended(stream, len(stream) - 1)
    assert types(events)[0] == "output_item.added"
    first, second = events[-1]["response"]["output"]
    assert (first["status"], first["content"][0]["text"]) == ("completed", "Hello")
    assert (second["status"], second["content"]) == (
        "incomplete",
        [{"type": "refusal", "refusal": refusal().message}],
    )


def test_an_open_call_is_never_finished() -> None:
    """Wherever the stream is broken off, a call that the client has not seen end is in no event of ours."""
    stream = frames(FORMAT, recorded("openai_responses", "functions.response.sse"))
    for count in range(len(stream)):
        done = [body["item"] for body in bodies(b"".join(stream[:count])) if body["type"].endswith("item.done")]
        events = ended(stream, count)
        finished = [body["item"] for body in events if body["type"] == "response.output_item.done"]
        assert all(item["type"] == "message" for item in finished)
        calls = [item for item in events[-1]["response"]["output"] if item["type"] == "function_call"]
        assert calls == [item for item in done if item["type"] == "function_call"]
        assert not any("arguments" in body["type"] for body in events)


def test_an_open_thought_ends_as_it_stands() -> None:
    """A summary ends as a part of its own kind."""
    stream = frames(FORMAT, recorded("openai_responses", "reasoning.response.sse"))
    events = ended(stream, 6)
    assert types(events)[:3] == ["reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done"]
    thought = events[-1]["response"]["output"][0]
    assert thought["summary"] == [{"type": "summary_text", "text": events[0]["text"]}]
    assert stream[5].count(events[0]["text"][9:].encode())


def test_numbers_go_on() -> None:
    """Each event has the next number."""
    stream = frames(FORMAT, recorded("openai_responses", "text.response.sse"))
    assert [body["sequence_number"] for body in ended(stream, 7)][:2] == [7, 8]


def test_after_the_last_event_nothing_follows() -> None:
    """Completed, failed, an error, or an end mark."""
    for last in (event("response.failed", response={}), event("error", message="x"), b"data: [DONE]\n\n"):
        assert ended([*answer("Hello")[:3], last], 4) == []


def test_without_words_there_is_no_part_that_says_no() -> None:
    """Only the reason is told."""
    assert types(ended(answer("Hello"), 1, Refusal("policy", ""))) == ["incomplete"]


def test_hostile_events_do_not_raise() -> None:
    """Whatever the upstream sends, there is an ending."""

    def sent(_: Path) -> str:
        return ""

    for body in (
        b"[]",
        b"{",
        b'{"type":3}',
        b'{"type":"response.content_part.added","part":{"type":[]}}',
        b'{"type":"response.output_item.added","item":{"type":"message","content":7}}',
        b'{"type":"response.output_item.added","item":{"type":"message","id":7}}',
        b'{"type":"response.created","response":{"id":null}}',
    ):
        seen = Seen(sent)
        seen.take(b"data: " + body + b"\n\n")
        assert bodies(seen.ending(refusal()))[-1]["type"] == "response.incomplete"

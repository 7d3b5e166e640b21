"""A streamed response: what events repeat is said once, and is edited with what it repeats."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc import wire
from safeguards_extproc.core.decision import Action
from safeguards_extproc.core.text import Channel, Edit, Kind, Reading
from safeguards_extproc.wire import sse
from safeguards_extproc.wire.responses_events import DELTAS, POSITIONS
from safeguards_extproc.wire.responses_stream import ResponseStream
from tests.contract.wire_contract import frames, recorded, refusal, streams, texts
from tests.playbook import Conversation
from tests.wire.sdk_shapes import strings
from tests.world import TEST, WordPolicy

FORMAT = wire.FORMATS["openai_responses"]
STREAMS = streams("openai_responses")
ADDRESS = "anna@example.org"


def event(type_: str, **members: Any) -> bytes:
    return sse.event(type_, json.dumps({"type": type_, **members}).encode())


def delta(text: str, **members: Any) -> bytes:
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0, **members}
    return event("response.output_text.delta", delta=text, **at)


def item(text: str, status: str = "completed") -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": [{"token": text, "logprob": -1.0}]}
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": status, "content": [part]}


def answer(*said: str) -> list[bytes]:
    """One message, in the deltas `said`; every event that repeats it does."""
    text, at = "".join(said), {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    whole = {"id": "resp_1", "status": "completed", "output": [item(text)]}
    return [
        event("response.created", response={"id": "resp_1", "output": []}),
        event("response.output_item.added", output_index=0, item={**item(""), "content": []}),
        event("response.content_part.added", **at, part={"type": "output_text", "text": ""}),
        *(delta(piece) for piece in said),
        event("response.output_text.done", **at, text=text),
        event("response.content_part.done", **at, part=item(text)["content"][0]),
        event("response.output_item.done", output_index=0, item=item(text)),
        event("response.completed", response=whole),
    ]


def read(reader: ResponseStream, stream: Sequence[bytes]) -> list[Reading]:
    return [reader.read(frame) for frame in stream]


def said(readings: Sequence[Reading]) -> dict[Channel, str]:
    return texts(segment for reading in readings for segment in reading.segments)


def test_what_events_repeat_is_said_once() -> None:
    """Law 3: four events repeat the text; its channel has it once, and each replica names its channel."""
    readings = read(ResponseStream(), answer("Hel", "lo"))
    assert said(readings) == {(Kind.CONTENT, "0"): "Hello"}
    replicas = [segment for reading in readings[5:] for segment in reading.segments]
    assert [(segment.channel, segment.text) for segment in replicas] == [((Kind.CONTENT, "0"), "")] * 4
    assert [reading.finished for reading in readings] == [False] * 8 + [True]
    assert [bool(reading.closed) for reading in readings[6:]] == [False, True, False]


@pytest.mark.parametrize("first", range(3, 8))
def test_text_that_comes_late_is_read_where_it_comes(first: int) -> None:
    """Some servers send no deltas, or only the last event."""
    stream = answer("Hello")
    assert said(read(ResponseStream(), stream[:1] + stream[first:])) == {(Kind.CONTENT, "0"): "Hello"}


def test_a_replica_that_says_something_else_is_a_text_of_its_own() -> None:
    """What a client keeps is the last event's text: it is scanned, whatever the deltas said."""
    stream = answer("Hello")
    stream[-1] = event("response.completed", response={"output": [item("wicked")]})
    assert said(read(ResponseStream(), stream)) == {(Kind.CONTENT, "0"): "Hello", (Kind.CONTENT, "0.again"): "wicked"}


def test_a_client_that_asks_for_tokens_gets_them_once() -> None:
    """Log-probabilities of a delta repeat it; tokens that hide something else are read."""
    reader = ResponseStream()
    plain = reader.read(delta("Hi", logprobs=[{"token": "Hi", "logprob": -0.5}]))
    hidden = reader.read(delta("Hi", logprobs=[{"token": "wicked", "logprob": -0.5}]))
    assert said([plain]) == {(Kind.CONTENT, "0"): "Hi"}
    assert said([hidden]) == {(Kind.CONTENT, "0"): "Hi", (Kind.OTHER, "0.logprobs"): "wicked"}


def test_a_call_is_closed_with_its_arguments() -> None:
    """It is held whole; nothing else waits longer than it."""
    call = {"id": "fc_1", "type": "function_call", "call_id": "c1", "name": "ask", "arguments": ""}
    readings = read(
        ResponseStream(),
        [
            event("response.output_item.added", output_index=0, item=call),
            event("response.function_call_arguments.delta", output_index=0, item_id="fc_1", delta='{"q":'),
            event("response.function_call_arguments.delta", output_index=0, item_id="fc_1", delta="1}"),
            event("response.function_call_arguments.done", output_index=0, name="ask", arguments='{"q":1}'),
            event("response.output_item.done", output_index=0, item={**call, "arguments": '{"q":1}'}),
        ],
    )
    assert said(readings) == {(Kind.TOOL_CALL, "0"): 'ask\n{"q":1}'}
    assert [list(reading.closed) for reading in readings[:4]] == [[], [], [], [(Kind.TOOL_CALL, "0")]]


def test_the_first_event_does_not_wait_for_more_instructions() -> None:
    """What the request set comes back whole, three times."""
    head = {"id": "resp_1", "instructions": "Be brief.", "output": []}
    readings = read(ResponseStream(), [event("response.created", response=head), event("response.x", response=head)])
    assert said(readings) == {(Kind.SYSTEM, "instructions"): "Be brief."}
    assert readings[0].closed == [(Kind.SYSTEM, "instructions")]


@pytest.mark.parametrize(
    ("frame", "unread"),
    [
        (b"data: {\n\n", "syntax"),
        (b"data: [1]\n\n", "shape"),
        (b": ping\n\n", ""),
        (b"data: [DONE]\n\n", ""),
        (b'data: {"type": []}\n\n', ""),
    ],
)
def test_other_frames(frame: bytes, unread: str) -> None:
    """Broken ones are named; comments and an end mark, which some servers send, are not."""
    reading = ResponseStream().read(frame)
    assert (reading.unread, reading.finished) == (unread, b"DONE" in frame)


@settings(max_examples=40, deadline=None)
@given(pieces=st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=6), data=st.data())
def test_replicas_are_edited_with_their_text(pieces: list[str], data: st.DataObject) -> None:
    """Whatever is cut out of the deltas, every later event repeats exactly what the client has got."""
    marked = data.draw(st.sets(st.integers(0, len(pieces) - 1)))
    assert len(set(released(pieces, marked))) == 1


def released(pieces: list[str], marked: set[int], forget: bool = False) -> list[str]:
    """The text as the deltas gave it, then as each replica does."""
    reader, stream = ResponseStream(), answer(*pieces)
    read(reader, stream)
    out = []
    for number, frame in enumerate(stream):
        edits = [Edit(("delta",), 0, len(pieces[number - 3]), "▇")] if number - 3 in marked else []
        edited = frame if forget and number >= 3 + len(pieces) else reader.edit(frame, edits)
        reader.released(edited)
        out.append(json.loads(sse.fields(edited)[1]))
    given, at = "".join(body.get("delta", "") for body in out), len(pieces)
    parts = [out[at + 4]["part"], out[at + 5]["item"]["content"][0], out[at + 6]["response"]["output"][0]["content"][0]]
    if marked and not forget:
        assert [part["logprobs"] for part in parts] == [[], [], []]
    return [given, out[at + 3]["text"], *(part["text"] for part in parts)]


def test_replicas_that_are_forgotten_would_be_found() -> None:
    """Planted: events that repeat a text as it was."""
    assert len(set(released(["a", "b"], {1}, forget=True))) == 2


@pytest.mark.parametrize("size", [0, 11])
def test_a_redaction_leaves_nothing_in_any_event(size: int) -> None:
    """Through a whole exchange, on every recorded stream: deltas, replicas, arguments and code alike."""
    policy = WordPolicy({ADDRESS: Action.REDACT, "museum": Action.REDACT}, on_uninspectable=Action.ALLOW)
    policy = replace(policy, place=replace(TEST, format="auto"))
    for stream in STREAMS:
        talk = Conversation(policy, wire=wire)
        talk.request(b'{"model":"m","input":"hello","stream":true}', path="/v1/responses").stream(stream, size)
        assert talk.refused is None
        seen = talk.client_saw()
        bodies = [json.loads(sse.fields(frame)[1]) for frame in frames(FORMAT, seen)]
        words = "\n".join(text for body in bodies for text in strings(body))
        assert ADDRESS not in words
        assert "museum" not in words
        whole = bodies[-1]["response"]["output"]
        assert [body["item"] for body in bodies if body["type"] == "response.output_item.done"] == whole
        if ADDRESS.encode() not in stream and b"museum" not in stream:
            assert seen == stream
        else:
            assert f"[REDACTED:{ADDRESS.upper()}]" in words or "[REDACTED:MUSEUM]" in words


@pytest.mark.parametrize("type_", DELTAS)
def test_every_growing_text_is_read_alike_by_either_way(type_: str) -> None:
    """The common case spares the reading of every member: it says what that reading says, and leaves what it leaves."""
    at = dict.fromkeys(POSITIONS, 1)
    plain = [event(type_, output_index=2, delta=text, **at) for text in ("one ", "two")]
    odd = [event(type_, output_index=2, delta=text, novelty=1, **at) for text in ("one ", "two")]
    done = type_.removesuffix("delta") + "done"
    whole = event(done, output_index=2, **at, **{DELTAS[type_].member: "one two"})
    for frames_ in ([*plain, whole], [*odd, whole], [plain[0], odd[1], whole]):
        reader = ResponseStream()
        assert said(read(reader, frames_)) == said(read(ResponseStream(), [*odd, whole]))
        left = []
        for frame, marked in zip(frames_, (True, False, False), strict=True):
            left.append(reader.edit(frame, [Edit(("delta",), 0, 3, "▇")] if marked else []))
            reader.released(left[-1])
        assert json.loads(sse.fields(left[2])[1])[DELTAS[type_].member] == "▇ two"


def test_an_untouched_stream_keeps_its_bytes() -> None:
    """Law 10: no edit, no change, even with a policy that redacts something else."""
    for stream in STREAMS:
        reader = ResponseStream()
        for frame in frames(FORMAT, stream):
            reader.read(frame)
            assert reader.edit(frame, []) == frame
            reader.released(frame)


def test_releases_that_were_never_read_do_not_raise() -> None:
    """A frame that was too large to read may still go in some modes."""
    reader = ResponseStream()
    for frame in frames(FORMAT, recorded("openai_responses", "text.response.sse"))[:8]:
        reader.released(frame)
    assert b"response.incomplete" in reader.ending(refusal())


def test_no_repr_shows_text() -> None:
    """Law 9."""
    reader = ResponseStream()
    reader.read(delta("canary"))
    reading = reader.read(event("response.output_text.done", output_index=0, content_index=0, text="canary"))
    assert "canary" not in repr(reader) + repr(reading) + repr(list(reader._waiting)[1])

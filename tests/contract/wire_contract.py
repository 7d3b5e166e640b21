"""What every row of `wire.FORMATS` and every declared API promises. A check raises AssertionError if one does not."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from safeguards_extproc.core.text import Channel, Edit, Format, Framer, Kind, Refusal, Segment
from safeguards_extproc.errors import MALFORMED, MalformedBody
from safeguards_extproc.wire import eventstream, sse, strict_json
from tests.declarations import DECLARED

GOLDEN = Path(__file__).parents[1] / "golden"
CHUNKS = (1, 7, 1000, 1 << 30)
REASONS = (
    "policy",
    "suspended",
    "throttled",
    "too-large",
    "unsupported-encoding",
    "malformed",
    "unavailable",
    "timeout",
)
MARK = "‹redacted›"
STREAMLESS = frozenset(("openai_embeddings", "openai_moderations")) | DECLARED.keys()
"""Formats whose answers are numbers, or what a policy declares: none is streamed, and none can say no."""

NO_DIALOGUE = frozenset(("openai_media", "batches"))
"""Formats whose answers are no turn of a dialogue: none is told twice, whole and as a stream."""

STEERLESS = STREAMLESS | NO_DIALOGUE | {"openai_completions", "kserve_v2", "tgi", "bedrock_invoke"}
"""Formats whose requests may be prompts, not conversations."""

ENDLESS = frozenset(("kserve_v2",))
"""Formats whose streams have no last event: they end with the connection."""

MODELS = {"bedrock_invoke": "us.anthropic.claude-sonnet-4-20250514-v1:0"}
"""Where a model's name says in which dialect an answer is to be."""

MEDIA: dict[str, str] = {"bedrock_converse": eventstream.MEDIA, "bedrock_invoke": eventstream.MEDIA}
"""The media type of a format's streams where it is not that of server-sent events."""


def golden(name: str, kind: str) -> list[bytes]:
    """The recorded bodies of a format: kind is "request.json", "response.json" or "response.sse"."""
    return [path.read_bytes() for path in sorted((GOLDEN / name).glob("*." + kind))]


def streams(name: str) -> list[bytes]:
    """The recorded streams of a format: "response.sse" as they are, "response.events" a line of JSON for each frame,
    "response.chunks" a line for what is in each frame in base64."""
    binary = {"response.events": framed, "response.chunks": chunked}
    return golden(name, "response.sse") + [
        b"".join(map(write, recorded.splitlines())) for kind, write in binary.items() for recorded in golden(name, kind)
    ]


def framed(line: bytes) -> bytes:
    """A binary frame from its line: {"the event's name": its payload}; the payload's bytes stay as they are written."""
    ((name, _),) = json.loads(line).items()
    payload = line[line.index(b":") + 1 : line.rindex(b"}")].strip()
    make = eventstream.exception if name.endswith("Exception") else eventstream.event
    return make(name, payload)


def chunked(line: bytes) -> bytes:
    """A frame of InvokeModelWithResponseStream, as Bedrock pads it."""
    return eventstream.event("chunk", json.dumps({"bytes": base64.b64encode(line).decode(), "p": "abcdefg"}).encode())


def recorded(name: str, file: str) -> bytes:
    """One of them: "tools.response.sse"."""
    return (GOLDEN / name / file).read_bytes()


def frames(format_: Format, stream: bytes, size: int = 1 << 30) -> list[bytes]:
    """The frames of a stream that arrives in chunks of `size` bytes; what is left at the end is one more."""
    framer, found = framer_of(format_), []
    for start in range(0, len(stream), size):
        found += framer.push(stream[start : start + size])
    rest = framer.finish()
    return [*found, rest] if rest else found


def framer_of(format_: Format) -> Framer:
    """Of its streams."""
    framer = format_.framer(MEDIA.get(format_.name, sse.MEDIA))
    assert framer is not None
    return framer


def texts(segments: Iterable[Segment]) -> dict[Channel, str]:
    """Each channel's whole text."""
    said: dict[Channel, str] = {}
    for segment in segments:
        said[segment.channel] = said.get(segment.channel, "") + segment.text
    return said


def streamed(format_: Format, stream: bytes) -> list[Segment]:
    """The segments of a stream that can be read throughout and ends as the dialect says."""
    reader, finished = format_.stream(), False
    segments: list[Segment] = []
    for frame in frames(format_, stream):
        assert not finished, "something follows the last event"
        reading = reader.read(frame)
        assert reading.unread not in MALFORMED
        segments += reading.segments
        finished = finished or reading.finished
    assert finished or format_.name in ENDLESS
    return segments


def frames_do_not_depend_on_chunks(format_: Format, stream: bytes) -> None:
    whole = frames(format_, stream)
    assert stream == b"".join(whole)
    for size in CHUNKS:
        assert whole == frames(format_, stream, size)


def reading_is_total(format_: Format, body: bytes) -> None:
    """Whatever comes in, MalformedBody is the only error, and a stream's reader raises none."""
    for read in (
        format_.read_request,
        lambda data: format_.read_response(data, 200),
        lambda d: format_.read_response(d, 500),
    ):
        try:
            document = read(body)
        except MalformedBody:
            continue
        for segment in document.segments:
            assert segment.text
            assert_edits_or_refuses(format_, body, segment)
    if format_.name in STREAMLESS:
        return
    reader = format_.stream()
    for frame in frames(format_, body):
        reader.read(frame)
        reader.released(frame)
        format_.stream().released(frame)
    assert isinstance(reader.ending(refusal()), bytes)


def assert_edits_or_refuses(format_: Format, body: bytes, segment: Segment) -> None:
    reason = "shape"
    try:
        format_.edit(body, [Edit(segment.path, 0, len(segment.text), "")])
    except MalformedBody as error:
        reason = error.reason
    assert reason == "shape"


def edits_touch_only_what_they_say(format_: Format, body: bytes, segments: Sequence[Segment]) -> None:
    """An edit changes the literal it names; bytes before and after it stay, and no edit changes nothing."""
    assert body == format_.edit(body, [])
    for segment in segments:
        if not segment.path:
            assert body == format_.edit(body, [Edit((), 0, 1, MARK)])
            continue
        place = segment.path[:-1] if segment.path[-1] == -2 else segment.path
        start, end = strict_json.spans(body, [place])[place]
        same = format_.edit(body, [Edit(segment.path, 1, 1, "")])
        assert body[:start] == same[:start]
        if segment.raw:
            continue
        changed = format_.edit(body, [Edit(segment.path, 0, 1, MARK), Edit(segment.path, 1, len(segment.text), "")])
        assert body[:start] == changed[:start]
        assert changed.endswith(_without_replicas(body[end:]))


def _without_replicas(rest: bytes) -> bytes:
    """What follows an edited text: up to the tokens that repeat it, which go with it."""
    return rest[-2:] if b"logprobs" in rest or b'"tokens"' in rest else rest


def escapes_hide_nothing(format_: Format, body: bytes) -> None:
    """The same request with every character escaped says the same. (A tool call's JSON is read as it is written.)"""
    escaped = _escaped(json.loads(body)).encode()
    plain, hidden = (
        {
            channel: text
            for channel, text in texts(format_.read_request(data).segments).items()
            if channel[0] != Kind.TOOL_CALL
        }
        for data in (body, escaped)
    )
    assert plain == hidden


def _escaped(value: Any) -> str:
    match value:
        case str():
            units = value.encode("utf-16-be")
            return '"' + "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2)) + '"'
        case list():
            return "[" + ",".join(map(_escaped, value)) + "]"
        case dict():
            return "{" + ",".join(f"{_escaped(key)}:{_escaped(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


def streamed_or_not_says_the_same(format_: Format, whole: bytes, stream: bytes) -> None:
    document, reader = format_.read_response(whole, 200), format_.stream()
    assert texts(document.segments) == texts(streamed(format_, stream))
    assert document.unread == {reader.read(frame).unread for frame in frames(format_, stream)} - {""}


def edited_frames_say_what_was_left(format_: Format, stream: bytes) -> None:
    """Each text of each frame can be replaced, and only it. A replica, which has no text, goes with what it repeats."""
    reader, whole = format_.stream(), frames(format_, stream)
    for at, frame in enumerate(whole):
        segments = reader.read(frame).segments
        for number, segment in enumerate(segments):
            if not segment.path or segment.raw or not segment.text:
                continue
            edited = reader.edit(frame, [Edit(segment.path, 0, len(segment.text), MARK)])
            again = _read_after(format_, whole[:at], edited)
            expected = [MARK if at == number else known.text for at, known in enumerate(segments)]
            assert expected == [known.text for known in again]
        reader.released(frame)


def _read_after(format_: Format, before: Sequence[bytes], frame: bytes) -> Sequence[Segment]:
    reader = format_.stream()
    for known in before:
        reader.read(known)
    return reader.read(frame).segments


def any_prefix_can_be_ended(format_: Format, stream: bytes) -> None:
    """Whatever the client has seen, the ending makes it a whole stream; after the last event nothing follows."""
    whole = frames(format_, stream)
    for count in range(len(whole) + 1):
        reader = format_.stream()
        for frame in whole:
            reader.read(frame)
        for frame in whole[:count]:
            reader.released(frame)
        streamed(format_, b"".join(whole[:count]) + reader.ending(refusal()))


def steering_adds_only_an_instruction(format_: Format, body: bytes) -> None:
    """A prompt without messages has no place for one: that is said, and nothing is changed."""
    if format_.name in STEERLESS and not json.loads(body).keys() & {"messages", "message"}:
        with pytest.raises(MalformedBody, match="shape"):
            format_.steer(body, MARK)
        return
    before, after = format_.read_request(body), format_.read_request(steered := format_.steer(body, MARK))
    system = "".join(text for channel, text in texts(after.segments).items() if channel[0] == Kind.SYSTEM)
    assert MARK in system
    kept = [segment.text for segment in before.segments if segment.channel[0] != Kind.SYSTEM]
    assert kept == [segment.text for segment in after.segments if segment.channel[0] != Kind.SYSTEM]
    added = len(steered) - len(body)
    assert any(body == steered[:at] + steered[at + added :] for at in range(len(body) + 1))


def refusals_are_whole(format_: Format) -> None:
    """Every reason has its status and a JSON error object with the message; only what passes may be retried."""
    statuses = dict(zip(REASONS, (400, 403, 429, 413, 415, 400, 503, 408), strict=True))
    for reason, status in statuses.items():
        answer = format_.refuse(refusal(reason))
        headers = dict(answer.headers)
        assert status == answer.status
        assert headers["content-type"] == "application/json"
        assert ("false" if status not in (408, 429, 503) else None) == headers.get("x-should-retry")
        assert ("7" if status in (408, 429, 503) else None) == headers.get("retry-after")
        assert refusal().message in json.dumps(strict_json.loads(answer.body), ensure_ascii=False)


def refusal(reason: str = "policy") -> Refusal:
    return Refusal(
        reason, "This isn’t something I can help with.", "harm", "exchange-1", 7 if reason != "policy" else 0
    )

"""A streamed message: message_start, blocks that open, grow and stop, message_delta, message_stop.

A stream that is broken off says so in the dialect: open blocks stop, then `stop_reason` is "refusal". The official SDK
fails on a delta of a block that never opened, on a message_delta without usage and on a stream without message_start.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from safeguards_extproc.core.text import Channel, Edit, Kind, Path, Reading, Refusal, Segment
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import anthropic_read, sse, used
from safeguards_extproc.wire import edits as editing
from safeguards_extproc.wire.leaves import aside
from safeguards_extproc.wire.raw import fill
from safeguards_extproc.wire.strict_json import loads

_TEXT: Channel = (Kind.CONTENT, "0")
_TEXT_PATH: Path = ("delta", "text")
_CALL: Channel = (Kind.TOOL_CALL, "0")
_TEXT_KEYS = frozenset(("type", "text"))
_EVENT_KEYS = frozenset(("type", "index", "delta"))
_GROWS = b'"content_block_delta"'


def event(body: dict[str, Any]) -> bytes:
    """One event of our own; its name is its type."""
    return sse.event(body["type"], editing.dumps(body))


def message(id_: str, model: str) -> dict[str, Any]:
    """An answer of ours before anything is said."""
    return {
        "id": id_,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 0, "output_tokens": 0},
    }


def details(refusal: Refusal) -> dict[str, Any]:
    """`stop_details` of a message that ends in a refusal."""
    return {"type": "refusal", "category": refusal.category or None, "explanation": refusal.message or None}


def last_events(refusal: Refusal, output_tokens: int) -> list[dict[str, Any]]:
    """The end of a message that is refused."""
    delta = {"stop_reason": "refusal", "stop_sequence": None, "stop_details": details(refusal)}
    return [
        {"type": "message_delta", "delta": delta, "usage": {"output_tokens": output_tokens}},
        {"type": "message_stop"},
    ]


def refused(refusal: Refusal, model: str) -> dict[str, Any]:
    """A whole answer that says no. Usage is zero: no model was asked for what the client gets."""
    start = message("msg_" + refusal.id, model)
    return {**start, "stop_reason": "refusal", "stop_details": details(refusal)}


def refused_events(refusal: Refusal, model: str) -> list[dict[str, Any]]:
    """The same as a stream."""
    start = {"type": "message_start", "message": message("msg_" + refusal.id, model)}
    return [start, *last_events(refusal, 0)]


class MessageEvents:
    """What the events of one message say, whatever frames they come in: an `invoke_chunks.Chunks`."""

    __slots__ = ("_begun", "_channels", "_ended", "_head", "_open", "_tokens", "goes_on")

    def __init__(self) -> None:
        self.goes_on = False
        self._head: dict[str, Any] | None = None  # what message_start said: id and model
        self._channels: dict[Channel, None] = {}  # that have had text and are not closed
        self._begun = self._ended = False  # what the client has seen: message_start, message_stop
        self._open: dict[int, None] = {}  # blocks that the client has seen opened
        self._tokens = 0

    def read(self, body: dict[str, Any], data: bytes) -> Reading:
        """One event, `body`, which stands in `data` as JSON."""
        delta = body.get("delta")
        if (
            type(delta) is dict
            and delta.keys() == _TEXT_KEYS
            and body.keys() <= _EVENT_KEYS
            and type(text := delta["text"]) is str
            and body.get("type") == "content_block_delta"
            and type(body.get("index")) is int
            and delta["type"] == "text_delta"
        ):
            self.goes_on = True
            self._channels[_TEXT] = None
            return Reading((Segment(_TEXT, text, _TEXT_PATH),) if text else ())
        self.goes_on = False
        return self._read(body, data)

    def _read(self, body: dict[str, Any], data: bytes) -> Reading:
        reader, closed = anthropic_read.Reader(), []
        leaves, index, finished = reader.leaves, _index(body), False
        known = {"usage"}
        match body:
            case {"type": "message_start", "message": dict(start)}:
                self._head = _head(start)
                reader.message(start, ("message",))
                known.add("message")
            case {"type": "content_block_start", "content_block": block}:
                reader.block(block, ("content_block",), "0", index, Kind.CONTENT)
                known.add("content_block")
            case {"type": "content_block_delta", "delta": delta}:
                reader.block(delta, ("delta",), "0", index, Kind.CONTENT)
                known.add("delta")
            case {"type": "content_block_stop"}:
                names = (f"0.{index}", f"0.{index}.aside")
                closed = [channel for channel in self._channels if channel[1] in names]
            case {"type": "message_delta", "delta": dict(delta)}:
                leaves.rest(anthropic_read.FIELDS, delta, ("delta",), frozenset(), _DELTA_IDENTIFIERS)
                known.add("delta")
                if delta.get("stop_reason"):
                    closed = list(self._channels)
            case {"type": "message_stop"}:
                closed, finished = list(self._channels), True
            case {"type": "error"}:
                anthropic_read.error(leaves, body, ())
                known |= body.keys()
        leaves.rest(anthropic_read.FIELDS, body, (), frozenset(known), _EVENT_IDENTIFIERS)
        fill(data, reader.raw, leaves.segments)
        aside(leaves.segments, self._channels.__contains__)
        for segment in leaves.segments:
            self._channels[segment.channel] = None
        for channel in closed:
            self._channels.pop(channel, None)
        counts = body.get("message") if body.get("type") == "message_start" else body
        usage = used.told(counts) if isinstance(counts, dict) else None
        return Reading(leaves.segments, closed, finished, ",".join(sorted(leaves.unread)), usage)

    def released(self, data: bytes) -> None:
        """The client has been sent the event in `data`."""
        if _GROWS in data:
            return
        try:
            body = loads(data)
        except MalformedBody:
            return
        match body:
            case {"type": "message_start"}:
                self._begun = True
            case {"type": "content_block_start", "index": int(index)}:
                self._open[index] = None
            case {"type": "content_block_stop", "index": int(index)}:
                self._open.pop(index, None)
            case {"type": "message_stop"}:
                self._ended = True
        match body:
            case {"usage": {"output_tokens": int(tokens)}} | {"message": {"usage": {"output_tokens": int(tokens)}}}:
                self._tokens = tokens

    def ending(self, refusal: Refusal) -> list[dict[str, Any]]:
        """The events that end what has been released."""
        if self._ended:
            return []
        events: list[dict[str, Any]] = []
        if not self._begun:
            id_, model = (self._head or {}).get("id"), (self._head or {}).get("model")
            events.append({"type": "message_start", "message": message(id_ or "msg_" + refusal.id, model or "")})
        events += [{"type": "content_block_stop", "index": index} for index in self._open]
        return events + last_events(refusal, self._tokens)


class MessageStream:
    """A `core.text.StreamReader` of a message in server-sent events."""

    __slots__ = ("_events",)

    def __init__(self) -> None:
        self._events = MessageEvents()

    def read(self, frame: bytes) -> Reading:
        _, data = sse.fields(frame)
        if not data:
            return Reading()
        try:
            body = loads(data)
        except MalformedBody as error:
            return Reading(unread=error.reason)
        return self._events.read(body, data) if type(body) is dict else Reading(unread="shape")

    def edit(self, frame: bytes, edits: Sequence[Edit]) -> bytes:
        return sse.with_data(frame, editing.apply(sse.fields(frame)[1], edits))

    def released(self, frame: bytes) -> None:
        data = b"" if _GROWS in frame else sse.fields(frame)[1]
        if data:
            self._events.released(data)

    def ending(self, refusal: Refusal) -> bytes:
        return b"".join(map(event, self._events.ending(refusal)))


_EVENT_IDENTIFIERS = frozenset(("type", "amazon-bedrock-guardrailAction"))
_DELTA_IDENTIFIERS = frozenset(("stop_reason", "type", "category", "id", "expires_at"))


def _index(body: dict[str, Any]) -> int:
    index = body.get("index")
    return index if isinstance(index, int) else 0


def _head(start: dict[str, Any]) -> dict[str, Any]:
    return {key: start[key] for key in ("id", "model") if isinstance(start.get(key), str)}

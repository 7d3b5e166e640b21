"""A streamed Converse answer: messageStart, blocks that start, grow and stop, messageStop, metadata.

Only a tool's block is sure to have a contentBlockStart; a text begins with its first delta. A stream that is broken
off says so: open blocks stop, then `stopReason` is "guardrail_intervened". A client that has seen a tool call begin and
not end gets an exception instead, on which every SDK raises: some applications run what a block held when it stopped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from safeguards_extproc.core.text import Channel, Edit, Kind, Path, Reading, Refusal, Segment
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import bedrock, eventstream, used
from safeguards_extproc.wire import edits as editing
from safeguards_extproc.wire.bedrock_read import IDENTIFIERS, Reader
from safeguards_extproc.wire.eventstream import Message
from safeguards_extproc.wire.leaves import aside, identifier
from safeguards_extproc.wire.raw import fill
from safeguards_extproc.wire.strict_json import loads

STOPPED = "guardrail_intervened"

_TEXT: Channel = (Kind.CONTENT, "0")
_TEXT_PATH: Path = ("delta", "text")
_GROWS = "contentBlockDelta"
_USUAL = eventstream.parse(eventstream.event(_GROWS, b"")).headers
_EVENT_KEYS = frozenset(("contentBlockIndex", "delta", "p"))
_INDEX = re.compile(rb'"contentBlockIndex":(\d{1,9})[,}]').search
_NOTHING: frozenset[str] = frozenset()


def first_events() -> bytes:
    """The beginning of an answer of ours."""
    return _event("messageStart", {"role": "assistant"})


def text_events(text: str) -> bytes:
    """An answer's only block."""
    delta = {"delta": {"text": text}, "contentBlockIndex": 0}
    return _event(_GROWS, delta) + _event("contentBlockStop", {"contentBlockIndex": 0})


def last_events(refusal: Refusal) -> bytes:
    """The end of a message that is refused."""
    return _event("messageStop", {"stopReason": STOPPED, "additionalModelResponseFields": details(refusal)}) + _event(
        "metadata", {"usage": usage(), "metrics": {"latencyMs": 0}}
    )


def details(refusal: Refusal) -> dict[str, Any]:
    """Why, in the only member of an answer that is free: a message in mid-answer would read as the model's words."""
    return {"refusal": {"message": refusal.message, "category": refusal.category or None, "id": refusal.id or None}}


def usage() -> dict[str, int]:
    """Of an answer for which no model was asked, or whose end is not known."""
    return {"inputTokens": 0, "outputTokens": 0, "totalTokens": 0}


class ConverseStream:
    """A `core.text.StreamReader`."""

    __slots__ = ("_begun", "_channels", "_ended", "_open")

    def __init__(self) -> None:
        self._channels: dict[Channel, None] = {}  # that have had text and are not closed
        self._begun = self._ended = False  # what the client has seen: messageStart, metadata or an exception
        self._open: dict[int, bool] = {}  # blocks that the client has seen begin, and whether each is a call

    def read(self, frame: bytes) -> Reading:
        try:
            message, body = _parsed(frame)
        except MalformedBody as error:
            return Reading(unread=error.reason)
        delta = body.get("delta")
        if (
            message.headers == _USUAL
            and type(delta) is dict
            and len(delta) == 1
            and type(text := delta.get("text")) is str
            and body.keys() <= _EVENT_KEYS
            and type(body.get("contentBlockIndex")) is int
            and identifier(str(body.get("p", "p")))
        ):
            self._channels[_TEXT] = None
            return Reading((Segment(_TEXT, text, _TEXT_PATH),) if text else ())
        return self._read(message, body)

    def _read(self, message: Message, body: dict[str, Any]) -> Reading:
        reader, closed, finished = Reader(), list[Channel](), False
        leaves, index = reader.leaves, _index(body)
        bedrock.headers(leaves, message)
        known = {"delta", "start"}
        match message.failed, message.name:
            case False, "messageStart":
                reader.message(body, (), "0", Kind.CONTENT)
                known |= body.keys()
            case False, ("contentBlockStart" | "contentBlockDelta"):
                for part in ("start", "delta"):
                    if part in body:
                        reader.block(body[part], (part,), "0", index, Kind.CONTENT)
            case False, "contentBlockStop":
                names = (f"0.{index}", f"0.{index}.aside")
                closed = [channel for channel in self._channels if channel[1] in names]
                known.clear()
            case False, ("messageStop" | "metadata") as name:
                reader.fields(body, (), _NOTHING)
                closed, finished = list(self._channels), name == "metadata"
                known |= body.keys()
            case False, _:
                known.clear()
            case _:
                bedrock.error(leaves, body, ())
                closed, finished, known = list(self._channels), True, set(body)
        leaves.rest(bedrock.FIELDS, body, (), frozenset(known), IDENTIFIERS)
        fill(message.payload, reader.raw, leaves.segments)
        aside(leaves.segments, self._channels.__contains__)
        for segment in leaves.segments:
            self._channels[segment.channel] = None
        for channel in closed:
            self._channels.pop(channel, None)
        return Reading(leaves.segments, closed, finished, ",".join(sorted(leaves.unread)), used.told(body))

    def edit(self, frame: bytes, edits: Sequence[Edit]) -> bytes:
        return bedrock.edit(frame, edits)

    def released(self, frame: bytes) -> None:
        match = _INDEX(frame)
        if match is not None and (call := self._open.get(int(match[1]))) is not None and _grows(frame, call=call):
            return
        try:
            message, body = _parsed(frame)
        except MalformedBody:
            return
        index, name = _index(body), message.name
        if message.failed or name == "metadata":
            self._ended = True
        elif name == "messageStart":
            self._begun = True
        elif name == "contentBlockStop":
            self._open.pop(index, None)
        elif name in ("contentBlockStart", _GROWS):
            part = body.get("start" if name != _GROWS else "delta")
            call = isinstance(part, dict) and "toolUse" in part
            self._open[index] = call or self._open.get(index, False)

    def ending(self, refusal: Refusal) -> bytes:
        if self._ended:
            return b""
        if any(self._open.values()):
            return bedrock.exception(refusal)
        if not self._begun:
            return first_events() + text_events(refusal.message) + last_events(refusal)
        stops = [_event("contentBlockStop", {"contentBlockIndex": index}) for index in self._open]
        return b"".join([*stops, last_events(refusal)])


def _parsed(frame: bytes) -> tuple[Message, dict[str, Any]]:
    message = eventstream.parse(frame)
    body = loads(message.payload) if message.payload else {}
    if type(body) is not dict:
        raise MalformedBody("shape")
    return message, body


def _event(name: str, body: dict[str, Any]) -> bytes:
    return eventstream.event(name, editing.dumps(body))


def _grows(frame: bytes, *, call: bool) -> bool:
    """Whether this can only be a delta of a block of this sort."""
    return b"\x11contentBlockDelta" in frame and (call or b'"toolUse"' not in frame)


def _index(body: dict[str, Any]) -> int:
    index = body.get("contentBlockIndex")
    return index if isinstance(index, int) else 0

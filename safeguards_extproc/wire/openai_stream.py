"""A streamed chat completion: chunks until `[DONE]`; a choice ends with its `finish_reason`.

A stream that is broken off says so in the dialect: each choice that the client has seen begun gets a chunk with
`finish_reason` "content_filter". A bare cut would read as success in the official SDK, and "stop" as a whole tool call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from safeguards_extproc.core.text import Channel, Edit, Kind, Path, Reading, Refusal, Segment
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import edits as editing
from safeguards_extproc.wire import openai_read, sse
from safeguards_extproc.wire.leaves import Leaves, aside
from safeguards_extproc.wire.strict_json import loads

DONE = b"[DONE]"

_CHUNK_KEYS = openai_read.CHUNK_FIELDS | {"choices"}
_CONTENT_PATH: Path = ("choices", 0, "delta", "content")
_CONTENT = Kind.CONTENT


def edit_choices(body: bytes, edits: Sequence[Edit]) -> bytes:
    """`body` edited; where a choice's text changes, the members that repeat its tokens become null."""
    erase = {
        ("choices", edit.path[1], name)
        for edit in edits
        if len(edit.path) > 2 and edit.path[0] == "choices"
        for name in openai_read.REPLICAS
    }
    return editing.apply(body, [edit for edit in edits if edit.path[:3] not in erase], erase=erase)


def chunk(head: dict[str, Any], index: int, delta: dict[str, Any], finish: str | None) -> bytes:
    """One event of our own with one choice."""
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
    return sse.event("", editing.dumps({**head, "choices": [choice]}))


def head(id_: str, model: str, created: int = 0) -> dict[str, Any]:
    """What every chunk of a stream has in common."""
    return {"id": id_, "object": "chat.completion.chunk", "created": created, "model": model}


class ChatStream:
    """A `core.text.StreamReader`."""

    __slots__ = ("_begun", "_channels", "_done", "_finished", "_head", "_open")

    def __init__(self) -> None:
        self._head: dict[str, Any] | None = None
        self._open: dict[str, dict[Channel, None]] = {}  # by choice, in the order of their first text
        self._channels: dict[int, Channel] = {}  # of the content of choices that are open
        self._begun: set[int] = set()  # choices of which the client has seen something
        self._finished: set[int] = set()
        self._done = False

    def read(self, frame: bytes) -> Reading:
        _, data = sse.fields(frame)
        if not data:
            return Reading()
        try:
            body = loads(data)
        except MalformedBody as error:
            if data.strip() == DONE:
                closed = [channel for opened in self._open.values() for channel in opened]
                self._open.clear()
                self._channels.clear()
                return Reading(closed=closed, finished=True)
            return Reading(unread=error.reason)
        if type(body) is not dict:
            return Reading(unread="shape")
        if self._head is None:
            self._head = _head(body)
        segments = self._plain(body)
        return self._whole(body) if segments is None else Reading(segments)

    def _plain(self, body: dict[str, Any]) -> Sequence[Segment] | None:
        """The one segment of the common case, a choice that goes on with its content; None for anything else."""
        choices = body.get("choices")
        if type(choices) is not list or len(choices) != 1 or not body.keys() <= _CHUNK_KEYS:
            return None
        choice = choices[0]
        if type(choice) is not dict or choice.get("finish_reason") or choice.get("logprobs"):
            return None
        delta, index = choice.get("delta"), choice.get("index")
        if type(delta) is not dict or len(delta) != 1 or type(index) is not int:
            return None
        text = delta.get("content")
        if type(text) is not str or not choice.keys() <= openai_read.CHOICE_FIELDS:
            return None
        if not text:
            return ()
        channel = self._channels.get(index)
        if channel is None:
            channel = self._channels[index] = (_CONTENT, str(index))
            self._open.setdefault(channel[1], {})[channel] = None
        return (Segment(channel, text, _CONTENT_PATH),)

    def _whole(self, body: dict[str, Any]) -> Reading:
        leaves = Leaves()
        openai_read.choices(leaves, body)
        aside(leaves.segments, lambda channel: channel in self._open.get(channel[1].partition(".")[0], ()))
        closed: list[Channel] = []
        for segment in leaves.segments:
            channel = segment.channel
            self._open.setdefault(channel[1].partition(".")[0], {})[channel] = None
        choices = body.get("choices")
        for position, choice in enumerate(choices if isinstance(choices, list) else ()):
            if isinstance(choice, dict) and choice.get("finish_reason"):
                name = openai_read.choice_name(choice, position)
                closed += self._open.pop(name, {})
                self._channels = {index: channel for index, channel in self._channels.items() if channel[1] != name}
        return Reading(leaves.segments, closed, unread=",".join(sorted(leaves.unread)))

    def edit(self, frame: bytes, edits: Sequence[Edit]) -> bytes:
        return sse.with_data(frame, edit_choices(sse.fields(frame)[1], edits))

    def released(self, frame: bytes) -> None:
        if 0 in self._begun and _goes_on(frame):
            return
        _, data = sse.fields(frame)
        if data.strip() == DONE:
            self._done = True
            return
        try:
            body = loads(data)
        except MalformedBody:
            return
        if not isinstance(body, dict):
            return
        if self._head is None:
            self._head = _head(body)
        choices = body.get("choices")
        for position, choice in enumerate(choices if isinstance(choices, list) else ()):
            index = choice.get("index", position) if isinstance(choice, dict) else position
            if isinstance(index, int):
                self._begun.add(index)
                if isinstance(choice, dict) and choice.get("finish_reason"):
                    self._finished.add(index)

    def ending(self, refusal: Refusal) -> bytes:
        if self._done:
            return b""
        start = self._head or head("chatcmpl-" + refusal.id, "")
        delta: dict[str, Any] = {"refusal": refusal.message} if refusal.message else {}
        if not self._begun:
            delta = {"role": "assistant", **delta}
        events = [
            chunk(start, index, delta, "content_filter") for index in sorted((self._begun or {0}) - self._finished)
        ]
        return b"".join([*events, sse.event("", DONE)])


def _goes_on(frame: bytes) -> bool:
    """Whether a frame plainly is choice 0, not finished: True spares parsing it; False says nothing."""
    return (
        frame.count(b'"index"') == 1
        and (b'"index":0' in frame or b'"index": 0' in frame)
        and (b'"finish_reason":null' in frame or b'"finish_reason": null' in frame)
    )


def _head(body: dict[str, Any]) -> dict[str, Any] | None:
    """What the stream says of itself in this chunk, for chunks of ours; None where it says nothing (an error)."""
    if "choices" not in body:
        return None
    match body:
        case {"id": str(id_)}:
            model, created = body.get("model"), body.get("created")
            return head(id_, model if isinstance(model, str) else "", created if isinstance(created, int) else 0)
    return None

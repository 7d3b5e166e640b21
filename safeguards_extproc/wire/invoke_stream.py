"""The frames of InvokeModelWithResponseStream: {"bytes": base64 of one chunk of the vendor's JSON, "p": padding}.

A path leads into the chunk: what stands around it holds no text, or the frame is not read.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from safeguards_extproc.core.text import Edit, Reading, Refusal
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import bedrock, eventstream, used
from safeguards_extproc.wire import edits as editing
from safeguards_extproc.wire.eventstream import Message
from safeguards_extproc.wire.invoke_chunks import Chunks, chunks
from safeguards_extproc.wire.invoke_dialects import of_answer
from safeguards_extproc.wire.invoke_read import flat
from safeguards_extproc.wire.leaves import Leaves, identifier
from safeguards_extproc.wire.openai_stream import edit_choices
from safeguards_extproc.wire.strict_json import loads

CHUNK = "chunk"

_BYTES = "bytes"
_USUAL_PAYLOAD = re.compile(rb'{"bytes": ?"([A-Za-z0-9+/=]*)"(?:, ?"p": ?"[A-Za-z0-9]*")?}').fullmatch
_USUAL = eventstream.parse(eventstream.event(CHUNK, b"")).headers


def written(bodies: Iterable[dict[str, Any]]) -> bytes:
    """Frames of our own."""
    return b"".join(
        eventstream.event(CHUNK, editing.dumps({_BYTES: base64.b64encode(editing.dumps(body)).decode()}))
        for body in bodies
    )


def edit_body(body: bytes, edits: Sequence[Edit]) -> bytes:
    """A body or chunk edited; where the text of one of several answers changes, what repeats its tokens goes."""
    if any(edit.path[:1] == ("choices",) for edit in edits):
        return edit_choices(body, edits)
    erase = {(*edit.path[:2], "token_likelihoods") for edit in edits if edit.path[:1] == ("generations",)}
    return editing.apply(body, [edit for edit in edits if edit.path[:3] not in erase], erase=erase)


class InvokeStream:
    """A `core.text.StreamReader`. The first chunk of a known shape says whose the stream is."""

    __slots__ = ("_chunks", "_ended", "_waiting")

    def __init__(self) -> None:
        self._chunks: Chunks | None = None
        self._waiting: deque[bool] = deque()  # of each frame that was read, whether it only goes on with a text
        self._ended = False  # whether the client has seen an exception

    def read(self, frame: bytes) -> Reading:
        reading = self._read(frame)
        self._waiting.append(self._chunks is not None and self._chunks.goes_on)
        return reading

    def _read(self, frame: bytes) -> Reading:
        if self._chunks is not None:
            self._chunks.goes_on = False
        try:
            message = eventstream.parse(frame)
            usual = message.headers == _USUAL
            if not usual and not _is_chunk(message):
                return _beside(message)
            body, data = _opened(message)
        except MalformedBody as error:
            return Reading(unread=error.reason)
        if self._chunks is None:
            self._chunks = chunks(of_answer(body))
        if self._chunks is None:
            leaves = Leaves()
            flat(leaves, body, None)
            reading = Reading(leaves.segments, unread=",".join(sorted(leaves.unread)))
        else:
            reading = self._chunks.read(body, data)
            if not self._chunks.goes_on:
                reading.usage = used.joined(reading.usage, used.told(body) or used.flat(body))
        if not usual:
            _add_headers(reading, message)
        return reading

    def edit(self, frame: bytes, edits: Sequence[Edit]) -> bytes:
        message = eventstream.parse(frame)
        inside = [change for change in edits if change.path and change.path[0] != bedrock.HEADER]
        if not inside or not _is_chunk(message):
            return bedrock.edit(frame, edits)
        data = edit_body(_opened(message)[1], inside)
        text = editing.dumps(base64.b64encode(data).decode())
        frame = eventstream.with_payload(frame, editing.replace(message.payload, (_BYTES,), text))
        return bedrock.edit(frame, [change for change in edits if change.path[:1] == (bedrock.HEADER,)])

    def released(self, frame: bytes) -> None:
        if self._waiting and self._waiting.popleft():
            return
        try:
            message = eventstream.parse(frame)
            if message.failed:
                self._ended = True
            elif self._chunks is not None and _is_chunk(message):
                self._chunks.released(_data(message))
        except MalformedBody:
            return

    def ending(self, refusal: Refusal) -> bytes:
        if self._ended:
            return b""
        last = None if self._chunks is None else self._chunks.ending(refusal)
        return bedrock.exception(refusal) if last is None else written(last)


def _is_chunk(message: Message) -> bool:
    return message.name == CHUNK and not message.failed


def _opened(message: Message) -> tuple[dict[str, Any], bytes]:
    """The chunk in a frame, read and as written."""
    data = _data(message)
    body = loads(data)
    if type(body) is not dict:
        raise MalformedBody("shape")
    return body, data


def _data(message: Message) -> bytes:
    """What is in the base64."""
    usual = _USUAL_PAYLOAD(message.payload)
    if usual is not None:
        text: str | bytes = usual[1]
    else:
        match loads(message.payload):
            case {"bytes": str(text), **around} if all(_plain(str(name), value) for name, value in around.items()):
                pass
            case _:
                raise MalformedBody("shape")
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        raise MalformedBody("encoding") from None


def _plain(name: str, value: object) -> bool:
    """Whether a member beside the chunk cannot hold text."""
    text = identifier(value) is not None if isinstance(value, str) else not isinstance(value, dict | list)
    return text and identifier(name) is not None


def _beside(message: Message) -> Reading:
    """An exception, which is the last frame, or an event that is no chunk."""
    leaves, body = Leaves(), loads(message.payload) if message.payload else {}
    bedrock.headers(leaves, message)
    if message.failed:
        bedrock.error(leaves, body, ())
    else:
        leaves.tree(bedrock.FIELDS, body, ())
    return Reading(leaves.segments, finished=message.failed, unread=",".join(sorted(leaves.unread)))


def _add_headers(reading: Reading, message: Message) -> None:
    leaves = Leaves()
    bedrock.headers(leaves, message)
    reading.segments = [*reading.segments, *leaves.segments]
    reading.unread = ",".join(filter(None, (reading.unread, *sorted(leaves.unread))))

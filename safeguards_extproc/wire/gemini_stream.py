"""A streamed Gemini answer: chunks, each an answer of its own, in events or in one JSON array.

The dialect has no last event: a candidate has ended once a chunk gives its `finishReason`, and some servers give one
with every chunk. A stream that is broken off says so: each candidate that the client has seen begun gets
`finishReason` "SAFETY", and an array gets its bracket. A bare cut reads as success in the official SDK, and an array
without its bracket is no JSON.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from typing import Any

from safeguards_extproc.core.text import Channel, Edit, Kind, Path, Reading, Refusal, Segment
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import edits as editing
from safeguards_extproc.wire import gemini_read, json_array, sse, used
from safeguards_extproc.wire.gemini_names import camel
from safeguards_extproc.wire.gemini_parts import Calls, Parts
from safeguards_extproc.wire.strict_json import loads

_CHUNK_KEYS = gemini_read.CHUNK_FIELDS | {"candidates"}
_CANDIDATE_KEYS = frozenset(("content", "index"))
_CONTENT_KEYS = frozenset(("parts", "role"))
_FIELD_NAMES = frozenset((b"", b"data", b"event", b"id", b"retry", b"\xef\xbb\xbfdata"))
_LINE_END = re.compile(rb"[\r\n]").search
_TEXT_PATH: Path = ("candidates", 0, "content", "parts", 0, "text")


def edit_candidates(body: bytes, edits: Sequence[Edit]) -> bytes:
    """`body` edited; where a candidate's text changes, the tokens that repeat it become null."""
    erase = {
        (*edit.path[: at + 2], name)
        for edit in edits
        for at in (0, 1)
        if len(edit.path) > at + 2 and edit.path[at] == "candidates"
        for name in gemini_read.REPLICAS
    }
    kept = [edit for edit in edits if not any(edit.path[: len(path)] == path for path in erase)]
    return editing.apply(body, kept, erase=erase)


def refused(refusal: Refusal, indices: Sequence[int], head: dict[str, Any]) -> bytes:
    """A chunk that says no for each candidate."""
    said = {"finishReason": "SAFETY", "finishMessage": refusal.message, "safetyRatings": []}
    return editing.dumps({"candidates": [{**said, "index": index} for index in indices], **head})


class _Candidates:
    """Which candidates one side has seen begun, and which ended. `over` is whether a chunk has ended the whole."""

    __slots__ = ("begun", "ended", "over")

    def __init__(self) -> None:
        self.begun: set[int] = set()
        self.ended: set[int] = set()
        self.over = False

    def see(self, body: dict[str, Any]) -> None:
        candidates, feedback = body.get("candidates"), body.get("promptFeedback", body.get("prompt_feedback"))
        for candidate in candidates if isinstance(candidates, list) else ():
            if isinstance(candidate, dict):
                index = int(gemini_read.candidate_name(candidate))
                self.begun.add(index)
                if candidate.get("finishReason", candidate.get("finish_reason")):
                    self.ended.add(index)
        blocked = isinstance(feedback, dict) and any(camel(key) == "blockReason" for key in feedback)
        self.over = self.over or bool(blocked or body.get("error"))

    @property
    def done(self) -> bool:
        return self.over or bool(self.begun and self.begun <= self.ended)


class GeminiStream:
    """A `core.text.StreamReader`. With `array` a chunk is an item of an array, or an event where it stands in one."""

    __slots__ = (
        "_array",
        "_calls",
        "_channels",
        "_closed",
        "_goes_on",
        "_head",
        "_index",
        "_opened",
        "_read",
        "_released",
        "_seen",
        "_sent",
        "_shut",
        "_waiting",
    )

    def __init__(self, *, array: bool = False) -> None:
        self._array = array
        self._calls = Calls()
        self._waiting: deque[bool] = deque()  # of each frame that was read, whether all it adds to the last is a text
        self._goes_on, self._index = False, -1  # the same of this frame, and the candidate of the last that did no more
        self._channels: dict[int, Channel] = {}
        self._head: dict[str, Any] = {}  # what the last chunk said of itself: for chunks of ours
        self._seen, self._sent = _Candidates(), _Candidates()
        self._read = self._released = 0  # chunks
        self._opened = self._closed = False  # the array, as far as it was read
        self._shut = False  # whether the client has got the array's end, or a body that is no array

    def read(self, frame: bytes) -> Reading:
        self._goes_on = False
        reading = self._chunk(frame)
        self._waiting.append(self._goes_on)
        return reading

    def _chunk(self, frame: bytes) -> Reading:
        try:
            data = self._data(frame)
            if data is None:
                return Reading(finished=self._closed)
            body = loads(data)
            if type(body) is not dict:
                return Reading(unread="shape")
            self._read += 1
            segments = self._plain(body)
            if segments is not None:
                return Reading(segments, finished=self._closed, usage=used.told(body))
            return self._whole(body, data)
        except MalformedBody as error:
            return Reading(unread=error.reason)

    def _data(self, frame: bytes) -> bytes | None:
        """A chunk's JSON; None where a frame has none. Raises MalformedBody."""
        if self._is_event(frame):
            return event_data(frame) or None
        if frame[-1:] != b"}" and json_array.ends(frame):
            if self._closed or self._opened == (b"[" in frame):
                raise MalformedBody("framing")
            self._closed = True
            return None
        head, data = json_array.split(frame)
        if self._closed or (self._opened and head != b","):
            raise MalformedBody("framing")
        self._opened = True
        self._closed = head == b""
        return data

    def _is_event(self, frame: bytes) -> bool:
        if self._array and frame.startswith(b"data:"):
            self._array = False
        return not self._array

    def _plain(self, body: dict[str, Any]) -> Sequence[Segment] | None:
        """The one segment of the common case, a candidate that goes on with its text; None for anything else."""
        candidates = body.get("candidates")
        if type(candidates) is not list or len(candidates) != 1 or not body.keys() <= _CHUNK_KEYS:
            return None
        candidate = candidates[0]
        if type(candidate) is not dict or not candidate.keys() <= _CANDIDATE_KEYS:
            return None
        content, index = candidate.get("content"), candidate.get("index", 0)
        if type(content) is not dict or not content.keys() <= _CONTENT_KEYS or content.get("role", "model") != "model":
            return None
        parts = content.get("parts")
        if type(parts) is not list or len(parts) != 1 or type(index) is not int:
            return None
        part = parts[0]
        if type(part) is not dict or len(part) != 1 or type(text := part.get("text")) is not str:
            return None
        channel = self._channels.get(index)
        if channel is None:
            channel = self._channels[index] = (Kind.CONTENT, str(index))
            self._seen.begun.add(index)
            self._head = _head(body)
        self._goes_on, self._index = index == self._index and not self._closed, index
        return (Segment(channel, text, _TEXT_PATH),) if text else ()

    def _whole(self, body: dict[str, Any], data: bytes) -> Reading:
        self._index = -1
        parts = Parts(self._calls)
        gemini_read.chunk(parts, body, ())
        parts.fill(data)
        self._seen.see(body)
        self._head = _head(body) or self._head
        finished = self._closed if self._array else self._seen.done
        unread = ",".join(sorted(parts.leaves.unread))
        return Reading(parts.leaves.segments, parts.closed, finished, unread, used.told(body))

    def edit(self, frame: bytes, edits: Sequence[Edit]) -> bytes:
        if self._is_event(frame):
            data = event_data(frame)
            bare = data is frame
            return edit_candidates(frame, edits) if bare else sse.with_data(frame, edit_candidates(data, edits))
        data = json_array.split(frame)[1]
        return frame[: len(frame) - len(data)] + edit_candidates(data, edits)

    def released(self, frame: bytes) -> None:
        if self._waiting and self._waiting.popleft():
            self._released += 1
            return
        try:
            if self._is_event(frame):
                data = event_data(frame)
            elif json_array.ends(frame):
                self._shut = True
                return
            else:
                head, data = json_array.split(frame)
                self._shut = not head
            if not data:
                return
            self._released += 1
            body = loads(data)
        except MalformedBody:
            return
        if isinstance(body, dict):
            self._sent.see(body)

    def ending(self, refusal: Refusal) -> bytes:
        sent = self._sent
        indices = sent.begun - sent.ended or ({0} if not sent.begun else set())
        if self._released < self._read:
            # What is withheld may go on with a candidate that said with every chunk that it had ended.
            indices = indices or sent.begun
        says_no = bool(indices) and not sent.over and not self._shut
        chunk = refused(refusal, sorted(indices), self._head) if says_no else b""
        if not self._array:
            return sse.event("", chunk) if chunk else b""
        if self._shut:
            return b""
        return (b"," if self._released and chunk else b"" if self._released else b"[") + chunk + b"]"


def event_data(frame: bytes) -> bytes:
    """The data of an event, b"" if it has none, or the frame itself where it is JSON without "data:": the official SDK
    reads that too. Raises MalformedBody where it is both."""
    if frame.startswith(b"data: ") and not _LINE_END(frame.rstrip(b"\r\n")):
        return frame[6:].rstrip(b"\r\n")
    if frame.isspace():
        return b""
    data = sse.fields(frame)[1]
    if all(line.partition(b":")[0] in _FIELD_NAMES for line in frame.splitlines()):
        return data
    if data:
        raise MalformedBody("framing")
    return frame


def _head(body: dict[str, Any]) -> dict[str, Any]:
    """What a chunk says of the answer and of what it costs."""
    return {key: body[key] for key in ("usageMetadata", "modelVersion", "responseId") if key in body}

"""A stream of Text Generation Inference: an event for each token, and the last one repeats the whole text.

What the last event repeats is a replica: it gives no text of its own, waits for that of its channel, and is edited with
it. A stream that is broken off ends with the dialect's error event, which the official client raises.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from safeguards_extproc.core.text import Channel, Edit, Kind, Path, Reading, Refusal, Segment
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import edits as editing
from safeguards_extproc.wire import sse, tgi_read, used
from safeguards_extproc.wire.leaves import Leaves
from safeguards_extproc.wire.strict_json import loads

_CONTENT: Channel = (Kind.CONTENT, "0")
_AGAIN: Channel = (Kind.CONTENT, "0.again")
_TOKEN: Path = ("token", "text")
_WHOLE: Path = ("generated_text",)
_GUESSES: tuple[Path, ...] = (("top_tokens",),)  # they repeat the token among others
_NUMBERS = (float, int)
_EVENT_KNOWN = frozenset(("index", "token", "generated_text", "details", "top_tokens"))


def event(data: bytes) -> bytes:
    """A frame as this server writes them: without a space."""
    return b"data:" + data + b"\n\n"


def error(refusal: Refusal) -> bytes:
    """The error object. Its type is the client's ValidationError, for no second attempt will pass."""
    passing = {"throttled": "overloaded", "unavailable": "overloaded", "timeout": "generation"}
    type_ = passing.get(refusal.reason, "validation")
    return editing.dumps({"error": refusal.message or refusal.reason, "error_type": type_})


class TokenStream:
    """A `core.text.StreamReader`."""

    __slots__ = ("_done", "_edited", "_new", "_open", "_said", "_sent", "_waiting")

    def __init__(self) -> None:
        self._done = False
        self._open: dict[Channel, None] = {}
        self._said: list[str] = []  # of the answer, as the upstream wrote it
        self._sent: list[str] = []  # of the answer, as the client has it
        self._waiting: deque[str] = deque()  # each frame's part of the answer
        self._edited, self._new = b"", ""  # the next frame as it was edited, and what has become of its part

    def read(self, frame: bytes) -> Reading:
        _, data = sse.fields(frame)
        reading, said = self._event(data) if data else (Reading(), "")
        self._said.append(said)
        self._waiting.append(said)
        return reading

    def _event(self, data: bytes) -> tuple[Reading, str]:
        try:
            body = loads(data)
        except MalformedBody as malformed:
            return Reading(unread=malformed.reason), ""
        if type(body) is not dict:
            return Reading(unread="shape"), ""
        token = body.get("token")
        if (
            type(token) is dict
            and token.get("special") is False
            and type(text := token.get("text")) is str
            and body.get("generated_text") is None
            and body.get("details") is None
            and not body.get("top_tokens")
            and body.keys() <= _EVENT_KNOWN
            and token.keys() <= tgi_read.TOKEN_FIELDS
            and type(token.get("logprob")) in _NUMBERS
            and type(token.get("id")) is int
            and type(body.get("index", 0)) is int
        ):
            self._open[_CONTENT] = None
            return Reading((Segment(_CONTENT, text, _TOKEN),) if text else ()), text
        return self._whole(body)

    def _whole(self, body: dict[str, object]) -> tuple[Reading, str]:
        leaves, said, token = Leaves(), "", body.get("token")
        usage = used.generated([body])
        if isinstance(token, dict):
            said = tgi_read.token(leaves, token, ("token",))
            body = {name: value for name, value in body.items() if name != "token"}
        whole = body.get("generated_text")
        finished = isinstance(whole, str) or "error" in body
        if isinstance(whole, str) and whole == "".join(self._said) + said:
            leaves.segments.append(Segment(_CONTENT, "", _WHOLE))
        elif isinstance(whole, str):
            leaves.text(_AGAIN, whole, _WHOLE)
        else:
            leaves.tree(_AGAIN, whole, _WHOLE)
        known = {"generated_text"}
        if tgi_read.are_guesses(body.get("top_tokens")):
            known.add("top_tokens")
        rest = {name: value for name, value in body.items() if name not in known}
        tgi_read.sequence(leaves, rest, (), 0)
        self._open.update(dict.fromkeys(segment.channel for segment in leaves.segments))
        closed = list(self._open) if finished else []
        if finished:
            self._open.clear()
        return Reading(leaves.segments, closed, finished, ",".join(sorted(leaves.unread)), usage), said

    def edit(self, frame: bytes, edits: Sequence[Edit]) -> bytes:
        """The frame that is the next to be released; the last one's replica changes as what it repeats has changed."""
        part = self._waiting[0] if self._waiting else ""
        own = [change for change in edits if change.path == _TOKEN]
        self._new = editing.rewrite(part, own) if own and part else part
        changes = [change for change in edits if change.path[:1] != ("top_tokens",)]
        data = sse.fields(frame)[1]
        whole = _whole_text(data) if b'"generated_text"' in data else None
        if whole is not None and not any(change.path == _WHOLE for change in edits):
            sent = "".join(self._sent) + self._new
            if whole != sent and whole == self._until():
                changes.append(Edit(_WHOLE, 0, len(whole), sent))
        edited = editing.apply(data, changes, erase=_GUESSES) if changes else data
        self._edited = sse.with_data(frame, edited) if changes else frame
        return self._edited

    def _until(self) -> str:
        """What the upstream had said with the next frame to be released."""
        return "".join(self._said[: len(self._said) - len(self._waiting) + 1])

    def released(self, frame: bytes) -> None:
        part = self._waiting.popleft() if self._waiting else ""
        self._sent.append(self._new if frame == self._edited else part)
        self._edited = b""
        if b'"generated_text":null' in frame:
            return
        data = sse.fields(frame)[1]
        if data and not self._done:
            body = _object(data)
            self._done = isinstance(body.get("generated_text"), str) or "error" in body

    def ending(self, refusal: Refusal) -> bytes:
        return b"" if self._done else event(error(refusal))


def _object(data: bytes) -> dict[str, object]:
    try:
        body = loads(data)
    except MalformedBody:
        return {}
    return body if isinstance(body, dict) else {}


def _whole_text(data: bytes) -> str | None:
    whole = _object(data).get("generated_text")
    return whole if isinstance(whole, str) else None

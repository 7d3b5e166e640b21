"""A streamed OpenAI response: deltas build texts up, later events repeat them whole, a last event repeats everything.

What an event repeats is a replica: it gives no text of its own, waits for that of its channel, and is edited with it.
A segment without text says so. A stream that is broken off ends in `response.incomplete`, reason "content_filter": the
official SDK's helper then has no final response to give, and raw readers see the status. A call that the client has
not seen whole is left out of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from safeguards_extproc.core.text import Channel, Edit, Path, Reading, Refusal, Segment
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import edits as editing
from safeguards_extproc.wire import responses_events, sse, used
from safeguards_extproc.wire.openai_stream import DONE
from safeguards_extproc.wire.responses_ending import Seen
from safeguards_extproc.wire.strict_json import loads, spans

_PLAIN = responses_events.POSITIONS | {
    "type",
    "sequence_number",
    "item_id",
    "output_index",
    "delta",
    "logprobs",
    "obfuscation",
}
_DELTA: Path = ("delta",)


def edit(body: bytes, edits: Sequence[Edit]) -> bytes:
    """`body` edited; where a text changes, the tokens that repeat it beside it go."""
    edited = editing.apply(body, edits)
    tokens = {(*change.path[:-1], "logprobs") for change in edits if change.path and change.path[-1] in _WITH_TOKENS}
    found = spans(edited, tokens) if tokens else {}
    return editing.splice(edited, [(*span, b"[]") for span in found.values()]) if found else edited


_WITH_TOKENS = ("text", "delta")


class Text:
    """One string of the answer: what the upstream said of it, and what the client has got."""

    __slots__ = ("_said", "_sent")

    def __init__(self) -> None:
        self._said: list[str] = []
        self._sent: list[str] = []

    def say(self, text: str) -> None:
        self._said.append(text)

    def send(self, text: str) -> None:
        self._sent.append(text)

    @property
    def said(self) -> str:
        return _joined(self._said)

    @property
    def sent(self) -> str:
        return _joined(self._sent)


def _joined(pieces: list[str]) -> str:
    if len(pieces) > 1:
        pieces[:] = ["".join(pieces)]
    return pieces[0] if pieces else ""


@dataclass(slots=True)
class _Piece:
    """Of `text`, a frame that waits holds `words` at `path`: more of it, or as a replica all of it so far."""

    text: Text
    path: Path
    words: str = field(repr=False)
    replica: bool = False


_Grown = tuple[Text, str]
"""The one piece of a frame that only adds to a text."""

_NOTHING: list[_Piece] = []
"""The pieces of every frame without any: never changed."""


class ResponseStream:
    """A `core.text.StreamReader`."""

    __slots__ = ("_edited", "_new", "_open", "_parted", "_plain", "_seen", "_texts", "_waiting")

    def __init__(self) -> None:
        self._texts: dict[Path, Text] = {}  # by place in the answer
        self._plain: dict[tuple[str, int, int], tuple[Channel, Text]] = {}  # that grow: by type, item and position
        self._open: dict[str, dict[Channel, None]] = {}  # by item, in the order of their first text
        self._waiting: deque[_Grown | list[_Piece]] = deque()  # of frames that were read and have not been released
        self._parted: set[Path] = set()  # places after which a separator has come
        self._seen = Seen(self._sent)
        self._edited, self._new = b"", dict[Path, str]()

    def read(self, frame: bytes) -> Reading:
        _, data = sse.fields(frame)
        try:
            body = loads(data) if data else None
        except MalformedBody as error:
            self._waiting.append(_NOTHING)
            if data.strip() == DONE:
                return Reading(closed=self._close_all(), finished=True)
            return Reading(unread=error.reason)
        if type(body) is dict:
            segment = self._goes_on(body)
            return self._whole(body) if segment is None else Reading((segment,))
        self._waiting.append(_NOTHING)
        return Reading(unread="shape" if data else "")

    def _goes_on(self, body: dict[str, Any]) -> Segment | None:
        """The segment of the common case, a text that goes on; None for anything else."""
        type_ = body.get("type")
        if not isinstance(type_, str):
            return None
        grows = responses_events.DELTAS.get(type_)
        if grows is None or body.get("logprobs") or not body.keys() <= _PLAIN:
            return None
        delta, item, at = body.get("delta"), body.get("output_index"), body.get(grows.index, 0)
        if type(delta) is not str or not delta or type(item) is not int or type(at) is not int:
            return None
        known = self._plain.get((type_, item, at))
        if known is None:
            channel = grows.channel(item)
            text = self._texts.setdefault(grows.place(item, at), Text())
            known = self._plain[type_, item, at] = channel, text
            self._open.setdefault(str(item), {})[channel] = None
        channel, text = known
        text.say(delta)
        self._waiting.append((text, delta))
        return Segment(channel, delta, _DELTA)

    def _whole(self, body: dict[str, Any]) -> Reading:
        said = responses_events.read(body)
        segments = self._fresh(said)
        for segment in segments:
            if segment.text:
                name = segment.channel[1].partition(".")[0]
                self._open.setdefault(name, {})[segment.channel] = None
        closed: list[Channel] = []
        type_ = body.get("type")
        finished = isinstance(type_, str) and type_ in responses_events.TERMINAL
        if finished:
            closed = self._close_all()
        elif "response" in body:
            # What the request set is repeated here and does not go on: the first frame need not wait for more of it.
            closed = [channel for name in self._open if not name.isdecimal() for channel in self._open[name]]
        elif said.item >= 0:
            closed = list(self._open.pop(str(said.item), {}))
            self._plain = {at: known for at, known in self._plain.items() if at[1] != said.item}
        elif said.ends is not None:
            closed = [said.ends]
        response = body.get("response")
        usage = used.told(response) if isinstance(response, dict) else None
        return Reading(segments, closed, finished, ",".join(sorted(said.leaves.unread)), usage)

    def _close_all(self) -> list[Channel]:
        closed = [channel for opened in self._open.values() for channel in opened]
        self._open.clear()
        self._plain.clear()
        return closed

    def _fresh(self, said: responses_events.Said) -> list[Segment]:
        """The segments that say something new, and one without text for each replica; notes what the frame holds."""
        segments: list[Segment] = []
        pieces: list[_Piece] = []
        last: Path = ()
        replica = False
        for segment, place in said.located():
            if not segment.path:
                if not replica:
                    segments.append(segment)
                    self._parted.add(last)
                continue
            last = place
            text = self._texts.setdefault(place, Text()) if place else Text()
            replica = not said.grows and text.said == segment.text
            pieces.append(_Piece(text, segment.path, segment.text, replica))
            if replica:
                segments.append(Segment(segment.channel, "", segment.path))
                continue
            if not said.grows and text.said:
                # The upstream says something else than before: a text of its own, and the one that the client keeps.
                text = self._texts[place] = Text()
                pieces[-1] = _Piece(text, segment.path, segment.text)
                segment.channel = (segment.channel[0], segment.channel[1] + ".again")
            text.say(segment.text)
            segments.append(segment)
        if said.parted is not None and said.parted[1] not in self._parted:
            self._parted.add(said.parted[1])
            segments.append(Segment(said.parted[0], "\n", ()))
        self._waiting.append(pieces)
        return segments

    def edit(self, frame: bytes, edits: Sequence[Edit]) -> bytes:
        """The frame that is the next to be released; its replicas change as what they repeat has changed."""
        changes, self._new = list(edits), {}
        for piece in _pieces(self._waiting[0]) if self._waiting else ():
            if piece.replica:
                if piece.text.sent != piece.words:
                    changes.append(Edit(piece.path, 0, len(piece.words), piece.text.sent))
                continue
            own = [change for change in edits if change.path == piece.path]
            if own:
                self._new[piece.path] = editing.rewrite(piece.words, own)
        self._edited = sse.with_data(frame, edit(sse.fields(frame)[1], changes)) if changes else frame
        return self._edited

    def released(self, frame: bytes) -> None:
        waiting = self._waiting.popleft() if self._waiting else []
        new = self._new if frame == self._edited else {}
        if type(waiting) is tuple and not new:
            waiting[0].send(waiting[1])
        else:
            for piece in _pieces(waiting):
                if not piece.replica:
                    piece.text.send(new.get(piece.path, piece.words))
        self._edited, self._new = b"", {}
        self._seen.take(frame)

    def ending(self, refusal: Refusal) -> bytes:
        return self._seen.ending(refusal)

    def _sent(self, place: Path) -> str:
        text = self._texts.get(place)
        return text.sent if text is not None else ""


def _pieces(waiting: _Grown | list[_Piece]) -> list[_Piece]:
    return [_Piece(waiting[0], _DELTA, waiting[1])] if isinstance(waiting, tuple) else waiting

"""A format that the request's body has shown, where no header names one: the answer then shows its own.

A client chooses its request's shape, so an answer is never read by that alone: what the upstream says decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from safeguards_extproc.core.text import Answer, Document, Edit, Format, Framer, Reading, Refusal, StreamReader
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import eventstream, sse
from safeguards_extproc.wire.invoke_stream import CHUNK
from safeguards_extproc.wire.shapes import SHAPES, ambiguous, is_object
from safeguards_extproc.wire.strict_json import MAX_VALUES, loads


def recognise(body: bytes, formats: Mapping[str, Format]) -> Recognised | None:
    """The format whose shape a request has; None for what is no JSON object, or has no known API's shape.

    Raises MalformedBody for what begins as an object does and is no strict JSON: it may be one to the upstream; and
    for what is asked in the members of two APIs, because only the upstream knows which of them it answers.
    """
    if not is_object(body):
        return None
    value = {name: item for name, item in loads(body, max_values=MAX_VALUES).items() if item is not None}
    for shape in SHAPES:
        if shape.request(value):
            if ambiguous(value):
                raise MalformedBody("shape")
            return Recognised(formats[shape.format], formats)
    return None


class Recognised:
    """A `core.text.Format`: that of the request, and for an answer that of the answer's own shape."""

    def __init__(self, format_: Format, formats: Mapping[str, Format]) -> None:
        self.asked, self._formats = format_, formats

    @property
    def name(self) -> str:
        return self.asked.name

    def read_request(self, body: bytes) -> Document:
        return self.asked.read_request(body)

    def read_response(self, body: bytes, status: int) -> Document:
        return self.answering(body).read_response(body, status)

    def edit(self, body: bytes, edits: Sequence[Edit]) -> bytes:
        """Of a request or an answer: no request has an answer's shape."""
        return self.answering(body).edit(body, edits)

    def steer(self, body: bytes, instruction: str) -> bytes:
        return self.asked.steer(body, instruction)

    def framer(self, media: str) -> Framer | None:
        return self.asked.framer(media)

    def stream(self) -> RecognisedStream:
        return RecognisedStream(self)

    def refuse(self, refusal: Refusal) -> Answer:
        return self.asked.refuse(refusal)

    def answer(self, refusal: Refusal, *, model: str, streamed: bool) -> Answer:
        return self.asked.answer(refusal, model=model, streamed=streamed)

    def answering(self, body: bytes) -> Format:
        """The format of an answer's JSON; the request's where it has no known shape."""
        try:
            value: Any = loads(body)
        except MalformedBody:
            return self.asked
        return self.shown(value) or self.asked

    def opening(self, frame: bytes) -> Format | None:
        """The format of a stream that has this frame, among those that are framed so."""
        if self.asked.framer(sse.MEDIA) is None:
            name = _binary(frame)
            return self._formats["bedrock_invoke" if name == CHUNK else "bedrock_converse"] if name else None
        found = self.shown(_event(frame))
        return found if found is not None and found.framer(sse.MEDIA) is not None else None

    def shown(self, value: Any) -> Format | None:
        """The format that an answer or an event has the shape of."""
        if isinstance(value, dict):
            for shape in SHAPES:
                if shape.answer(value):
                    return self._formats[shape.format]
        return None


class RecognisedStream:
    """A `core.text.StreamReader`: the first event that has a shape decides whose reader reads it and all others."""

    __slots__ = ("_format", "_fresh", "_reader")

    def __init__(self, format_: Recognised) -> None:
        self._format, self._fresh = format_, True
        self._reader: StreamReader = format_.asked.stream()

    def read(self, frame: bytes) -> Reading:
        if self._fresh:
            found = self._format.opening(frame)
            if found is not None:
                self._fresh, self._reader = False, found.stream()
        return self._reader.read(frame)

    def edit(self, frame: bytes, edits: Sequence[Edit]) -> bytes:
        return self._reader.edit(frame, edits)

    def ending(self, refusal: Refusal) -> bytes:
        return self._reader.ending(refusal)

    def released(self, frame: bytes) -> None:
        self._reader.released(frame)


def _binary(frame: bytes) -> str:
    """The name of what is in a frame of Bedrock's; "" for any other frame."""
    try:
        return eventstream.parse(frame).name
    except MalformedBody:
        return ""


def _event(frame: bytes) -> Any:
    """The JSON of a server-sent event; None of any other frame."""
    try:
        return loads(sse.fields(frame)[1])
    except MalformedBody:
        return None

"""KServe v2's inference over HTTP, and Triton's generate extension, streamed or not.

A stream has no last event of its own: it ends with the connection. One that is broken off ends with the dialect's error
event, which its documentation tells every client to look for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from safeguards_extproc.core.text import Answer, Channel, Document, Edit, Kind, Path, Reading, Refusal, Segment
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import edits as editing
from safeguards_extproc.wire import kserve_read, openai_read, refusals, sse
from safeguards_extproc.wire.leaves import Leaves
from safeguards_extproc.wire.strict_json import MAX_VALUES, loads

ID_HEADER = "x-request-id"

_CONTENT: Channel = (Kind.CONTENT, "0")
_PATH: Path = ("text_output",)


class KServeV2:
    """A `core.text.Format`. `streamed`: the path is that of streams; `tensors`: that of inference on named tensors."""

    name = "kserve_v2"

    def __init__(self, *, streamed: bool = False, tensors: bool = False) -> None:
        self.streamed, self.tensors = streamed, tensors

    def read_request(self, body: bytes) -> Document:
        request, binary = kserve_read.read_object(body, MAX_VALUES)
        leaves = Leaves()
        count = kserve_read.request(leaves, request, binary)
        document = openai_read.asked(leaves, {}, count)
        document.streamed = self.streamed
        return document

    def read_response(self, body: bytes, status: int) -> Document:
        leaves = Leaves()
        if status >= 400:
            leaves.tree(kserve_read.ERROR, loads(body), ())
            return Document(leaves.segments, unread=frozenset(leaves.unread))
        answer, binary = kserve_read.read_object(body)
        kserve_read.response(leaves, answer, binary)
        model = answer.get("model_name")
        return Document(leaves.segments, model=model if isinstance(model, str) else "", unread=frozenset(leaves.unread))

    def edit(self, body: bytes, edits: Sequence[Edit]) -> bytes:
        """Raises MalformedBody("shape") where tensors follow the JSON: a header says how long that is."""
        if not edits:
            return body
        if kserve_read.read_object(body)[1]:
            raise MalformedBody("shape")
        return editing.apply(body, edits)

    def steer(self, body: bytes, instruction: str) -> bytes:
        """A prompt has no place for an instruction: raises MalformedBody("shape")."""
        raise MalformedBody("shape")

    def framer(self, media: str) -> sse.Framer | None:
        return sse.Framer() if media == sse.MEDIA else None

    def stream(self) -> GenerateStream:
        return GenerateStream()

    def refuse(self, refusal: Refusal) -> Answer:
        return refusals.error(refusal, _error(refusal), id_header=ID_HEADER)

    def answer(self, refusal: Refusal, *, model: str, streamed: bool) -> Answer:
        """The dialect has no reason to finish: the words are the answer."""
        whole: dict[str, Any] = {"model_name": model, "model_version": "1"}
        if self.tensors:
            tensor = {"name": "text_output", "datatype": "BYTES", "shape": [1], "data": [refusal.message]}
            whole["outputs"] = [tensor]
        else:
            whole["text_output"] = refusal.message
        body = editing.dumps(whole)
        return refusals.success(
            refusal, sse.event("", body) if streamed else body, id_header=ID_HEADER, streamed=streamed
        )


class GenerateStream:
    """A `core.text.StreamReader`."""

    __slots__ = ("_done", "_open", "_plain")

    def __init__(self) -> None:
        self._done = False
        self._open: dict[Channel, None] = {}
        self._plain: dict[str, Any] | None = None  # what last stood beside a text and held none

    def read(self, frame: bytes) -> Reading:
        _, data = sse.fields(frame)
        if not data:
            return Reading()
        try:
            body = loads(data)
        except MalformedBody as error:
            return Reading(unread=error.reason)
        if type(body) is not dict:
            return Reading(unread="shape")
        text, rest = body.get("text_output"), {name: value for name, value in body.items() if name != "text_output"}
        if type(text) is str and rest == self._plain:
            self._open[_CONTENT] = None
            return Reading((Segment(_CONTENT, text, _PATH),) if text else ())
        leaves = Leaves()
        kserve_read.response(leaves, body)
        if not leaves.unread and all(segment.path == _PATH for segment in leaves.segments):
            self._plain = rest
        self._open.update(dict.fromkeys(segment.channel for segment in leaves.segments))
        unread = ",".join(sorted(leaves.unread))
        if "error" not in body:
            return Reading(leaves.segments, unread=unread)
        closed = list(self._open)
        self._open.clear()
        return Reading(leaves.segments, closed, finished=True, unread=unread)

    def edit(self, frame: bytes, edits: Sequence[Edit]) -> bytes:
        return sse.with_data(frame, editing.apply(sse.fields(frame)[1], edits))

    def released(self, frame: bytes) -> None:
        if b'"error"' in frame:
            try:
                body = loads(sse.fields(frame)[1])
            except MalformedBody:
                return
            self._done = self._done or (isinstance(body, dict) and "error" in body)

    def ending(self, refusal: Refusal) -> bytes:
        return b"" if self._done else sse.event("", _error(refusal))


def _error(refusal: Refusal) -> bytes:
    return editing.dumps({"error": refusal.message or refusal.reason})

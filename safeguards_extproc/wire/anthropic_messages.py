"""Anthropic Messages, from Anthropic or through Vertex AI, and the requests that only count its tokens."""

from __future__ import annotations

from collections.abc import Sequence

from safeguards_extproc.core.text import Answer, Document, Edit, Refusal
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import anthropic_read, refusals, sse, used
from safeguards_extproc.wire import edits as editing
from safeguards_extproc.wire.anthropic_stream import MessageStream, event, refused, refused_events
from safeguards_extproc.wire.leaves import Leaves
from safeguards_extproc.wire.raw import fill
from safeguards_extproc.wire.strict_json import MAX_VALUES, loads, read_object

ID_HEADER = "request-id"

_ERRORS = {
    "policy": "invalid_request_error",
    "suspended": "permission_error",
    "throttled": "rate_limit_error",
    "too-large": "request_too_large",
    "unsupported-encoding": "invalid_request_error",
    "malformed": "invalid_request_error",
    "unavailable": "api_error",
    "timeout": "timeout_error",
}


class AnthropicMessages:
    """A `core.text.Format`.

    `vertex`: the path names the model, whatever the body says. `streamed`: the path asks for an event stream.
    """

    name = "anthropic_messages"

    def __init__(self, *, vertex: bool = False, streamed: bool = False) -> None:
        self._vertex, self._streamed = vertex, streamed

    def read_request(self, body: bytes) -> Document:
        document, raw = anthropic_read.request(read_object(body, MAX_VALUES))
        fill(body, raw, document.segments)
        document.streamed = document.streamed or self._streamed
        if self._vertex:
            document.model = ""
        return document

    def read_response(self, body: bytes, status: int) -> Document:
        if status < 400:
            answer = read_object(body)
            document, raw = anthropic_read.response(answer)
            fill(body, raw, document.segments)
            document.usage = used.told(answer)
            return document
        leaves = Leaves()
        anthropic_read.error(leaves, loads(body), ())
        return Document(leaves.segments, unread=frozenset(leaves.unread))

    def edit(self, body: bytes, edits: Sequence[Edit]) -> bytes:
        return editing.apply(body, edits)

    def steer(self, body: bytes, instruction: str) -> bytes:
        """The instruction ends the system prompt; without one it is the system prompt."""
        request = read_object(body)
        match request.get("system"):
            case str(system) if system:
                return editing.apply(body, [Edit(("system",), len(system), len(system), "\n\n" + instruction)])
            case list():
                return editing.append_item(body, ("system",), editing.dumps({"type": "text", "text": instruction}))
            case None | "" if "system" in request:
                return editing.replace(body, ("system",), editing.dumps(instruction))
            case None:
                return editing.insert_first(body, (), b'"system":' + editing.dumps(instruction))
        raise MalformedBody("shape")

    def framer(self, media: str) -> sse.Framer | None:
        return sse.Framer() if media == sse.MEDIA else None

    def stream(self) -> MessageStream:
        return MessageStream()

    def refuse(self, refusal: Refusal) -> Answer:
        error = {"type": _ERRORS.get(refusal.reason, _ERRORS["policy"]), "message": refusal.message}
        body = editing.dumps({"type": "error", "error": error, "request_id": refusal.id or None})
        return refusals.error(refusal, body, id_header=ID_HEADER)

    def answer(self, refusal: Refusal, *, model: str, streamed: bool) -> Answer:
        if streamed:
            body = b"".join(map(event, refused_events(refusal, model)))
        else:
            body = editing.dumps(refused(refusal, model))
        return refusals.success(refusal, body, id_header=ID_HEADER, streamed=streamed)

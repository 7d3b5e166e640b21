"""Bedrock Converse and ConverseStream: one request for every model, whose name stands in the path."""

from __future__ import annotations

from collections.abc import Sequence

from safeguards_extproc.core.text import Answer, Document, Edit, Refusal
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import bedrock, bedrock_read, eventstream, used
from safeguards_extproc.wire import edits as editing
from safeguards_extproc.wire.bedrock_stream import (
    STOPPED,
    ConverseStream,
    details,
    first_events,
    last_events,
    text_events,
    usage,
)
from safeguards_extproc.wire.leaves import Leaves
from safeguards_extproc.wire.raw import fill
from safeguards_extproc.wire.strict_json import MAX_VALUES, loads, read_object


class BedrockConverse:
    """A `core.text.Format`. `streamed`: the path asks for an event stream; no body says so."""

    name = "bedrock_converse"

    def __init__(self, *, streamed: bool = False) -> None:
        self._streamed = streamed

    def read_request(self, body: bytes) -> Document:
        document, raw = bedrock_read.request(read_object(body, MAX_VALUES))
        fill(body, raw, document.segments)
        document.streamed = self._streamed
        return document

    def read_response(self, body: bytes, status: int) -> Document:
        if status < 400:
            answer = read_object(body)
            document, raw = bedrock_read.response(answer)
            fill(body, raw, document.segments)
            document.usage = used.told(answer)
            return document
        leaves = Leaves()
        bedrock.error(leaves, loads(body), ())
        return Document(leaves.segments, unread=frozenset(leaves.unread))

    def edit(self, body: bytes, edits: Sequence[Edit]) -> bytes:
        return editing.apply(body, edits)

    def steer(self, body: bytes, instruction: str) -> bytes:
        """The instruction ends the system prompt; without one it is the system prompt."""
        request, block = read_object(body), editing.dumps({"text": instruction})
        match request.get("system"):
            case list():
                return editing.append_item(body, ("system",), block)
            case None if "system" in request:
                return editing.replace(body, ("system",), b"[" + block + b"]")
            case None:
                return editing.insert_first(body, (), b'"system":[' + block + b"]")
        raise MalformedBody("shape")

    def framer(self, media: str) -> eventstream.Framer | None:
        return eventstream.Framer() if media == eventstream.MEDIA else None

    def stream(self) -> ConverseStream:
        return ConverseStream()

    def refuse(self, refusal: Refusal) -> Answer:
        return bedrock.refuse(refusal)

    def answer(self, refusal: Refusal, *, model: str, streamed: bool) -> Answer:
        """What a guardrail of Bedrock's own answers. Usage is zero: no model was asked for what the client gets."""
        if streamed:
            body = first_events() + text_events(refusal.message) + last_events(refusal)
            return bedrock.success(refusal, body, eventstream.MEDIA)
        message = {"role": "assistant", "content": [{"text": refusal.message}]}
        whole = {
            "output": {"message": message},
            "stopReason": STOPPED,
            "usage": usage(),
            "metrics": {"latencyMs": 0},
            "additionalModelResponseFields": details(refusal),
        }
        return bedrock.success(refusal, editing.dumps(whole), eventstream.JSON)

"""What no format claims: nothing of it is read, and a refusal is a plain JSON error object."""

from __future__ import annotations

from collections.abc import Sequence

from safeguards_extproc.core.text import Answer, Document, Edit, Reading, Refusal
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import edits as editing
from safeguards_extproc.wire import refusals, sse

UNREAD = frozenset(("opaque",))
ID_HEADER = "x-request-id"


class Opaque:
    """A `core.text.Format` without text; a document of it says so in `unread`."""

    name = "opaque"

    def read_request(self, body: bytes) -> Document:
        return Document([], unread=UNREAD)

    def read_response(self, body: bytes, status: int) -> Document:
        return Document([], unread=UNREAD)

    def edit(self, body: bytes, edits: Sequence[Edit]) -> bytes:
        """There is no place to edit: raises MalformedBody("shape") if asked to."""
        if edits:
            raise MalformedBody("shape")
        return body

    def steer(self, body: bytes, instruction: str) -> bytes:
        """There is no place for an instruction: raises MalformedBody("shape")."""
        raise MalformedBody("shape")

    def framer(self, media: str) -> sse.Framer | None:
        return sse.Framer() if media == sse.MEDIA else None

    def stream(self) -> OpaqueStream:
        return OpaqueStream()

    def refuse(self, refusal: Refusal) -> Answer:
        body = {"error": {"message": refusal.message, "type": refusal.reason, "id": refusal.id or None}}
        return refusals.error(refusal, editing.dumps(body), id_header=ID_HEADER)

    def answer(self, refusal: Refusal, *, model: str, streamed: bool) -> Answer:
        """Without a dialect there is no successful way to say no: an error."""
        return self.refuse(refusal)


class OpaqueStream:
    """A `core.text.StreamReader` that reads nothing and has nothing to say at the end."""

    __slots__ = ()

    def read(self, frame: bytes) -> Reading:
        return Reading()

    def edit(self, frame: bytes, edits: Sequence[Edit]) -> bytes:
        if edits:
            raise MalformedBody("shape")
        return frame

    def ending(self, refusal: Refusal) -> bytes:
        return b""

    def released(self, frame: bytes) -> None:
        pass

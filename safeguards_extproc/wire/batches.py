"""Batches: many requests in one body, or the name of a file that holds them, which is read when it is uploaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from safeguards_extproc.core.text import Answer, Document, Edit, Format, Framer, Kind, Refusal, Segment, StreamReader
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import anthropic_read
from safeguards_extproc.wire import edits as editing
from safeguards_extproc.wire.leaves import Leaves, words
from safeguards_extproc.wire.raw import fill
from safeguards_extproc.wire.strict_json import MAX_VALUES, loads

_FIELDS = (Kind.OTHER, "fields")
_REQUEST_IDENTIFIERS = words("input_file_id endpoint completion_window anchor")
_ANSWER_IDENTIFIERS = words(
    "id type object endpoint status processing_status input_file_id output_file_id error_file_id completion_window "
    "model created_at ended_at expires_at archived_at cancel_initiated_at results_url"
)


class Batches:
    """A `core.text.Format`; errors and refusals are those of `dialect`."""

    name = "batches"

    def __init__(self, dialect: Format) -> None:
        self._dialect = dialect

    def read_request(self, body: bytes) -> Document:
        """Anthropic's requests stand in the body, each read as on its own; of OpenAI's there is only a file's name."""
        batch = loads(body, max_values=MAX_VALUES)
        if not isinstance(batch, dict):
            raise MalformedBody("shape")
        leaves, raw = Leaves(), []
        requests = batch.get("requests")
        model, listed = "", isinstance(requests, list)
        for index, request in enumerate(requests if isinstance(requests, list) else ()):
            params = request.get("params") if isinstance(request, dict) else None
            if isinstance(params, dict):
                document, blocks = anthropic_read.request(params)
                for segment in document.segments:
                    _move(segment, index)
                leaves.segments += document.segments
                leaves.unread |= document.unread
                raw += blocks
                model = model or document.model
                leaves.rest(_FIELDS, request, ("requests", index), frozenset(("params",)), frozenset(("custom_id",)))
            else:
                leaves.tree((Kind.USER, str(index)), request, ("requests", index))
        if "input_file_id" in batch:
            leaves.unread.add("file-reference")
        known = frozenset(("requests",)) if listed else frozenset()
        leaves.rest(_FIELDS, batch, (), known, _REQUEST_IDENTIFIERS)
        fill(body, raw, leaves.segments)
        features: dict[str, Any] = {"requests": len(requests) if isinstance(requests, list) else 0}
        return Document(leaves.segments, model=model, features=features, unread=frozenset(leaves.unread))

    def read_response(self, body: bytes, status: int) -> Document:
        """What the server says of the batch; the answers are fetched later."""
        if status >= 400:
            return self._dialect.read_response(body, status)
        leaves = Leaves()
        leaves.tree(_FIELDS, loads(body), (), _ANSWER_IDENTIFIERS)
        return Document(leaves.segments, unread=frozenset(leaves.unread))

    def edit(self, body: bytes, edits: Sequence[Edit]) -> bytes:
        return editing.apply(body, edits)

    def steer(self, body: bytes, instruction: str) -> bytes:
        """There is no one place for an instruction: raises MalformedBody("shape")."""
        raise MalformedBody("shape")

    def framer(self, media: str) -> Framer | None:
        return self._dialect.framer(media)

    def stream(self) -> StreamReader:
        return self._dialect.stream()

    def refuse(self, refusal: Refusal) -> Answer:
        return self._dialect.refuse(refusal)

    def answer(self, refusal: Refusal, *, model: str, streamed: bool) -> Answer:
        """A batch that says no is an error."""
        return self.refuse(refusal)


def _move(segment: Segment, index: int) -> None:
    """From its own request's body into the batch's."""
    kind, name = segment.channel
    segment.channel = kind, f"{index}.{name}"
    if segment.path:
        segment.path = ("requests", index, "params", *segment.path)

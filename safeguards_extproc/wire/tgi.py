"""Hugging Face's Text Generation Inference: its own API beside the ones that it shares with OpenAI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from safeguards_extproc.core.text import Answer, Document, Edit, Path, Refusal
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import edits as editing
from safeguards_extproc.wire import openai_read, refusals, sse, tgi_read, used
from safeguards_extproc.wire.leaves import Leaves
from safeguards_extproc.wire.strict_json import MAX_VALUES, loads, read_object
from safeguards_extproc.wire.tgi_stream import TokenStream, error, event

ID_HEADER = "x-request-id"


class TGI:
    """A `core.text.Format`. `streamed`: the path is that of streams; `listed`: the root's, whose answers are lists."""

    name = "tgi"

    def __init__(self, *, streamed: bool = False, listed: bool = False) -> None:
        self.streamed, self.listed = streamed, listed

    def read_request(self, body: bytes) -> Document:
        """Only the root asks for a stream in the body."""
        request, leaves = read_object(body, MAX_VALUES), Leaves()
        count = tgi_read.request(leaves, request)
        document = openai_read.asked(leaves, {}, count)
        document.streamed = self.streamed or (self.listed and request.get("stream") is True)
        return document

    def read_response(self, body: bytes, status: int) -> Document:
        value, leaves = loads(body), Leaves()
        if status >= 400:
            leaves.tree(tgi_read.ERROR, value, (), frozenset(("error_type",)))
            return Document(leaves.segments, unread=frozenset(leaves.unread))
        listed = value if isinstance(value, list) else [value]
        for index, item in enumerate(listed):
            if not isinstance(item, dict):
                raise MalformedBody("shape")
            tgi_read.sequence(leaves, item, (index,) if listed is value else (), index)
        return Document(leaves.segments, unread=frozenset(leaves.unread), usage=used.generated(listed))

    def edit(self, body: bytes, edits: Sequence[Edit]) -> bytes:
        """Where a text changes, the tokens that repeat it become null."""
        erase: set[Path] = set()
        for edit in edits:
            if edit.path and edit.path[-1] == "generated_text":
                inside = edit.path[:-1] if "best_of_sequences" in edit.path else (*edit.path[:-1], "details")
                erase |= {(*inside, name) for name in tgi_read.REPLICAS}
        kept = [edit for edit in edits if not any(edit.path[: len(path)] == path for path in erase)]
        return editing.apply(body, kept, erase=erase)

    def steer(self, body: bytes, instruction: str) -> bytes:
        """A prompt has no place for an instruction: raises MalformedBody("shape")."""
        raise MalformedBody("shape")

    def framer(self, media: str) -> sse.Framer | None:
        return sse.Framer() if media == sse.MEDIA else None

    def stream(self) -> TokenStream:
        return TokenStream()

    def refuse(self, refusal: Refusal) -> Answer:
        return refusals.error(refusal, error(refusal), id_header=ID_HEADER)

    def answer(self, refusal: Refusal, *, model: str, streamed: bool) -> Answer:
        """The dialect has no reason to finish that says no: the words are the answer."""
        whole: dict[str, Any] = {"generated_text": refusal.message}
        if streamed:
            token = {"id": 0, "text": refusal.message, "logprob": 0.0, "special": False}
            details = {"finish_reason": "eos_token", "generated_tokens": 1, "seed": None, "input_length": 0}
            body = event(editing.dumps({"index": 1, "token": token, **whole, "details": details}))
        else:
            body = editing.dumps([whole] if self.listed else whole)
        return refusals.success(refusal, body, id_header=ID_HEADER, streamed=streamed)

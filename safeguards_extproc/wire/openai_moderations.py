"""OpenAI Moderations: text is judged, and the verdict is numbers by category."""

from __future__ import annotations

from collections.abc import Sequence

from safeguards_extproc.core.text import Answer, Document, Edit, Refusal
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import edits as editing
from safeguards_extproc.wire import openai_read
from safeguards_extproc.wire.leaves import Leaves, identifier, words
from safeguards_extproc.wire.opaque import OpaqueStream
from safeguards_extproc.wire.openai_api import prompts, read_error, refuse
from safeguards_extproc.wire.openai_message import FIELDS
from safeguards_extproc.wire.strict_json import MAX_VALUES, read_object

_REQUEST_KNOWN = words("input")
_INPUT_TYPES = "category_applied_input_types"


class OpenAIModerations:
    """A `core.text.Format` without streams."""

    name = "openai_moderations"

    def read_request(self, body: bytes) -> Document:
        """Each input, or part of one, is the user's; pictures are unread."""
        request, leaves = read_object(body, MAX_VALUES), Leaves()
        count = prompts(leaves, request["input"], ("input",)) if request.get("input") else 0
        openai_read.members(leaves, request, _REQUEST_KNOWN)
        return openai_read.asked(leaves, request, count)

    def read_response(self, body: bytes, status: int) -> Document:
        """Categories and kinds of input are from closed sets; anything else is text."""
        if status >= 400:
            return read_error(body)
        answer, leaves = read_object(body), Leaves()
        results, model = answer.get("results"), answer.get("model")
        for index, result in enumerate(results if isinstance(results, list) else ()):
            types = result.get(_INPUT_TYPES) if isinstance(result, dict) else None
            names = frozenset(filter(identifier, types)) if isinstance(types, dict) else frozenset()
            leaves.tree(FIELDS, result, ("results", index), names)
        if not isinstance(results, list):
            leaves.tree(FIELDS, results, ("results",))
        openai_read.beside(leaves, {name: value for name, value in answer.items() if name != "results"})
        return Document(leaves.segments, model=model if isinstance(model, str) else "", unread=frozenset(leaves.unread))

    def edit(self, body: bytes, edits: Sequence[Edit]) -> bytes:
        return editing.apply(body, edits)

    def steer(self, body: bytes, instruction: str) -> bytes:
        """No model is told anything: raises MalformedBody("shape")."""
        raise MalformedBody("shape")

    def framer(self, media: str) -> None:
        """Every body is read whole."""

    def stream(self) -> OpaqueStream:
        return OpaqueStream()

    def refuse(self, refusal: Refusal) -> Answer:
        return refuse(refusal)

    def answer(self, refusal: Refusal, *, model: str, streamed: bool) -> Answer:
        """A verdict of ours in the dialect would be a lie: an error."""
        return self.refuse(refusal)

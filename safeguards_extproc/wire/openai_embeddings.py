"""OpenAI Embeddings, and the many servers that speak it: text becomes vectors, in which there is none to read."""

from __future__ import annotations

import re
from collections.abc import Sequence

from safeguards_extproc.core.text import Answer, Document, Edit, Path, Refusal
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import edits as editing
from safeguards_extproc.wire import openai_read, used
from safeguards_extproc.wire.leaves import Leaves, words
from safeguards_extproc.wire.opaque import OpaqueStream
from safeguards_extproc.wire.openai_api import prompts, read_error, refuse
from safeguards_extproc.wire.openai_message import FIELDS, IDENTIFIERS
from safeguards_extproc.wire.strict_json import MAX_VALUES, read_object

_REQUEST_KNOWN = words("input messages")
_REQUEST_IDENTIFIERS = words("encoding_format embed_dtype endianness input_type truncate")
_NUMBERS = frozenset((float, int))
_BYTES_A_NUMBER = 4  # numbers come as float32, and vectors of smaller ones are as long
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}").fullmatch


class OpenAIEmbeddings:
    """A `core.text.Format` without streams. `azure`: refusals are those of Azure's filter."""

    name = "openai_embeddings"

    def __init__(self, *, azure: bool = False) -> None:
        self.azure = azure

    def read_request(self, body: bytes) -> Document:
        """Each input is the user's; a server that takes messages instead reads them as chat does."""
        request, leaves = read_object(body, MAX_VALUES), Leaves()
        count = prompts(leaves, request["input"], ("input",)) if request.get("input") else 0
        if "messages" in request:
            openai_read.conversation(leaves, request)
        closed = {name: value for name, value in request.items() if name in _REQUEST_IDENTIFIERS}
        leaves.rest(FIELDS, closed, (), frozenset(), _REQUEST_IDENTIFIERS)
        openai_read.members(leaves, request, _REQUEST_KNOWN | _REQUEST_IDENTIFIERS)
        return openai_read.asked(leaves, request, count)

    def read_response(self, body: bytes, status: int) -> Document:
        if status >= 400:
            return read_error(body)
        answer, leaves = read_object(body, exact=False), Leaves()
        data, model = answer.get("data"), answer.get("model")
        for index, item in enumerate(data if isinstance(data, list) else ()):
            here: Path = ("data", index)
            if isinstance(item, dict):
                _vector(leaves, item.get("embedding"), (*here, "embedding"))
                leaves.rest(FIELDS, item, here, frozenset(("embedding",)), IDENTIFIERS)
            else:
                leaves.tree(FIELDS, item, here)
        if not isinstance(data, list):
            leaves.tree(FIELDS, data, ("data",))
        openai_read.beside(leaves, {name: value for name, value in answer.items() if name != "data"})
        said = model if isinstance(model, str) else ""
        return Document(leaves.segments, model=said, unread=frozenset(leaves.unread), usage=used.told(answer))

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
        return refuse(refusal, azure=self.azure)

    def answer(self, refusal: Refusal, *, model: str, streamed: bool) -> Answer:
        """No vector says no: an error."""
        return self.refuse(refusal)


def _vector(leaves: Leaves, value: object, path: Path) -> None:
    """Numbers, or base64 of them. Anything else is text, also base64 of text."""
    if isinstance(value, list) and _NUMBERS.issuperset(map(type, value)):
        return
    if not isinstance(value, str):
        leaves.tree(FIELDS, value, path)
    elif editing.decoded(value) is not None:
        leaves.file(FIELDS, value, path, "file")
    elif not _is_numbers(value):
        leaves.tree(FIELDS, value, path)


def _is_numbers(data: str) -> bool:
    length = len(data) * 3 // 4 - data.count("=")
    return bool(_BASE64(data)) and len(data) % 4 == 0 and length % _BYTES_A_NUMBER == 0

"""OpenAI's legacy Completions, and the many servers that speak it: text that goes on from a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from safeguards_extproc.core.text import Answer, Document, Edit, Refusal
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import completions_read, refusals, sse, used
from safeguards_extproc.wire import edits as editing
from safeguards_extproc.wire.openai_api import ID_HEADER, NO_USAGE, read_error, refuse
from safeguards_extproc.wire.openai_stream import DONE, ChatStream, Dialect, chunk, edit_choices, of_azure
from safeguards_extproc.wire.strict_json import MAX_VALUES, read_object


def _last(refusal: Refusal, first: bool) -> dict[str, Any]:
    """The dialect has no place for a reason but `finish_reason`; the words go where chat has them."""
    return {"text": "", "refusal": refusal.message} if refusal.message else {"text": ""}


COMPLETION = Dialect(
    "text_completion",
    "cmpl-",
    ("choices", 0, "text"),
    completions_read.CHOICE_FIELDS,
    completions_read.choices,
    _last,
)
AZURE_COMPLETION = of_azure(COMPLETION)


class OpenAICompletions:
    """A `core.text.Format`. `azure`: refusals and endings are those of Azure's filter."""

    name = "openai_completions"

    def __init__(self, *, azure: bool = False) -> None:
        self.azure = azure
        self._dialect = AZURE_COMPLETION if azure else COMPLETION

    def read_request(self, body: bytes) -> Document:
        return completions_read.request(read_object(body, MAX_VALUES))

    def read_response(self, body: bytes, status: int) -> Document:
        if status >= 400:
            return read_error(body)
        answer = read_object(body)
        document = completions_read.response(answer)
        document.usage = used.told(answer)
        return document

    def edit(self, body: bytes, edits: Sequence[Edit]) -> bytes:
        return edit_choices(body, edits)

    def steer(self, body: bytes, instruction: str) -> bytes:
        """A prompt has no place for an instruction that the model would tell from the rest: raises
        MalformedBody("shape")."""
        raise MalformedBody("shape")

    def framer(self, media: str) -> sse.Framer | None:
        return sse.Framer() if media == sse.MEDIA else None

    def stream(self) -> ChatStream:
        return ChatStream(self._dialect)

    def refuse(self, refusal: Refusal) -> Answer:
        return refuse(refusal, azure=self.azure)

    def answer(self, refusal: Refusal, *, model: str, streamed: bool) -> Answer:
        """`created` is 0: this package has no clock."""
        dialect = self._dialect
        start = {**dialect.head(dialect.id_prefix + refusal.id, model), "usage": NO_USAGE}
        last = dialect.last(refusal, True)
        if streamed:
            body = chunk(start, 0, last, "content_filter") + sse.event("", DONE)
        else:
            choice = {"index": 0, **last, "logprobs": None, "finish_reason": "content_filter"}
            body = editing.dumps({**start, "choices": [choice]})
        return refusals.success(refusal, body, id_header=ID_HEADER, streamed=streamed)

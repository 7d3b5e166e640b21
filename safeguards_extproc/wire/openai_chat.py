"""OpenAI Chat Completions, and the many servers that speak it."""

from __future__ import annotations

from collections.abc import Sequence

from safeguards_extproc.core.text import Answer, Document, Edit, Refusal
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import edits as editing
from safeguards_extproc.wire import openai_read, refusals, sse, used
from safeguards_extproc.wire.openai_api import ID_HEADER, NO_USAGE, read_error, refuse, verdict
from safeguards_extproc.wire.openai_stream import AZURE_CHAT, CHAT, DONE, ChatStream, chunk, edit_choices
from safeguards_extproc.wire.strict_json import MAX_VALUES, read_object


class OpenAIChat:
    """A `core.text.Format`. `azure`: refusals and endings are those of Azure's filter."""

    name = "openai_chat"
    azure = False

    def __init__(self, *, azure: bool = False) -> None:
        self.azure = azure

    def read_request(self, body: bytes) -> Document:
        return openai_read.request(read_object(body, MAX_VALUES))

    def read_response(self, body: bytes, status: int) -> Document:
        if status >= 400:
            return read_error(body)
        answer = read_object(body)
        document = openai_read.response(answer)
        document.usage = used.told(answer)
        return document

    def edit(self, body: bytes, edits: Sequence[Edit]) -> bytes:
        return edit_choices(body, edits)

    def steer(self, body: bytes, instruction: str) -> bytes:
        """The instruction becomes the first message."""
        if not isinstance(read_object(body).get("messages"), list):
            raise MalformedBody("shape")
        return editing.insert_first(body, ("messages",), editing.dumps({"role": "system", "content": instruction}))

    def framer(self, media: str) -> sse.Framer | None:
        return sse.Framer() if media == sse.MEDIA else None

    def stream(self) -> ChatStream:
        return ChatStream(AZURE_CHAT if self.azure else CHAT)

    def refuse(self, refusal: Refusal) -> Answer:
        return refuse(refusal, azure=self.azure)

    def answer(self, refusal: Refusal, *, model: str, streamed: bool) -> Answer:
        """`created` is 0: this package has no clock."""
        start = CHAT.head(CHAT.id_prefix + refusal.id, model)
        filtered = {"content_filter_results": verdict(refusal)} if self.azure else {}
        if streamed:
            body = b"".join(
                (
                    chunk(start, 0, {"delta": {"role": "assistant", "content": ""}}, None),
                    chunk(start, 0, {"delta": {"refusal": refusal.message}}, None),
                    chunk({**start, "usage": NO_USAGE}, 0, {"delta": {}, **filtered}, "content_filter"),
                    sse.event("", DONE),
                )
            )
        else:
            message = {"role": "assistant", "content": None, "refusal": refusal.message}
            choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "content_filter", **filtered}
            whole = {**start, "object": "chat.completion", "choices": [choice], "usage": NO_USAGE}
            body = editing.dumps(whole)
        return refusals.success(refusal, body, id_header=ID_HEADER, streamed=streamed)

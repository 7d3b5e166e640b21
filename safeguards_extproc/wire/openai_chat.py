"""OpenAI Chat Completions, and the many servers that speak it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from safeguards_extproc.core.text import Answer, Document, Edit, Refusal
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import edits as editing
from safeguards_extproc.wire import openai_read, refusals, sse
from safeguards_extproc.wire.leaves import Leaves
from safeguards_extproc.wire.openai_stream import DONE, ChatStream, chunk, edit_choices, head
from safeguards_extproc.wire.strict_json import MAX_VALUES, loads

ID_HEADER = "x-request-id"

_ERRORS = {
    "policy": ("invalid_request_error", "content_policy_violation"),
    "suspended": ("permission_error", "account_suspended"),
    "throttled": ("requests", "rate_limit_exceeded"),
    "too-large": ("invalid_request_error", "request_too_large"),
    "unsupported-encoding": ("invalid_request_error", "unsupported_content_encoding"),
    "malformed": ("invalid_request_error", "malformed_body"),
    "unavailable": ("server_error", "service_unavailable"),
    "timeout": ("invalid_request_error", "request_timeout"),
}
_NO_USAGE = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


class OpenAIChat:
    """A `core.text.Format`."""

    name = "openai_chat"

    def read_request(self, body: bytes) -> Document:
        return openai_read.request(_object(body, MAX_VALUES))

    def read_response(self, body: bytes, status: int) -> Document:
        if status < 400:
            return openai_read.response(_object(body))
        leaves = Leaves()
        openai_read.error(leaves, loads(body), ())
        return Document(leaves.segments, unread=frozenset(leaves.unread))

    def edit(self, body: bytes, edits: Sequence[Edit]) -> bytes:
        return edit_choices(body, edits)

    def steer(self, body: bytes, instruction: str) -> bytes:
        """The instruction becomes the first message."""
        if not isinstance(_object(body).get("messages"), list):
            raise MalformedBody("shape")
        return editing.insert_first(body, ("messages",), editing.dumps({"role": "system", "content": instruction}))

    def framer(self, media: str) -> sse.Framer | None:
        return sse.Framer() if media == sse.MEDIA else None

    def stream(self) -> ChatStream:
        return ChatStream()

    def refuse(self, refusal: Refusal) -> Answer:
        type_, code = _ERRORS.get(refusal.reason, _ERRORS["policy"])
        body = {"error": {"message": refusal.message, "type": type_, "param": None, "code": code}}
        return refusals.error(refusal, editing.dumps(body), id_header=ID_HEADER)

    def answer(self, refusal: Refusal, *, model: str, streamed: bool) -> Answer:
        """`created` is 0: this package has no clock. Usage is zero: no model was asked for what the client gets."""
        id_ = "chatcmpl-" + refusal.id
        if streamed:
            start = head(id_, model)
            body = b"".join(
                (
                    chunk(start, 0, {"role": "assistant", "content": ""}, None),
                    chunk(start, 0, {"refusal": refusal.message}, None),
                    chunk({**start, "usage": _NO_USAGE}, 0, {}, "content_filter"),
                    sse.event("", DONE),
                )
            )
        else:
            message = {"role": "assistant", "content": None, "refusal": refusal.message}
            choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "content_filter"}
            whole = {**head(id_, model), "object": "chat.completion", "choices": [choice], "usage": _NO_USAGE}
            body = editing.dumps(whole)
        return refusals.success(refusal, body, id_header=ID_HEADER, streamed=streamed)


def _object(body: bytes, max_values: int = 0) -> dict[str, Any]:
    value = loads(body, max_values=max_values)
    if not isinstance(value, dict):
        raise MalformedBody("shape")
    return value

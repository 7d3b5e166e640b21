"""What all OpenAI APIs have in common: a body is an object, an error has one form, a prompt is text or token ids."""

from __future__ import annotations

from typing import Any

from safeguards_extproc.core.text import Answer, Document, Kind, Path, Refusal
from safeguards_extproc.wire import edits as editing
from safeguards_extproc.wire import openai_read, refusals
from safeguards_extproc.wire.leaves import Leaves
from safeguards_extproc.wire.openai_message import part
from safeguards_extproc.wire.strict_json import loads

ID_HEADER = "x-request-id"

NO_USAGE = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
"""No model was asked for what the client gets."""

UNREAD = "token-ids"

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


def read_error(body: bytes) -> Document:
    """A body that came with an error status: any JSON."""
    leaves = Leaves()
    openai_read.error(leaves, loads(body), ())
    return Document(leaves.segments, unread=frozenset(leaves.unread))


def refuse(refusal: Refusal, *, azure: bool = False) -> Answer:
    """The error object with the type and code of the refusal's reason; Azure's has a form of its own for content."""
    type_, code = _ERRORS.get(refusal.reason, _ERRORS["policy"])
    error: dict[str, Any] = {"message": refusal.message, "type": type_, "param": None, "code": code}
    if azure and refusal.reason == "policy":
        inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": verdict(refusal)}
        error |= {"type": None, "param": "prompt", "code": "content_filter", "status": 400, "innererror": inner}
    return refusals.error(refusal, editing.dumps({"error": error}), id_header=ID_HEADER)


def verdict(refusal: Refusal) -> dict[str, dict[str, bool]]:
    """A refusal in the form in which Azure reports its filter: by category."""
    return {refusal.category: {"filtered": True}} if refusal.category else {}


def prompts(leaves: Leaves, value: object, path: Path) -> int:
    """Read one prompt or a list of them, each on the user's channel of its position; returns how many there are.

    A prompt is a string, a part of a message, or a list of token ids, which is unread; so is a list of numbers alone.
    """
    items = value if isinstance(value, list) else [value]
    if items and all(isinstance(item, int) for item in items):
        leaves.unread.add(UNREAD)
        return 1
    for index, item in enumerate(items):
        name = str(index)
        here = (*path, index) if items is value else path
        match item:
            case str():
                leaves.text((Kind.USER, name), item, here)
            case dict():
                part(leaves, item, here, name, Kind.USER)
            case list() if item and all(isinstance(token, int) for token in item):
                leaves.unread.add(UNREAD)
            case int() if items is value:
                leaves.unread.add(UNREAD)
            case _:
                leaves.tree((Kind.USER, name), item, here)
    return len(items)

"""Google's Gemini API and Vertex AI: generateContent, streamed in two ways, and the requests that count or embed."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

from safeguards_extproc.core.text import Answer, Document, Edit, Refusal
from safeguards_extproc.core.text import Framer as AnyFramer
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import edits as editing
from safeguards_extproc.wire import gemini_read, json_array, refusals, sse, strict_json, used
from safeguards_extproc.wire.gemini_names import camel
from safeguards_extproc.wire.gemini_stream import GeminiStream, edit_candidates
from safeguards_extproc.wire.leaves import Leaves
from safeguards_extproc.wire.strict_json import MAX_VALUES, loads, read_object

ID_HEADER = "x-request-id"

_RPC = "type.googleapis.com/google.rpc."
_ERRORS = {
    "policy": ("INVALID_ARGUMENT", "CONTENT_POLICY_VIOLATION"),
    "suspended": ("PERMISSION_DENIED", "ACCOUNT_SUSPENDED"),
    "throttled": ("RESOURCE_EXHAUSTED", "RATE_LIMIT_EXCEEDED"),
    "too-large": ("INVALID_ARGUMENT", "REQUEST_TOO_LARGE"),
    "unsupported-encoding": ("INVALID_ARGUMENT", "UNSUPPORTED_CONTENT_ENCODING"),
    "malformed": ("INVALID_ARGUMENT", "MALFORMED_BODY"),
    "unavailable": ("UNAVAILABLE", "SERVICE_UNAVAILABLE"),
    "timeout": ("DEADLINE_EXCEEDED", "REQUEST_TIMEOUT"),
}


class Answers(enum.Enum):
    """What a path answers with."""

    WHOLE = "one answer"
    EVENTS = "answers as server-sent events"
    ARRAY = "answers in one JSON array"
    NUMBERS = "a count, or vectors"


_COLLECTIONS = ("models", "publishers/google/models", "tunedmodels", "dynamic", "endpoints")


def paths(*methods: str) -> tuple[str, ...]:
    """The ends of the paths of these methods: of Google's models, tuned models and Vertex's endpoints."""
    return tuple(f"/{collection}/{{model}}:{method}" for method in methods for collection in _COLLECTIONS)


class Gemini:
    """A `core.text.Format`. The path says how an answer comes, so each way is a variant of the format."""

    name = "gemini"

    def __init__(self, answers: Answers = Answers.WHOLE) -> None:
        self._answers = answers

    def read_request(self, body: bytes) -> Document:
        document = gemini_read.request(read_object(body, MAX_VALUES), body)
        document.streamed = self._answers in (Answers.EVENTS, Answers.ARRAY)
        return document

    def read_response(self, body: bytes, status: int) -> Document:
        value = loads(body)
        if status < 400:
            document = gemini_read.response(value, body)
            for chunk in value if isinstance(value, list) else [value]:
                document.usage = used.joined(document.usage, used.told(chunk) if isinstance(chunk, dict) else None)
            return document
        leaves = Leaves()
        gemini_read.error(leaves, value)
        return Document(leaves.segments, unread=frozenset(leaves.unread))

    def edit(self, body: bytes, edits: Sequence[Edit]) -> bytes:
        return edit_candidates(body, edits)

    def steer(self, body: bytes, instruction: str) -> bytes:
        """The instruction is the last part of systemInstruction. What generates nothing is not told anything."""
        request = read_object(body)
        return body if self._answers is Answers.NUMBERS else _steer(body, request, instruction)

    def framer(self, media: str) -> AnyFramer | None:
        if media == sse.MEDIA:
            return sse.Framer()
        return json_array.Framer() if media == json_array.MEDIA and self._answers is Answers.ARRAY else None

    def stream(self) -> GeminiStream:
        return GeminiStream(array=self._answers is Answers.ARRAY)

    def refuse(self, refusal: Refusal) -> Answer:
        """Google's error object with its standard details; in an array where answers come in one."""
        status, reason = _ERRORS.get(refusal.reason, _ERRORS["policy"])
        details: list[dict[str, Any]] = [{"@type": _RPC + "ErrorInfo", "reason": reason, "domain": "safeguards"}]
        if refusal.id:
            details.append({"@type": _RPC + "RequestInfo", "requestId": refusal.id})
        code = refusals.status(refusal)
        if code in refusals.PASSING and refusal.retry_after_s > 0:
            details.append({"@type": _RPC + "RetryInfo", "retryDelay": f"{refusal.retry_after_s}s"})
        error = {"error": {"code": code, "message": refusal.message, "status": status, "details": details}}
        body = editing.dumps([error] if self._answers is Answers.ARRAY else error)
        return refusals.error(refusal, body, id_header=ID_HEADER)

    def answer(self, refusal: Refusal, *, model: str, streamed: bool) -> Answer:
        """The prompt is blocked. Usage is zero: no model was asked for what the client gets. A count or vectors cannot
        say no: an error."""
        if self._answers is Answers.NUMBERS:
            return self.refuse(refusal)
        blocked = editing.dumps(
            {
                "promptFeedback": {"blockReason": "PROHIBITED_CONTENT", "blockReasonMessage": refusal.message},
                "usageMetadata": {"promptTokenCount": 0, "totalTokenCount": 0},
                "modelVersion": model,
                "responseId": refusal.id,
            }
        )
        if streamed and self._answers is Answers.ARRAY:
            return refusals.success(refusal, b"[" + blocked + b"]", id_header=ID_HEADER, streamed=False)
        body = sse.event("", blocked) if streamed else blocked
        return refusals.success(refusal, body, id_header=ID_HEADER, streamed=streamed)


def _key(fields: dict[str, Any], name: str) -> str:
    """How an object spells a member, "" if it has none. Raises MalformedBody if it has two."""
    found = [key for key in fields if camel(key) == name]
    if len(found) > 1:
        raise MalformedBody("duplicate-key")
    return found[0] if found else ""


def _steer(body: bytes, request: dict[str, Any], instruction: str) -> bytes:
    part = editing.dumps({"text": instruction})
    parts = b"[" + part + b"]"
    system = _key(request, "systemInstruction")
    if not system:
        return editing.insert_first(body, (), b'"systemInstruction":{"parts":' + parts + b"}")
    match request[system]:
        case None:
            return editing.replace(body, (system,), b'{"parts":' + parts + b"}")
        case str(text):
            return editing.apply(body, [Edit((system,), len(text), len(text), "\n\n" + instruction)])
        case dict(content):
            key = _key(content, "parts")
            match content.get(key):
                case list():
                    return editing.append_item(body, (system, key), part)
                case None if key:
                    return editing.replace(body, (system, key), parts)
                case None:
                    return editing.insert_first(body, (system,), b'"parts":' + parts)
                case dict():
                    start, end = strict_json.spans(body, [(system, key)])[(system, key)]
                    return editing.splice(body, [(start, start, b"["), (end, end, b"," + part + b"]")])
    raise MalformedBody("shape")

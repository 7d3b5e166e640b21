"""What a refusal is in Bedrock's HTTP: the error's name stands in a header, its message in the body.

Names are those that the service model gives its operations; boto3 turns any other into a plain ClientError.
"""

from __future__ import annotations

from safeguards_extproc.core.text import Answer, Refusal
from safeguards_extproc.wire import edits as editing
from safeguards_extproc.wire import eventstream, refusals

ID_HEADER = "x-amzn-requestid"

_ERRORS = {
    "policy": "ValidationException",
    "suspended": "AccessDeniedException",
    "throttled": "ThrottlingException",
    "too-large": "ValidationException",
    "unsupported-encoding": "ValidationException",
    "malformed": "ValidationException",
    "unavailable": "ServiceUnavailableException",
    "timeout": "ModelTimeoutException",
}


def error(refusal: Refusal) -> Answer:
    """An error answer."""
    answer = refusals.error(refusal, editing.dumps({"message": refusal.message}), id_header=ID_HEADER)
    answer.headers.append(("x-amzn-errortype", _ERRORS.get(refusal.reason, _ERRORS["policy"])))
    return answer


def success(refusal: Refusal, body: bytes, *, streamed: bool) -> Answer:
    """A complete answer that says no, as JSON or as the frames of an event stream."""
    headers = [("content-type", eventstream.MEDIA if streamed else refusals.JSON)]
    if refusal.id:
        headers.append((ID_HEADER, refusal.id))
    return Answer(200, headers, body)


def exception(refusal: Refusal) -> bytes:
    """The frame that ends a stream of which no dialect is known: SDKs raise it as an error."""
    return eventstream.exception("validationException", editing.dumps({"message": refusal.message}))

"""What every API of Bedrock's runtime shares: its errors, and event-stream frames whose every text is read.

AWS says an error's type in a header, x-amzn-errortype, and in a stream in the frame's :exception-type. An SDK gives an
in-stream exception's message only for the types that the service's model names for that stream.
"""

from __future__ import annotations

from collections.abc import Sequence

from safeguards_extproc.core.text import Answer, Channel, Edit, Kind, Path, Refusal
from safeguards_extproc.wire import edits as editing
from safeguards_extproc.wire import eventstream, refusals
from safeguards_extproc.wire.eventstream import Message, Type
from safeguards_extproc.wire.leaves import Leaves, identifier, words
from safeguards_extproc.wire.strict_json import loads

ID_HEADER = "x-amzn-requestid"
TYPE_HEADER = "x-amzn-errortype"
AGAIN_HEADER = "x-amz-retry-after"

ERROR: Channel = (Kind.ERROR, "error")
FIELDS: Channel = (Kind.OTHER, "fields")

HEADER = -3
"""The first step of a path that means a frame's header, not its payload: (HEADER, ":error-message")."""

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
_IN_STREAM = {"throttled": "throttlingException", "unavailable": "serviceUnavailableException"}
_IDENTIFIERS = words("__type type code originalStatusCode resourceName")


def refuse(refusal: Refusal) -> Answer:
    """The error object of AWS's JSON protocols. botocore goes by AWS's own header, in milliseconds, not by
    `retry-after` (botocore/retries/standard.py)."""
    answer = refusals.error(refusal, editing.dumps({"message": refusal.message}), id_header=ID_HEADER)
    if answer.status in refusals.PASSING and refusal.retry_after_s > 0:
        answer.headers.append((AGAIN_HEADER, str(refusal.retry_after_s * 1000)))
    answer.headers.append((TYPE_HEADER, _ERRORS.get(refusal.reason, _ERRORS["policy"])))
    return answer


def success(refusal: Refusal, body: bytes, media: str) -> Answer:
    """A complete answer that says no."""
    headers = [("content-type", media)]
    if refusal.id:
        headers.append((ID_HEADER, refusal.id))
    return Answer(200, headers, body)


def exception(refusal: Refusal) -> bytes:
    """A frame on which an SDK raises, with the message."""
    name = _IN_STREAM.get(refusal.reason, "validationException")
    return eventstream.exception(name, editing.dumps({"message": refusal.message}))


def error(leaves: Leaves, value: object, path: Path) -> None:
    """An error's body, or the payload of an exception."""
    leaves.tree(ERROR, value, path, _IDENTIFIERS)


def headers(leaves: Leaves, message: Message) -> None:
    """What a frame's headers say beyond names and media types; `unread` has "headers" where nobody knows."""
    channel = ERROR if message.failed else FIELDS
    for name, (kind, value) in message.headers.items():
        if identifier(name) is None or isinstance(value, bytes):
            leaves.unread.add("headers")
        elif kind is Type.STRING and identifier(str(value)) is None:
            leaves.alone(channel, str(value), (HEADER, name))


def edit(frame: bytes, edits: Sequence[Edit]) -> bytes:
    """The frame with `edits` of its payload's JSON and of its headers; every other byte but lengths and sums stays."""
    written = [change for change in edits if change.path[:1] == (HEADER,)]
    said = [change for change in edits if change.path and change.path[0] != HEADER]
    if said:
        frame = eventstream.with_payload(frame, editing.apply(eventstream.parse(frame).payload, said))
    if written:
        message = eventstream.parse(frame)
        texts = editing.dumps({name: value for name, (kind, value) in message.headers.items() if kind is Type.STRING})
        inner = [Edit(change.path[1:], change.start, change.end, change.replacement) for change in written]
        edited = loads(editing.apply(texts, inner))
        again = {name: (kind, edited.get(name, value)) for name, (kind, value) in message.headers.items()}
        frame = eventstream.write(again, message.payload)
    return frame

"""Errors as AWS writes them, and frames in which no header is a blind spot."""

from __future__ import annotations

import json

import pytest

from safeguards_extproc.core.text import Edit, Kind, Refusal
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import bedrock
from safeguards_extproc.wire.eventstream import Header, Type, event, parse, write
from safeguards_extproc.wire.leaves import Leaves

NO = Refusal("policy", "Not that.", id="e1")


@pytest.mark.parametrize(
    ("reason", "status", "type_"),
    [
        ("policy", 400, "ValidationException"),
        ("suspended", 403, "AccessDeniedException"),
        ("throttled", 429, "ThrottlingException"),
        ("unavailable", 503, "ServiceUnavailableException"),
        ("timeout", 408, "ModelTimeoutException"),
        ("unheard-of", 400, "ValidationException"),
    ],
)
def test_an_error_says_its_type_in_a_header(reason: str, status: int, type_: str) -> None:
    """And its message in the body; the id is where AWS's SDKs look for a request's."""
    answer = bedrock.refuse(Refusal(reason, "Not that.", id="e1"))
    headers = dict(answer.headers)
    assert (status, type_, "e1") == (answer.status, headers["x-amzn-errortype"], headers["x-amzn-requestid"])
    assert {"message": "Not that."} == json.loads(answer.body)


@pytest.mark.parametrize(("reason", "again"), [("throttled", "7000"), ("unavailable", "7000"), ("policy", None)])
def test_what_passes_says_when_to_come_back(reason: str, again: str | None) -> None:
    """In milliseconds, where AWS's SDKs look for it."""
    headers = dict(bedrock.refuse(Refusal(reason, "Not now.", retry_after_s=7)).headers)
    assert (again, again and "7") == (headers.get("x-amz-retry-after"), headers.get("retry-after"))


@pytest.mark.parametrize(
    ("reason", "name"),
    [
        ("policy", "validationException"),
        ("throttled", "throttlingException"),
        ("unavailable", "serviceUnavailableException"),
    ],
)
def test_an_exception_has_a_name_of_the_service_model(reason: str, name: str) -> None:
    """Only then does an SDK tell its message."""
    frame = parse(bedrock.exception(Refusal(reason, "Not that.")))
    assert ("exception", name, b'{"message":"Not that."}') == (frame.type, frame.name, frame.payload)


def test_a_providers_error_is_read() -> None:
    """All of it but what is a name from a closed set."""
    leaves = Leaves()
    bedrock.error(leaves, {"__type": "ThrottlingException", "message": "Too many", "resourceName": "m"}, ())
    assert [((Kind.ERROR, "error"), "Too many")] == [(s.channel, s.text) for s in leaves.segments if s.path]


def framed(kind: str, **more: Header) -> bytes:
    return write({":message-type": (Type.STRING, kind), **{":" + name: value for name, value in more.items()}}, b"")


def test_text_in_headers_is_read_and_can_be_edited() -> None:
    """An error frame has its message in a header; other headers and the payload stay byte for byte."""
    frame = write(
        {
            ":message-type": (Type.STRING, "error"),
            ":date": (Type.TIMESTAMP, 7),
            ":error-message": (Type.STRING, "Zürich is shut"),
        },
        b"{}",
    )
    leaves = Leaves()
    bedrock.headers(leaves, parse(frame))
    said, _ = leaves.segments
    assert ((Kind.ERROR, "error"), "Zürich is shut") == (said.channel, said.text)
    edited = bedrock.edit(frame, [Edit(said.path, 0, 6, "It")])
    assert "It is shut" == parse(edited).text(":error-message")
    assert frame == bedrock.edit(edited, [Edit(said.path, 0, 2, "Zürich")])


@pytest.mark.parametrize(
    ("more", "kind", "texts", "unread"),
    [
        ({"event-type": (Type.STRING, "chunk")}, "event", [], set()),
        ({"note": (Type.STRING, "two words")}, "event", [(Kind.OTHER, "two words")], set()),
        ({"note": (Type.BYTES, b"words")}, "event", [], {"headers"}),
        ({"two words": (Type.TRUE, True)}, "exception", [], {"headers"}),
    ],
)
def test_no_header_is_a_blind_spot(
    more: dict[str, Header], kind: str, texts: list[tuple[Kind, str]], unread: set[str]
) -> None:
    """What is no identifier is read, what cannot be read is named."""
    leaves = Leaves()
    bedrock.headers(leaves, parse(framed(kind, **more)))
    assert texts == [(segment.channel[0], segment.text) for segment in leaves.segments if segment.path]
    assert unread == leaves.unread


def test_an_edit_of_nothing_is_refused() -> None:
    """A place that is not there, in the payload or the headers; a separator stands nowhere."""
    frame = event("e", b'{"a":"b"}')
    for path in (("x",), (bedrock.HEADER, ":none")):
        with pytest.raises(MalformedBody, match="shape"):
            bedrock.edit(frame, [Edit(path, 0, 0, "x")])
    assert frame == bedrock.edit(frame, [Edit((), 0, 1, "x")])

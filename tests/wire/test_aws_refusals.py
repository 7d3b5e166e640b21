"""Bedrock's error answers: the name in a header, the message in the body."""

from __future__ import annotations

import json

import pytest

from safeguards_extproc.core.text import Refusal
from safeguards_extproc.wire import aws_refusals, eventstream

NO = Refusal("policy", "Not that.", "harm", "e1")


@pytest.mark.parametrize(
    ("reason", "status", "name"),
    [
        ("policy", 400, "ValidationException"),
        ("suspended", 403, "AccessDeniedException"),
        ("throttled", 429, "ThrottlingException"),
        ("unavailable", 503, "ServiceUnavailableException"),
        ("timeout", 408, "ModelTimeoutException"),
        ("unheard-of", 400, "ValidationException"),
    ],
)
def test_the_errors_name_stands_where_sdks_look(reason: str, status: int, name: str) -> None:
    """With the id by which a user can quote it."""
    answer = aws_refusals.error(Refusal(reason, "Not that.", id="e1"))
    assert (status, {"message": "Not that."}) == (answer.status, json.loads(answer.body))
    assert (name, "e1") == (dict(answer.headers)["x-amzn-errortype"], dict(answer.headers)["x-amzn-requestid"])


def test_an_answer_is_json_or_frames() -> None:
    """The media type says which."""
    assert ("content-type", "application/json") in aws_refusals.success(NO, b"{}", streamed=False).headers
    assert ("content-type", eventstream.MEDIA) in aws_refusals.success(NO, b"", streamed=True).headers


def test_a_stream_of_no_known_dialect_ends_with_an_exception() -> None:
    """One that the service model names, so that its message reaches the client."""
    message = eventstream.parse(aws_refusals.exception(NO))
    assert ("exception", "validationException") == (message.type, message.name)
    assert {"message": "Not that."} == json.loads(message.payload)

"""What a client makes of an answer: whole, refused, ended early, an error, or cut off."""

from __future__ import annotations

import json

import pytest

from safeguards_extproc.replay.answers import DIALECTS
from safeguards_extproc.replay.outcome import Kind, Seen, classify, events, read
from safeguards_extproc.replay.traffic import Answer

CHAT_END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"content_filter"}]}\n\ndata: [DONE]\n\n'
MESSAGES_END = (
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"refusal","stop_details":'
    b'{"type":"refusal","explanation":"Not this."}},"usage":{"output_tokens":1}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)


@pytest.mark.parametrize(("dialect", "ending"), [("openai_chat", CHAT_END), ("anthropic_messages", MESSAGES_END)])
def test_an_answer_that_ends_early_in_its_dialect_was_stopped(dialect: str, ending: bytes) -> None:
    """Half an answer and the dialect's own refusal is a stop; the same without it is a broken transfer."""
    stream = b"".join(DIALECTS[dialect].events(Answer(text="a b c d e f"), "m"))
    half = b"".join(event + b"\n\n" for event in stream.split(b"\n\n")[:6])
    stopped = read(half + ending, 200, "text/event-stream")
    assert classify(stopped, 200, from_model=True, complete=True) == Kind.STOPPED
    broken = read(half, 200, "text/event-stream")
    assert classify(broken, 200, from_model=True, complete=True) == Kind.BROKEN
    assert classify(read(stream, 200, "text/event-stream"), 200, from_model=True, complete=True) == Kind.ANSWER


def test_a_refusal_is_told_from_an_error_by_who_gave_it() -> None:
    """The provider's own 400 is an error; the same given in its stead is a refusal; a 503 is never a verdict."""
    body = json.dumps({"error": {"message": "No.", "type": "invalid_request_error"}}).encode()
    seen = read(body, 400, "application/json")
    assert seen.message == "No."
    assert classify(seen, 400, from_model=False, complete=True) == Kind.REFUSED
    assert classify(seen, 400, from_model=True, complete=True) == Kind.ERROR
    assert classify(seen, 503, from_model=False, complete=True) == Kind.ERROR


def test_a_bare_error_is_no_refusal() -> None:
    """An error that does not speak the dialect tells an SDK nothing: it is not counted as a proper refusal."""
    assert classify(read(b"denied", 400, "text/plain"), 400, from_model=False, complete=True) == Kind.ERROR


def test_a_whole_answer_that_says_no_is_a_refusal() -> None:
    """A successful answer whose only content is the refusal was not stopped half-way."""
    body = json.dumps({"type": "message", "content": [], "stop_reason": "refusal"}).encode()
    assert classify(read(body, 200, "application/json"), 200, from_model=False, complete=True) == Kind.REFUSED


def test_a_transfer_that_breaks_is_broken_whatever_it_said() -> None:
    """Bytes that stop coming are no answer, even after the last event."""
    assert classify(Seen(ended=True), 200, from_model=True, complete=False) == Kind.BROKEN
    assert classify(Seen(), 0, from_model=False, complete=False) == Kind.BROKEN


def test_an_unfinished_event_is_none() -> None:
    """Like an SDK, the reader drops what has no blank line after it."""
    assert list(events(b": hello\n\ndata: 1\r\n\r\ndata:2\ndata: 3\n\ndata: 4\n")) == ["1", "2\n3"]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"choices":[1]}', b'{"choices":3}', b"\xff", b'{"type":"message"}'])
def test_what_cannot_be_read_never_raises(body: bytes) -> None:
    """Nonsense from the far side is a broken answer, not a crash of the client."""
    seen = read(body, 200, "application/json")
    assert classify(seen, 200, from_model=True, complete=True) == Kind.BROKEN

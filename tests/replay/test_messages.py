"""HTTP as Envoy's messages, and back."""

from __future__ import annotations

from safeguards_extproc.adapters import extproc
from safeguards_extproc.core.events import Body, BodyMode, Headers
from safeguards_extproc.core.taken import Message
from safeguards_extproc.core.text import Direction
from safeguards_extproc.replay.messages import messages, request, response, sides

HEADERS = [("Host", "other.test"), ("Content-Type", "application/json"), ("Content-Length", "2"), ("Cookie", "a\xe9")]


def test_a_filter_reads_them_as_envoys() -> None:
    """The first message says the conventions, a body is its chunks, and each direction ends once."""
    asked = request("POST", "models.test", "/v1", HEADERS, b"{}")
    answered = response(200, [("Connection", "close"), ("X-A", "1")], [(30, b"one"), (40, b""), (50, b"two")], 20)
    said = messages(asked, answered)
    opened, first = extproc.opened(said[0].raw)
    rest = [extproc.decode(message.raw) for message in said[1:]]

    assert (BodyMode.DUPLEX, BodyMode.DUPLEX, False) == (opened.request, opened.response, opened.silent)
    fields = {":method": "POST", ":scheme": "https", ":authority": "models.test", ":path": "/v1"}
    assert Headers(Direction.REQUEST, {**fields, "content-type": "application/json", "cookie": "a\xe9"}, False) == first
    assert [
        Body(Direction.REQUEST, b"{}", True),
        Headers(Direction.RESPONSE, {":status": "200", "x-a": "1"}, False),
        Body(Direction.RESPONSE, b"one", False),
        Body(Direction.RESPONSE, b"two", True),
    ] == rest
    assert [(0, 0), (1, 0), (2, 20), (3, 30), (4, 50)] == [(message.place, message.at) for message in said]


def test_without_a_body_headers_are_the_end() -> None:
    """A GET, and an answer that never came."""
    said = messages(request("GET", "models.test", "/v1/models", [], b""), None)
    assert [True] == [extproc.opened(message.raw)[1].end for message in said]  # type: ignore[union-attr]


def test_they_are_http_again() -> None:
    """With chunks and times; what we said to Envoy is not what it said."""
    asked = request("POST", "models.test", "/v1", HEADERS, b"{}")
    answered = response(503, [], [(30, b"sorry")], 20)
    said = messages(asked, answered)
    said.insert(2, Message(2, 10, False, b"\x0a\x00"))
    first, second = sides(said)
    assert first is not None
    assert second is not None
    assert (asked.headers, asked.body, True) == (first.headers, first.body, first.ended)
    assert (answered.headers, answered.body, 20) == (second.headers, second.body, second.at)
    assert ("503", "") == (second.get(":status"), second.get("x-none"))
    assert (None, None) == sides([])

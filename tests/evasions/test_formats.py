"""Evasions in every format: what holds in two dialects, message by message, holds wherever text stands in another.

The attack is written into recorded bodies, where the user's text and the answer's stood.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace
from unittest.mock import patch

import pytest

from safeguards_extproc import wire
from safeguards_extproc.core.events import BodyMode
from safeguards_extproc.core.text import Document, Edit, Format, Kind, Segment
from safeguards_extproc.evaluate.evasions import EVASIONS
from safeguards_extproc.wire import sse
from tests.contract import wire_contract as contract
from tests.contract.exchange_contract import PATHS
from tests.evasions.scene import ATTACKS, HARMLESS, WORD, Sent, ask, passed, refused
from tests.playbook import Conversation

pytestmark = pytest.mark.long

SAID = [
    "zero-width space",
    "cyrillic",
    "tags",
    "leet",
    "spaced",
    "full width",
    "base64",
    "rot13",
    "backwards",
    "deletion",
]
"""Disguises of words, one for each sort of view."""

Sends = Callable[[Sent], Sent]
SENT: dict[str, Sends] = {
    "as it is": lambda request: request,
    "one byte at a time": lambda request: replace(request, size=1),
    "gzip": lambda request: replace(
        request, body=gzip.compress(request.body), headers={**request.headers, "content-encoding": "gzip"}
    ),
    "on a path in capitals": lambda request: replace(request, path="//" + request.path[1:].replace("/v", "/V")),
    "ended by trailers": lambda request: replace(request, trailers=True),
    "another type": lambda request: replace(request, headers={"content-type": "text/plain"}),
}
FORBIDDEN: dict[str, Sends] = {
    "a member twice": lambda request: replace(request, body=b'{"x": 1, "x": 2, ' + request.body.lstrip()[1:]),
    "a byte order mark": lambda request: replace(request, body=b"\xef\xbb\xbf" + request.body),
    "something behind it": lambda request: replace(request, body=request.body + b"{}"),
    "only its beginning": lambda request: replace(request, mode=BodyMode.PARTIAL),
    "an encoding that it has not": lambda request: replace(request, headers={"content-encoding": "br"}),
}
"""Forms that are refused whatever is said in them."""

every_format = pytest.mark.parametrize("name", PATHS)


def first(document: Document, *kinds: Kind) -> Segment | None:
    """The first text of these kinds that can be replaced, in a body of which nothing is left unread."""
    found = (one for one in document.segments if one.channel[0] in kinds and one.path and not one.raw and one.text)
    return None if document.unread else next(found, None)


def saying(format_: Format, text: str) -> bytes:
    """A recorded request with `text` for what its user says."""
    for body in contract.golden(format_.name, "request.json"):
        segment = first(format_.read_request(body), Kind.USER)
        if segment is not None:
            return format_.edit(body, [Edit(segment.path, 0, len(segment.text), text)])
    raise AssertionError("no recorded request has a user's text, and nothing else")


def request(name: str, text: str) -> Sent:
    return Sent(saying(wire.FORMATS[name], text), PATHS[name], {"content-type": "application/json"})


@every_format
@pytest.mark.parametrize("way", SENT)
def test_a_way_to_send_it(name: str, way: str) -> None:
    """The attack is refused, however it travels; what is harmless passes."""
    for attack in ATTACKS:
        assert refused(ask(SENT[way](request(name, attack))))
    assert passed(ask(SENT[way](request(name, HARMLESS))))


@every_format
@pytest.mark.parametrize("form", FORBIDDEN)
def test_a_form_that_is_refused(name: str, form: str) -> None:
    """Whatever it says."""
    for text in (ATTACKS[0], HARMLESS):
        assert refused(ask(FORBIDDEN[form](request(name, text))))


@every_format
@pytest.mark.parametrize("disguise", SAID)
def test_a_way_to_say_it(name: str, disguise: str) -> None:
    """The same verdict as without the disguise."""
    assert refused(ask(request(name, EVASIONS[disguise](ATTACKS[0]))))
    assert passed(ask(request(name, EVASIONS[disguise](HARMLESS))))


@pytest.mark.parametrize("name", sorted(PATHS.keys() - contract.STREAMLESS))
@pytest.mark.parametrize("disguise", ["tags", "base64", "cyrillic"])
def test_a_way_to_answer_it(name: str, disguise: str) -> None:
    """Whole answers are refused for it, and streams stopped before it is out. (Numbers say nothing.)"""
    format_, said = wire.FORMATS[name], EVASIONS[disguise](ATTACKS[0])
    whole, frames = answered(format_, said), streamed(format_, said)
    assert whole or frames
    for reply, media in ((whole, "application/json"), (frames, contract.MEDIA.get(name, sse.MEDIA))):
        if reply:
            talk = played(name, reply, media)
            assert said.encode() not in talk.client_saw()
            assert WORD.encode() not in talk.client_saw()
            assert talk.record.outcome in ("block", "stop")


def answered(format_: Format, text: str) -> bytes:
    """A recorded answer with `text` for its first; b"" where none has any."""
    for body in contract.golden(format_.name, "response.json"):
        segment = first(format_.read_response(body, 200), Kind.CONTENT, Kind.OTHER)
        if segment is not None:
            return format_.edit(body, [Edit(segment.path, 0, len(segment.text), text)])
    return b""


def streamed(format_: Format, text: str) -> bytes:
    """The same of a stream: `text` instead of what the first frame with text says."""
    for stream in contract.streams(format_.name):
        reader, out, done = format_.stream(), b"", False
        for frame in contract.frames(format_, stream):
            reading = reader.read(frame)
            segment = None if done else first(Document(list(reading.segments)), Kind.CONTENT)
            if segment is not None:
                frame, done = reader.edit(frame, [Edit(segment.path, 0, len(segment.text), text)]), True
            out += frame
        if done:
            return out
    return b""


def played(name: str, reply: bytes, media: str) -> Conversation:
    talk = ask(request(name, HARMLESS))
    return talk.response(reply, 7, content_type=media)


def test_that_the_tables_bite() -> None:
    """Planted faults: a disguise that is not seen through, a way that hides the text, a form that is taken."""
    unseen = patch.dict(EVASIONS, base64=lambda text: text.replace("u", "?"))
    hidden = patch.dict(SENT, gzip=lambda request: replace(request, body=request.body.replace(b"u", b"?")))
    taken = patch.dict(FORBIDDEN, {"a member twice": lambda request: request})
    with unseen, pytest.raises(AssertionError):
        test_a_way_to_say_it("tgi", "base64")
    with unseen, pytest.raises(AssertionError):
        test_a_way_to_answer_it("gemini", "base64")
    with hidden, pytest.raises(AssertionError):
        test_a_way_to_send_it("kserve_v2", "gzip")
    with taken, pytest.raises(AssertionError):
        test_a_form_that_is_refused("bedrock_invoke", "a member twice")

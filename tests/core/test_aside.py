"""What is done at once and what elsewhere: by size, by values, by what comes out of a compressed body."""

import zlib

import pytest

from safeguards_extproc import wire
from safeguards_extproc.core import aside
from safeguards_extproc.core.aside import Parse, Parsed, Rewrite, Rewritten, heavy
from safeguards_extproc.core.decision import Action, Span, Verdict
from safeguards_extproc.core.recipes import Mask
from safeguards_extproc.core.text import Direction, Document, Kind, Segment
from safeguards_extproc.errors import LimitExceeded, MalformedBody
from tests.world import PLAIN_WIRE, Plain, plain_request

REQUEST, RESPONSE = Direction.REQUEST, Direction.RESPONSE
LIMIT = 8 << 20
MASKING = Verdict(Action.REDACT, Action.REDACT, redact=frozenset({"name"}))


def parse(body, encoding="", *, format_=None, limit=LIMIT):
    return Parse(REQUEST, format_, body, encoding, limit)


@pytest.mark.parametrize(
    ("body", "is_heavy"),
    [
        (b"a" * aside.HEAVY, False),
        (b"a" * (aside.HEAVY + 1), True),
        (b"[]," * aside.CROWDED, True),
        (b"a," * (aside.CALM // 2), False),
        (b"", False),
    ],
    ids=["all that may be", "longer", "full of values", "short", "empty"],
)
def test_a_body_is_heavy_by_its_bytes_or_its_values(body, is_heavy):
    """What costs time is either."""
    assert heavy(body) is is_heavy


def test_what_a_small_compressed_body_becomes_counts():
    """A few bytes may be megabytes once they are decoded; no more than the bound comes out before that is known."""
    bomb, small = zlib.compress(plain_request("a" * aside.HEAVY)), zlib.compress(plain_request("hello"))
    asked = []

    class Counting:
        def decoder(self, encoding, limit):
            asked.append(limit)
            return wire.decoder(encoding, limit)

        def recognise(self, body):
            return PLAIN_WIRE.recognise(body)

    assert parse(bomb, "deflate").at_once(Counting()) is None
    assert parse(small, "deflate").at_once(Counting()).document.segments[0].text == "hello"
    assert {aside.HEAVY} == set(asked)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MalformedBody("syntax"), "malformed"),
        (MalformedBody("values"), "too-large"),
        (MalformedBody("content-encoding"), "encoding"),
    ],
)
def test_an_error_is_a_reason(error, reason):
    """As policy knows it, and the decoded body is kept for what may be done to it all the same."""

    class Broken(Plain):
        def read_request(self, body):
            raise error

    here, there = (do(PLAIN_WIRE) for task in [parse(b"{}", format_=Broken())] for do in (task.at_once, task.run))
    assert (reason, True, b"{}") == (here.reason, here.decoded, here.plain)
    assert (reason, True, None) == (there.reason, there.decoded, there.plain)


@pytest.mark.parametrize(("status", "reason"), [(200, "malformed"), (502, "opaque-answer")])
def test_an_error_page_is_unknown_rather_than_broken(status, reason):
    """A gateway on the way speaks no API."""
    parsed = Parse(RESPONSE, Plain(), b"<html>", "", LIMIT, status).run(PLAIN_WIRE)
    assert reason == parsed.reason


def test_what_does_not_decode_is_not_decoded():
    """Too much, or not what its header says."""
    assert ["encoding", "too-large"] == [parse(b"x", name).run(PLAIN_WIRE).reason for name in ("gzip", "bomb")]
    assert ["encoding", "too-large"] == [parse(b"x", name).at_once(PLAIN_WIRE).reason for name in ("gzip", "bomb")]

    class Endless:
        def decoder(self, encoding, limit):
            raise LimitExceeded("decoded_bytes")

    assert parse(b"x", "gzip").at_once(Endless()) is None
    assert parse(b"x", "gzip", limit=10).at_once(Endless()).reason == "too-large"


def test_a_body_of_too_many_texts_is_too_large():
    """However it is read."""
    many = [Segment((Kind.USER, "0"), "a", ("text",))] * (aside.SEGMENTS + 1)

    class Chatty(Plain):
        def read_request(self, body):
            return Document(many)

    assert parse(b"{}", format_=Chatty()).run(PLAIN_WIRE).reason == "too-large"


def test_a_rewrite_masks_and_steers_what_it_decodes():
    """And says so where it changed nothing, or could not."""
    body, mask = plain_request("my name"), Mask({(Kind.USER, "0"): [Span(3, 7, "name")]}, MASKING, numbers=True)
    done = Rewrite(REQUEST, Plain(), body[::-1], "reversed", LIMIT, 0, mask, "Be kind.").run(PLAIN_WIRE)

    masked = b'{"system": "Be kind.", "text": "my [REDACTED:NAME]", "stream": false}'
    assert done == Rewritten(masked, counts={"name": 1})
    assert Rewrite(REQUEST, Plain(), body, "", LIMIT).run(PLAIN_WIRE) == Rewritten()
    lost = Rewrite(REQUEST, wire.FORMATS["openai_chat"], b"[]", "", LIMIT, 0, mask)
    assert lost.run(wire) == Rewritten(reason="malformed")


def test_a_light_body_is_edited_by_what_was_read_of_it():
    """The same as where it is read again."""
    body, mask = plain_request("my name"), Mask({(Kind.USER, "0"): [Span(3, 7, "name")]}, MASKING, numbers=True)
    task = Rewrite(REQUEST, Plain(), body, "", LIMIT, 0, mask)
    assert task.run(PLAIN_WIRE) == task.at_once([(Segment((Kind.USER, "0"), "my name", ("text",)), 0)])

    class Stubborn(Plain):
        def edit(self, body, edits):
            raise MalformedBody("shape")

    assert Rewrite(REQUEST, Stubborn(), body, "", LIMIT, 0, mask).at_once(()) == Rewritten()
    assert Rewrite(REQUEST, Stubborn(), body, "", LIMIT, 0, mask).run(PLAIN_WIRE) == Rewritten(reason="malformed")


def test_a_request_tells_what_is_asked_of_it():
    """Here or elsewhere; the bound on its answer is a feature. Nobody looks where nothing is asked."""
    body = b'{"text": "hi", "user": "u", "max_tokens": 9}'

    class Incurious:
        pick = None
        recognise = staticmethod(PLAIN_WIRE.recognise)

    for method in ("at_once", "run"):
        task = Parse(REQUEST, Plain(), body, "", LIMIT, wants=("$.user", "$.other", "max_tokens"))
        parsed = getattr(task, method)(PLAIN_WIRE)
        assert ({"$.user": "u"}, 9) == (parsed.told, parsed.document.features["max_tokens"])
        unknown = getattr(Parse(REQUEST, None, b'{"user": "u"}', "", LIMIT, wants=("$.user",)), method)(PLAIN_WIRE)
        assert ({"$.user": "u"}, None) == (unknown.told, unknown.format)
        assert {} == getattr(Parse(REQUEST, Plain(), body, "", LIMIT), method)(Incurious()).told


def test_a_malformed_body_tells_nothing():
    """Two parsers could see two users."""
    assert {} == Parse(REQUEST, Plain(), b'{"user": "u"', "", LIMIT, wants=("$.user",)).run(PLAIN_WIRE).told


def test_what_is_not_done_has_an_outcome():
    """A reason, never a document."""
    assert parse(b"{}").undone() == Parsed("unavailable")
    assert Rewrite(REQUEST, Plain(), b"{}", "", LIMIT).undone() == Rewritten(reason="unavailable")


def test_none_shows_what_a_body_says():
    """Lengths only, in what a log could hold."""
    body = plain_request("secret")
    shown = [parse(body), parse(body).run(PLAIN_WIRE), Rewrite(REQUEST, Plain(), body, "", 9), Rewritten(body)]
    assert not [each for each in shown if "secret" in repr(each)]

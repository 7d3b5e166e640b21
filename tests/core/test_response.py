"""The response's half: what is released, when, and how it ends."""

import json
from collections.abc import Sequence

import pytest

from safeguards_extproc.core.decision import Action, Model, Release, Route, Windowing
from safeguards_extproc.core.events import Body, BodyMode
from safeguards_extproc.core.text import Edit
from tests.playbook import RESPONSE, Conversation, response_headers
from tests.world import SORRY, Plain, PlainReader, WordPolicy, event, plain_request, plain_stream

SMALL = Windowing(first=8, largest=16, overlap=8)


def asked(policy, **options):
    return Conversation(policy, **options).request(plain_request("hello"))


def test_stop_answers_without_an_error():
    """`stop` before the first byte is a complete answer that says no; `block` is the provider's error."""
    stop = asked(WordPolicy({"FORBIDDEN": Action.STOP})).response(b'{"text": "FORBIDDEN"}')
    block = asked(WordPolicy({"FORBIDDEN": Action.BLOCK})).response(b'{"text": "FORBIDDEN"}')

    assert (stop.refused.status, block.refused.status) == (200, 400)


@pytest.mark.parametrize("size", [0, 7])
def test_a_frame_without_text_does_not_give_the_status_away(size):
    """Even where a stream is whole before its first verdict, its first words can still be refused by status."""
    talk = Conversation(WordPolicy(models=[Model("screen", "screen", 100)]), model=lambda text: {"screen.bad": 0.1})
    talk.request(plain_request("hello"))
    talk.model = None
    talk.stream(event(role="assistant") + plain_stream("bad words"), size)
    assert talk.client_saw() == b""

    talk.model = lambda text: {"screen.bad": 0.9}
    talk.answer(talk.out[0].ticket)
    assert (talk.refused.status, talk.seen[RESPONSE].headers) == (400, None)


def test_a_decoded_stream_loses_its_encoding():
    """Frames can be released only as they were read."""
    talk = asked(WordPolicy())
    talk.stream(plain_stream("hello there")[::-1], content_encoding="reversed")

    assert talk.client_saw() == plain_stream("hello there")
    assert talk.seen[RESPONSE].headers.remove == ["content-encoding"]


def test_an_encoded_whole_keeps_its_bytes():
    """It was read, and goes on as it came."""
    body = b'{"text": "hi"}'[::-1]
    talk = asked(WordPolicy()).response(body, content_encoding="reversed")

    assert talk.client_saw() == body
    assert talk.record.response.account.coverage == "full"


def test_an_edited_whole_loses_encoding_and_length():
    """The headers go after the verdict, so they can tell the truth."""
    talk = asked(WordPolicy({"SECRET": Action.REDACT}))
    talk.response(b'{"text": "a SECRET"}'[::-1], content_encoding="reversed", content_length="20")

    assert talk.client_saw() == b'{"text": "a [REDACTED:SECRET]"}'
    assert talk.seen[RESPONSE].headers.remove == ["content-encoding", "content-length"]


def test_an_answer_without_a_body_passes():
    """204 has nothing to read."""
    talk = asked(WordPolicy())
    talk.feed(response_headers(status=204, end=True))

    assert talk.exchange.finished


def test_a_streamed_whole_is_replaced_in_place():
    """Envoy in STREAMED mode has let the headers go: the body becomes an answer that says no."""
    for streamed in (False, True):  # what counts is what the headers have said
        talk = Conversation(WordPolicy(), response_mode=BodyMode.STREAMED)
        talk.request(plain_request("hello", stream=streamed)).response(b'{"text": "FORBIDDEN"}', 5)

        assert talk.client_saw() == b'{"refused": true}'


def test_an_unreadable_frame_waits_for_policy_not_for_its_neighbour():
    """The score that clears all text before it does not let it go: policy is asked of it first."""
    policy = WordPolicy({}, Route("test", windowing=SMALL), models=[Model("screen", "screen", 100)])
    talk = Conversation(policy, model=lambda text: {"screen.bad": 0.0}).request(plain_request("hello"))
    talk.model = None
    talk.feed(response_headers("text/event-stream"))
    talk.feed(Body(RESPONSE, event(text="fine"), False))
    talk.fire("flush")
    talk.feed(Body(RESPONSE, b"data: {broken\n\n", False))
    talk.model = lambda text: {"screen.bad": 0.0}
    talk.answer(talk.out[0].ticket)

    assert talk.client_saw() == event(text="fine") + SORRY


@pytest.mark.parametrize("stream", [True, False])
def test_what_is_only_observed_is_scanned_to_its_end(stream):
    """A verdict that would have ended the answer ends neither it nor the scan: the record is whole."""
    place = Route("test", windowing=SMALL, release=Release.OBSERVE)
    policy = WordPolicy({}, place, models=[Model("screen", "screen", 100)])
    talk = Conversation(policy, model=lambda text: {"screen.bad": 0.0}).request(plain_request("hello"))
    talk.model = None
    text = "some words that make many windows"
    talk.stream(plain_stream(text)) if stream else talk.response(json.dumps({"text": text}).encode())
    talk.model = lambda text: {"screen.bad": 0.9}
    talk.answer(talk.out[-1].ticket)

    assert talk.exchange.finished
    assert (talk.record.termination, talk.record.response.decided) == ("complete", "block")
    assert talk.record.response.account.coverage == "full"


class Repeats(PlainReader):
    """An event without text repeats the text before it, which its reader knows best."""

    def edit(self, frame: bytes, edits: Sequence[Edit]) -> bytes:
        return super().edit(frame, edits) if edits else event(repeats="what is left")


@pytest.mark.parametrize(("word", "last"), [("SECRET", event(repeats="what is left")), ("NOTHING", event(text=""))])
def test_a_replica_is_edited_by_its_reader(monkeypatch, word, last):
    """A segment without text waits for its channel, and goes through the reader wherever something is redacted."""
    monkeypatch.setattr(Plain, "stream", lambda _: Repeats())
    talk = asked(WordPolicy({word: Action.REDACT}))
    talk.stream(event(text="a SECRET word") + event(text="") + plain_stream())

    assert talk.client_saw().endswith(last + plain_stream())
    assert (b"a SECRET" in talk.client_saw()) == (word == "NOTHING")

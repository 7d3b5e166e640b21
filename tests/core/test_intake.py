"""How a response comes in: its frames, its whole, and what of it cannot be read."""

import json

import pytest

from safeguards_extproc.core.decision import Action, Limits, Release, Route, Windowing
from safeguards_extproc.core.events import Body
from tests.playbook import RESPONSE, Conversation, response_headers
from tests.world import DONE, WordPolicy, event, plain_request

SMALL = Windowing(first=8, largest=16, overlap=8)


def asked(policy, **options):
    return Conversation(policy, **options).request(plain_request("hello"))


def test_an_unreadable_frame_is_policys_to_decide():
    """Blocked where policy says so; else it goes on, and the record counts it."""
    stream = event(text="fine words here. ") + b"data: {broken\n\n" + DONE
    blocked = asked(WordPolicy(place=Route("test", windowing=SMALL))).stream(stream)
    passed = asked(WordPolicy(place=Route("test", windowing=SMALL), on_uninspectable=Action.ALLOW)).stream(stream)

    assert b"broken" not in blocked.client_saw()
    assert passed.client_saw() == stream
    assert passed.record.response.account.frames_unread == 1
    assert passed.record.response.account.coverage == "partial"


@pytest.mark.parametrize("size", [0, 7])
def test_an_endless_event_ends_the_stream(size):
    """An event over the limit can neither be read nor held."""
    policy = WordPolicy(place=Route("t", limits=Limits(event_bytes=50), windowing=SMALL), on_uninspectable=Action.ALLOW)
    talk = asked(policy).stream(event(text="fine words here. ") + event(text="x" * 100), size)

    assert b"x" * 9 not in talk.client_saw()
    assert talk.record.termination in ("stopped", "refused")


def test_observed_bytes_are_the_upstreams():
    """Not even a bad encoding changes what an observed client gets."""
    policy = WordPolicy(place=Route("test", release=Release.OBSERVE))
    talk = asked(policy).stream(b"anything", content_encoding="zip")

    assert talk.client_saw() == b"anything"
    assert talk.record.response.account.uninspectable == "encoding"


def test_held_bytes_are_counted():
    """What waits is what back-pressure sees; what left is not."""
    talk = asked(WordPolicy(place=Route("test", windowing=SMALL)))
    talk.feed(response_headers("text/event-stream"))
    talk.feed(Body(RESPONSE, event(text="abc") + b"data: {", False))

    assert talk.exchange.held == len(event(text="abc")) + 7

    talk.fire("flush")
    assert talk.exchange.held == 7


def test_an_error_page_is_unknown_not_broken():
    """A gateway's 502 is no body of the API: policy decides as for any unknown one."""
    talk = asked(WordPolicy()).response(b"<html>Bad gateway</html>", status=502)

    assert talk.record.response.account.uninspectable == "opaque"


def test_a_bomb_ends_the_stream():
    """More out than the limit allows: what was read before it may have left, nothing after it does."""
    talk = asked(WordPolicy(on_uninspectable=Action.ALLOW)).stream(b"tiny", content_encoding="bomb")

    assert talk.record.response.account.uninspectable == "too-large"
    assert talk.record.termination in ("stopped", "refused")


@pytest.mark.parametrize("size", [0, 7])
@pytest.mark.parametrize("more", [event(call="x" * 20), event(text="y" * 900)])
def test_a_call_that_does_not_end_is_not_held_for_ever(size, more):
    """It waits for its end, and all behind it with it: past the limit the stream ends, whatever policy says."""
    place = Route("test", limits=Limits(held_bytes=100), windowing=SMALL)
    talk = asked(WordPolicy(place=place, on_uninspectable=Action.ALLOW))
    talk.stream(event(text="fine words here. ") + event(call="rm") + more * 1000 + DONE, size)

    assert b"rm" not in talk.client_saw()
    assert "too-large" == talk.record.response.account.uninspectable
    assert talk.record.termination in ("stopped", "refused")
    assert talk.record.response.account.bytes_in <= 64 * 100 + 2000 or not size
    assert 0 == talk.exchange.held


def test_a_whole_answer_of_too_many_windows_is_too_large():
    """As it is for a request."""
    place = Route("test", limits=Limits(windows=20), windowing=Windowing(first=4, largest=4, overlap=2))
    talk = asked(WordPolicy(place=place)).response(json.dumps({"text": "word " * 30}).encode())

    assert "too-large" == talk.record.response.account.uninspectable
    assert b"word" not in talk.client_saw()

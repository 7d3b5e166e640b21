"""The request's half: what is held, what is forwarded, and when."""

import pytest

from safeguards_extproc.core.decision import Action, Gate, Limits, Route, Windowing
from safeguards_extproc.core.events import Body, BodyMode, Headers
from tests.playbook import REQUEST, Conversation, request_headers
from tests.world import WordPolicy, plain_request


@pytest.mark.parametrize("gate", [Gate.OVERLAP, Gate.OBSERVE])
def test_other_gates_forward_chunks_as_they_come(gate):
    """No byte waits, and none is held."""
    talk = Conversation(WordPolicy(place=Route("test", gate=gate)))
    talk.feed(request_headers())
    talk.feed(Body(REQUEST, b'{"te', False))

    assert talk.upstream_saw() == b'{"te'
    assert talk.exchange.held == 0


def test_hold_forwards_nothing():
    """Every byte is held, and counted."""
    talk = Conversation(WordPolicy())
    talk.feed(request_headers())
    talk.feed(Body(REQUEST, b'{"te', False))

    assert (talk.upstream_saw(), talk.exchange.held) == (b"", 4)


def test_a_route_that_is_not_inspected_passes():
    """The record says "pass": nothing was decided."""
    talk = Conversation(WordPolicy(place=Route("health", inspect=False))).request(plain_request("FORBIDDEN"))
    talk.response(b"FORBIDDEN")

    assert talk.client_saw() == b"FORBIDDEN"
    assert (talk.record.request.applied, talk.record.response.applied, talk.record.outcome) == ("pass",) * 3


@pytest.mark.parametrize("mode", [BodyMode.NONE, BodyMode.PARTIAL])
def test_a_body_that_envoy_does_not_send_whole_is_not_taken_for_scanned(mode):
    """Policy decides what an unseen body means."""
    talk = Conversation(WordPolicy(), mode=mode)
    talk.feed(request_headers())

    assert talk.refused is not None
    assert talk.record.request.account.uninspectable == "not-sent"


def test_annotations_are_headers_for_the_upstream():
    """So that a model server or a later filter can read them."""
    talk = Conversation(WordPolicy({"ODD": Action.ANNOTATE})).request(plain_request("ODD"))

    assert ("x-safeguards-note", "odd") in talk.seen[REQUEST].headers.set
    assert talk.seen[REQUEST].headers.metadata["request"] == "annotate"


def test_a_compressed_answer_is_not_asked_for():
    """accept-encoding is removed, so that answers come readable."""
    talk = Conversation(WordPolicy())
    talk.feed(Headers(REQUEST, {":method": "POST", ":path": "/", "accept-encoding": "gzip"}, False))
    talk.send(REQUEST, [plain_request("hello")])

    assert talk.seen[REQUEST].headers.remove == ["accept-encoding"]


def test_a_large_body_that_policy_lets_pass_goes_on_whole():
    """What was held leaves at once, the rest as it comes."""
    from safeguards_extproc.core.decision import Limits

    route = Route("test", limits=Limits(request_bytes=8))
    talk = Conversation(WordPolicy(place=route, on_uninspectable=Action.ALLOW))
    talk.request(plain_request("FORBIDDEN"), 4)

    assert talk.upstream_saw() == plain_request("FORBIDDEN")
    talk.abort()
    assert talk.record.request.account.coverage == "none"


def test_more_windows_than_the_limit_are_too_large():
    """They are not even looked at: policy says what that means."""
    place = Route("test", limits=Limits(windows=20), windowing=Windowing(first=4, largest=4, overlap=2))
    fine = Conversation(WordPolicy(place=place)).request(plain_request("word " * 15)).abort()
    talk = Conversation(WordPolicy(place=place)).request(plain_request("word " * 30))

    assert ("", 20) == (fine.record.request.account.uninspectable, fine.record.request.account.windows)
    assert talk.refused is not None
    assert (413, "too-large") == (talk.refused.status, talk.record.request.account.uninspectable)

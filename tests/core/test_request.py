"""The request's half: what is held, what is forwarded, and when."""

import pytest

from safeguards_extproc.core.decision import Action, Gate, Limits, Route, Windowing
from safeguards_extproc.core.events import Body, BodyMode, Headers
from tests.playbook import REQUEST, RESPONSE, Conversation, chunks, request_headers, response_headers
from tests.world import WordPolicy, plain_request, plain_stream


@pytest.mark.parametrize("gate", [Gate.OVERLAP, Gate.OBSERVE])
def test_other_gates_forward_chunks_as_they_come(gate):
    """No byte waits, and none is held."""
    talk = Conversation(WordPolicy(place=Route("test", gate=gate)))
    talk.feed(request_headers())
    talk.feed(Body(REQUEST, b'{"te', False))

    assert talk.upstream_saw() == b'{"te'
    assert talk.exchange.held == 0


def test_a_request_is_cut_into_as_few_windows_as_may_be():
    """A small first window lets an answer begin early; a request is there as a whole."""
    policy = WordPolicy(place=Route("test", windowing=Windowing(first=8, largest=64, overlap=8)))
    text = "a few words that are no more than one window"
    talk = Conversation(policy).request(plain_request(text)).stream(plain_stream(text))

    assert 1 == talk.record.request.account.windows < talk.record.response.account.windows


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


def unclaimed(policy=None, gate=Gate.HOLD, **more):
    """A conversation on a path that no format claims."""
    talk = Conversation(policy or WordPolicy(place=Route("test", gate=gate), on_uninspectable=Action.ALLOW), **more)
    talk.feed(request_headers("/opaque/rewritten"))
    return talk


@pytest.mark.parametrize("size", [0, 1, 5])
def test_a_known_shape_on_a_path_that_nobody_claims_is_read(size):
    """A gateway rewrote the path: the body shows its format, and the verdict is that of the format's text."""
    talk = unclaimed()
    talk.send(REQUEST, chunks(b" \n" + plain_request("this is FORBIDDEN"), size))

    assert (talk.refused is not None, talk.upstream_saw()) == (True, b"")
    assert ("plain", "full") == (talk.record.format, talk.record.request.account.coverage)
    assert ("plain", "body") == tuple(talk.record.request.features[name] for name in ("format", "recognised"))


def test_a_body_that_begins_like_none_is_not_waited_for():
    """It goes on as it comes, or is refused at once, as policy says of what is opaque."""
    talk = unclaimed()
    talk.feed(Body(REQUEST, b"field=va", False))
    strict = unclaimed(WordPolicy())
    strict.feed(Body(REQUEST, b"field=va", False))

    assert b"field=va" == talk.upstream_saw()
    assert ("opaque", True) == (strict.record.request.account.uninspectable, strict.refused is not None)


@pytest.mark.parametrize(
    ("content_type", "reason"), [("application/grpc", "grpc"), ("image/png", "binary"), ("", "opaque")]
)
def test_a_body_of_no_known_shape_has_a_name(content_type, reason):
    """Policy and record tell them apart, JSON that nobody knows included."""
    for body in (b"\x00\x01", b'{"colour": "red"}'):
        talk = Conversation(WordPolicy())
        talk.request(body, path="/opaque", content_type=content_type)

        assert reason == talk.record.request.account.uninspectable


def test_a_body_that_may_have_a_known_shape_is_not_opaque():
    """Two parsers could see one in it, so it is malformed; and one that is cut short by a limit is too large."""
    broken = Conversation(WordPolicy()).request(b'{"text": "FORBIDDEN"', path="/opaque")
    packed = Conversation(WordPolicy()).request(plain_request("x"), path="/opaque", content_encoding="zip")
    place = Route("test", limits=Limits(request_bytes=8))
    large = Conversation(WordPolicy(place=place)).request(plain_request("word " * 9), path="/opaque")
    unsent = Conversation(WordPolicy(), mode=BodyMode.NONE)
    unsent.feed(request_headers("/opaque"))

    seen = [talk.record.request.account.uninspectable for talk in (broken, packed, large, unsent)]
    assert ["malformed", "encoding", "too-large", "not-sent"] == seen


def test_a_packed_body_is_unpacked_before_it_is_recognised():
    """Compression hides no shape."""
    talk = Conversation(WordPolicy(on_uninspectable=Action.ALLOW))
    talk.request(plain_request("FORBIDDEN")[::-1], path="/opaque", content_encoding="reversed")

    assert talk.refused is not None


def test_only_an_automatic_format_is_looked_for():
    """A route that names "opaque" means it."""
    named = Conversation(WordPolicy(place=Route("test", format="opaque"), on_uninspectable=Action.ALLOW))
    named.request(plain_request("FORBIDDEN"), path="/opaque")

    assert plain_request("FORBIDDEN") == named.upstream_saw()


@pytest.mark.parametrize("method", ["PUT", "PATCH", "QUERY", "GET"])
def test_any_method_may_carry_a_body_of_a_known_shape(method):
    """A server may take it for a POST, so it is read like one; another body is policy's to judge; none is no matter."""
    talks = [Conversation(WordPolicy()) for _ in range(3)]
    for talk, body in zip(talks, (plain_request("FORBIDDEN"), b'{"colour": "red"}', b""), strict=True):
        talk.feed(Headers(REQUEST, {":method": method, ":path": "/opaque"}, False))
        talk.send(REQUEST, [body])

    assert [True, True, False] == [talk.refused is not None for talk in talks]
    assert ["", "opaque"] == [talk.record.request.account.uninspectable for talk in talks[:2]]


@pytest.mark.parametrize("end", [True, False])
def test_a_tunnel_is_policys_to_allow(end):
    """A WebSocket handshake is refused before it reaches the upstream, whichever format the path has."""
    talk = Conversation(WordPolicy())
    talk.feed(Headers(REQUEST, {":method": "GET", ":path": "/v1", "upgrade": "websocket"}, end))

    assert talk.refused is not None
    assert "websocket" == talk.record.request.account.uninspectable


def test_an_observed_request_still_has_its_answer_read():
    """The gate lets the request go first; the answer waits until its format is known, and is then judged."""
    talk = unclaimed(gate=Gate.OBSERVE)
    talk.feed(Body(REQUEST, b'{"text": "he', False))
    talk.feed(response_headers("text/event-stream"))
    talk.feed(Body(RESPONSE, plain_stream("FORBIDDEN"), False))
    assert (b"", None) == (talk.client_saw(), talk.seen[RESPONSE].headers)

    talk.feed(Body(REQUEST, b'llo"}', True))
    assert b"FORBIDDEN" not in talk.client_saw()
    assert talk.refused is not None


@pytest.mark.parametrize("said", [b'{"text": "hello"}', b'{"te'])
def test_an_answer_that_is_whole_waits_for_no_observed_request(said):
    """What has come of the request must do: a shape that it shows by then is used, else policy decides."""
    talk = unclaimed(gate=Gate.OBSERVE)
    talk.feed(Body(REQUEST, said, False))
    talk.feed(response_headers())
    talk.feed(Body(RESPONSE, plain_request("FORBIDDEN"), True))
    talk.feed(Body(REQUEST, b"", True))

    known = said.endswith(b"}")
    assert known is (talk.refused is not None)
    assert ("" if known else "opaque") == talk.record.response.account.uninspectable

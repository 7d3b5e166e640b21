"""How a response comes in: its frames, its whole, and what of it cannot be read."""

import contextlib
import json
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.core import intake as intake_module
from safeguards_extproc.core import pour as pour_module
from safeguards_extproc.core import response as response_module
from safeguards_extproc.core.decision import Action, Gate, Limits, Model, Release, Result, Route, Windowing
from safeguards_extproc.core.effects import SendBody
from safeguards_extproc.core.events import Body, Headers, Scored, Woke
from safeguards_extproc.core.intake import LONG
from safeguards_extproc.core.response import PER_TURN as RELEASED
from tests.playbook import REQUEST, RESPONSE, Conversation, request_headers, response_headers
from tests.world import DONE, WordPolicy, event, plain_request, plain_stream

SMALL = Windowing(first=8, largest=16, overlap=8)
SCREEN = Model("screen", "screen", 100)
WORDS = {"FORBIDDEN": Action.BLOCK, "SECRET": Action.REDACT}


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
    """A gateway's 502 is no body of the API, and no answer of a model: policy may let it pass where others may not."""
    talk = asked(WordPolicy()).response(b"<html>Bad gateway</html>", status=502)
    moved = asked(WordPolicy()).response(b"<html>Moved</html>", status=307)
    broken = asked(WordPolicy()).response(b"<html>Welcome</html>", status=200)

    seen = [one.record.response.account.uninspectable for one in (talk, moved, broken)]
    assert ["opaque-answer", "opaque-answer", "malformed"] == seen


@pytest.mark.parametrize("content_type", ["application/json", "image/png", "text/event-stream"])
def test_an_answer_where_nothing_was_asked_has_a_name_of_its_own(content_type):
    """Lists of models, files, pages: what came without a question need not be treated as what nobody could read."""
    got, posted = Conversation(WordPolicy()), Conversation(WordPolicy())
    got.feed(Headers(REQUEST, {":method": "GET", ":path": "/opaque"}, True))
    posted.feed(Headers(REQUEST, {":method": "POST", ":path": "/opaque", "content-length": "0"}, False))
    posted.feed(Body(REQUEST, b"", True))

    for talk in (got, posted):
        talk.response(b"anything", content_type=content_type)
        assert talk.refused is not None
        assert "opaque-answer" == talk.record.response.account.uninspectable
        assert "" == talk.record.request.account.uninspectable


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


def test_an_answer_that_opens_a_tunnel_has_a_name():
    """101 and what follows is no body of the API, whatever the request was."""
    talk = asked(WordPolicy()).response(b"frames", status=101)

    assert "websocket" == talk.record.response.account.uninspectable


def waiting(policy, content_type="application/json", **headers):
    """An observed request whose format nobody knows yet, and the headers of its answer."""
    talk = Conversation(policy)
    talk.feed(request_headers("/opaque"))
    talk.feed(Body(REQUEST, b'{"text"', False))
    talk.feed(response_headers(content_type, **headers))
    return talk


def test_what_waits_for_a_format_is_bounded():
    """An answer is held for its format no further than the limit: then it is too large to read."""
    place = Route("test", gate=Gate.OBSERVE, limits=Limits(response_bytes=10))
    talk = waiting(WordPolicy(place=place))
    talk.feed(Body(RESPONSE, b"x" * 11, False))

    assert talk.refused is not None
    assert "too-large" == talk.record.response.account.uninspectable


@pytest.mark.parametrize("release", [Release.WINDOW, Release.OBSERVE])
@pytest.mark.parametrize("encoded", [False, True])
def test_an_answer_that_came_before_its_format_is_read_once(release, encoded):
    """Streamed, compressed or observed: the client gets each byte once, and each was scanned."""
    talk = waiting(
        WordPolicy(place=Route("test", gate=Gate.OBSERVE, release=release)),
        "text/event-stream",
        **({"content_encoding": "reversed"} if encoded else {}),
    )
    stream = plain_stream("one ", "two")
    sent = stream[::-1] if encoded else stream
    talk.feed(Body(RESPONSE, sent[:9], False))
    talk.feed(Body(REQUEST, b': "hi"}', True))
    talk.feed(Body(RESPONSE, sent[9:], True))

    assert (sent if encoded and release is Release.OBSERVE else stream) == talk.client_saw()
    assert "full" == talk.record.response.account.coverage
    assert "plain" == talk.record.response.features["format"]


def test_an_answer_of_no_known_format_goes_on_when_policy_lets_it():
    """The request showed none: what was held of the answer leaves as it came."""
    talk = Conversation(WordPolicy(place=Route("t", gate=Gate.OBSERVE), on_uninspectable=Action.ALLOW))
    talk.feed(request_headers("/opaque"))
    talk.feed(Body(REQUEST, b'{"colour"', False))
    talk.feed(response_headers())
    talk.feed(Body(RESPONSE, b"FORBI", False))
    talk.feed(Body(REQUEST, b": 1}", True))
    talk.feed(Body(RESPONSE, b"DDEN", True))

    assert b"FORBIDDEN" == talk.client_saw()
    assert "opaque" == talk.record.response.account.uninspectable


PING = b": ping\n\n"


def portions(talk, since):
    """Frames that the client got for each event since that place of the log."""
    sent = []
    for entry in talk.log[since:]:
        if isinstance(entry, Body | Scored | Woke):
            sent.append(0)
        elif isinstance(entry, SendBody):
            sent[-1] += entry.data.count(b"\n\n")
    return sent


def test_many_frames_leave_turns_to_other_streams():
    """A chunk of heartbeats is read a part for each event, and what waited for a verdict leaves in parts as well."""
    talk = asked(WordPolicy(place=Route("test", windowing=SMALL), models=[SCREEN]))
    talk.feed(response_headers("text/event-stream"))
    stream = event(text="fine words here. ") + PING * 4000
    talk.feed(Body(RESPONSE, stream, False))
    read = sum(isinstance(entry, Woke) for entry in talk.log)
    assert (True, 4001) == (read >= 4000 // 300, talk.exchange._response.scan.account.frames)

    since = len(talk.log)
    while talk.out or "flush" in talk.timers:
        if talk.out:
            talk.answer(talk.out[0].ticket, [Result("screen", {"screen.bad": 0.0})])
        else:
            talk.fire("flush")
    assert (4001, True) == (sum(portions(talk, since)), max(portions(talk, since)) <= RELEASED)
    assert stream == talk.client_saw()


def test_a_long_event_leaves_turns_to_other_streams():
    """Its text goes to the scan a part for each event; what follows it waits, and leaves behind it."""
    long = event(text="fine words here. " * 20_000)
    talk = asked(WordPolicy(place=Route("test", windowing=Windowing())))
    talk.feed(response_headers("text/event-stream"))
    talk.feed(Body(RESPONSE, long + event(text="and more. ") + event(text="the "), False))
    turns = sum(isinstance(entry, Woke) for entry in talk.log)
    talk.feed(Body(RESPONSE, event(text="end.") + DONE, True))

    assert turns > len(long) // LONG
    assert long + event(text="and more. ") + event(text="the ") + event(text="end.") + DONE == talk.client_saw()
    assert "full" == talk.record.response.account.coverage


TURNS = {"a few words ": 5, "SECRET ": 2, "FORBIDDEN ": 1, "": 3}


@settings(max_examples=60, deadline=None)
@given(
    said=st.lists(st.sampled_from([text for text, often in TURNS.items() for _ in range(often)]), max_size=12),
    size=st.sampled_from([0, 40, 400]),
)
def test_turns_change_nothing(said, size):
    """Law 1, also within an event: the client and the record see no difference, however little is done at a time."""
    policy = WordPolicy(WORDS, Route("test", windowing=SMALL))
    stream = b"".join(event(text=text) if text else PING for text in said) + DONE
    whole = asked(policy).stream(stream, size)
    with short_turns():
        cut = asked(policy).stream(stream, size)
    assert (whole.client_saw(), whole.record.outcome) == (cut.client_saw(), cut.record.outcome)
    if whole.record.termination == "complete":
        assert whole.record.response.account == cut.record.response.account


@pytest.mark.interpreted
def test_the_law_of_turns_bites():
    """Planted fault: a next window is judged while frames of the last are owed, and they are lost with its verdict."""
    policy = WordPolicy(WORDS, Route("test", windowing=SMALL))
    stream = event(text="a few words here ") + PING * 9 + event(text="FORBIDDEN ") + DONE
    whole = asked(policy).stream(stream)
    with short_turns(), patch.object(response_module.ResponseLane, "_owes", Forgetful(), create=True):
        lost = asked(policy).stream(stream)
    assert whole.client_saw() != lost.client_saw()


class Forgetful:
    """An attribute that is always False."""

    def __get__(self, lane, owner=None):
        return False

    def __set__(self, lane, value):
        pass


@contextlib.contextmanager
def short_turns():
    with (
        patch.object(intake_module, "SLICE", 16),
        patch.object(intake_module, "SLICES", 2),
        patch.object(intake_module, "LONG", 20),
        patch.object(pour_module, "TURN", 8),
        patch.object(pour_module, "PIECE", 5),
        patch.object(response_module, "PER_TURN", 1),
    ):
        yield


def test_texts_without_number_end_a_stream():
    """Each text that is open costs memory and a look at every flush: there are only so many."""
    policy = WordPolicy(place=Route("t", limits=Limits(windows=0), windowing=SMALL), on_uninspectable=Action.ALLOW)
    talk = asked(policy).stream(event(text="fine words here. ") + DONE)
    assert talk.record.response.account.uninspectable == "too-large"

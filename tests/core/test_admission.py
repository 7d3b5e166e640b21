"""An exchange asks once whether it may go on, and nothing of it goes anywhere before the answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from safeguards_extproc import wire
from safeguards_extproc.core.account import (
    Admission,
    Admitted,
    Charge,
    Count,
    Counted,
    Identity,
    Limit,
    OnFailure,
    Shape,
    Standing,
    Step,
    Usage,
)
from safeguards_extproc.core.admission import headers, seconds, settlement
from safeguards_extproc.core.decision import Action, Gate, Limits, Model, Release, Result, Route
from safeguards_extproc.core.effects import Keep
from safeguards_extproc.core.events import Aborted, Body, BodyMode, Opened, Scored
from safeguards_extproc.core.record import LimitState, Tokens
from safeguards_extproc.wire import sse
from tests.playbook import REQUEST, RESPONSE, Accounts, Conversation, request_headers, response_headers
from tests.world import WordPolicy, plain_request, plain_stream

RATE = Limit("requests", ("key",), Count.REQUESTS, Shape.RATE, 60, 60.0, 10)
BYTES = Limit("bytes", ("key",), Count.BYTES, Shape.BUDGET, 1000, 3600.0)
STREAMS = Limit("streams", ("key",), Count.STREAMS, Shape.CONCURRENT, 4)
SHADOW = replace(RATE, name="trial", enforced=False)
SCREEN = Model("screen", "screen", 100)


class Header:
    """Who asks is in a header, and in the body's user."""

    wants = ("$.user",)

    def __init__(self, sketch: Callable[[str], int] | None = None) -> None:
        self.sketch = sketch

    def identify(self, fields: Mapping[str, str], opened: Opened, told: Mapping[str, str]) -> Identity:
        names = {"key": fields["x-key"]} if "x-key" in fields else {}
        return Identity({**names, "end_user": told["$.user"]} if "$.user" in told else names)


def charged(identity: Identity, model: str, prompt: int, most: int, bytes: int) -> Sequence[Charge]:
    return [Charge(RATE, (identity.names.get("key", ""),), prompt), Charge(BYTES, ("",), bytes)]


def policy(**keys: object) -> WordPolicy:
    return WordPolicy(charged=charged, **keys)  # type: ignore[arg-type]


def yes(admission: Admission) -> Admitted:
    return Admitted([Counted(RATE, True, 9, 1.5)], source="store")


def no(admission: Admission) -> Admitted:
    return Admitted([Counted(RATE, False, 0, 60.0, 6.2)], source="store")


def conversation(rules: WordPolicy, accounts: Accounts | None = None, **keys: object) -> Conversation:
    return Conversation(rules, who=Header(), accounts=accounts, **keys)  # type: ignore[arg-type]


def test_a_policy_without_accounts_asks_nobody() -> None:
    """And its exchanges go on as ever."""
    talk = Conversation(WordPolicy()).request(plain_request("hello")).stream(plain_stream("hi"))
    assert talk.admission is None
    assert (talk.record.identity, talk.record.account, talk.record.limits) == ({}, "", [])


def test_it_is_asked_when_the_body_is_understood() -> None:
    """Who asks, and for how much: by the body's text and size. Nothing is scanned, and nothing goes on, before."""
    body = plain_request("eight ch")
    talk = conversation(policy(models=[SCREEN])).request(body, x_key="abc")
    assert talk.admission is not None
    assert talk.admission.id == "exchange-1"
    assert talk.admission.identity.names == {"key": "abc"}
    assert [charge.cost for charge in talk.admission.charges] == [2, len(body)]
    assert (talk.out, talk.upstream_saw(), talk.seen[REQUEST].headers) == ([], b"", None)
    assert talk.exchange.waiting

    talk.admitted(yes(talk.admission))
    assert (len(talk.out), talk.upstream_saw()) == (1, b"")


def test_a_refusal_costs_no_model_time() -> None:
    """The client hears it in the dialect, with when to ask again and how its limits stand."""
    talk = conversation(policy(models=[SCREEN]), no).request(plain_request("FORBIDDEN"), x_key="abc")
    assert talk.refused is not None
    assert talk.refused.status == 429
    assert dict(talk.refused.headers)["ratelimit"] == '"requests";r=0;t=60'
    assert talk.record.request.account.windows == 0
    assert (talk.record.outcome, talk.record.termination) == ("throttle", "refused")
    assert talk.record.limits == [LimitState("requests", False, 0, True)]
    assert (talk.record.identity, talk.record.limits_from, talk.record.account) == ({"key": "abc"}, "store", "good")


def test_the_answer_says_how_the_limits_stand() -> None:
    """To the client, on a response that goes on; the upstream hears nothing of it."""
    talk = conversation(policy(), yes).request(plain_request("hello"), x_key="abc").stream(plain_stream("hi"))
    sent = talk.seen[RESPONSE].headers
    assert sent is not None
    assert dict(sent.set)["ratelimit-policy"] == '"requests";q=60;w=60'
    assert dict(sent.set)["ratelimit"] == '"requests";r=9;t=2'
    upstream = talk.seen[REQUEST].headers
    assert upstream is not None
    assert "ratelimit" not in dict(upstream.set)


MODES = [BodyMode.NONE, BodyMode.BUFFERED, BodyMode.STREAMED, BodyMode.DUPLEX]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("end", [False, True])
def test_a_route_that_is_not_inspected_asks_by_headers_alone(mode: BodyMode, end: bool) -> None:
    """And holds them until it hears."""
    rules = policy(place=Route("files", inspect=False))
    talk = conversation(rules, mode=mode)
    talk.feed(request_headers(end=end, x_key="abc", content_length="5"))
    assert talk.admission is not None
    assert [charge.cost for charge in talk.admission.charges] == [2, 5]
    assert talk.seen[REQUEST].headers is None
    if not end and mode is not BodyMode.NONE:
        talk.feed(Body(REQUEST, b"bytes", True))
        assert talk.upstream_saw() == b""
    talk.admitted(yes(talk.admission))
    assert talk.seen[REQUEST].headers is not None
    assert talk.upstream_saw() == (b"" if end or mode is BodyMode.NONE else b"bytes")
    assert mode is BodyMode.DUPLEX or talk.owed(REQUEST) == 0
    talk.feed(response_headers(end=True))
    assert (talk.record.request.applied, talk.record.outcome, talk.record.termination) == ("pass", "pass", "complete")


@pytest.mark.parametrize("mode", MODES)
def test_a_route_that_is_not_inspected_is_refused_all_the_same(mode: BodyMode) -> None:
    """Limits are not about text."""
    talk = conversation(policy(place=Route("files", inspect=False)), no, mode=mode)
    talk.feed(request_headers(x_key="abc"))
    assert talk.refused is not None
    assert talk.record.outcome == "throttle"


UNREADABLE = [
    ({"path": "/opaque"}, b"text"),
    ({"content_encoding": "bomb"}, b"text"),
    ({}, b"{not json"),
    ({"upgrade": "websocket", "connection": "upgrade"}, b""),
]


@pytest.mark.parametrize(("extra", "body"), UNREADABLE)
@pytest.mark.parametrize("size", [0, 1])
def test_a_body_that_cannot_be_read_asks_too(extra: dict[str, str], body: bytes, size: int) -> None:
    """Whatever the policy says of such bodies comes after."""
    talk = conversation(policy(on_uninspectable=Action.ALLOW), yes).request(body, size, x_key="abc", **extra)
    talk.response(b'{"text": "hi"}')
    assert talk.upstream_saw() == body
    assert talk.record.identity == {"key": "abc"}
    refused = conversation(policy(on_uninspectable=Action.ALLOW), no).request(body, size, x_key="abc", **extra)
    assert refused.refused is not None
    assert refused.upstream_saw() == b""


@pytest.mark.parametrize("gate", [Gate.OVERLAP, Gate.OBSERVE])
def test_other_gates_let_the_request_go_on(gate: Gate) -> None:
    """Under overlap the answer waits for the admission; where the gate only observes, nothing does."""
    talk = conversation(policy(place=Route("test", gate=gate)))
    talk.request(plain_request("hello"), x_key="abc")
    assert talk.upstream_saw() == plain_request("hello")
    talk.feed(response_headers())
    talk.feed(Body(RESPONSE, b'{"text": "hi"}', True))
    assert bool(talk.client_saw()) == (gate is Gate.OBSERVE)
    assert talk.admission is not None
    talk.admitted(no(talk.admission))
    assert (talk.refused is not None) == (gate is Gate.OVERLAP)
    assert talk.record.request.decided == "throttle"


def test_a_request_without_a_body_asks() -> None:
    """By its headers."""
    talk = conversation(policy())
    talk.feed(request_headers(end=True, x_key="abc"))
    assert talk.seen[REQUEST].headers is None
    assert talk.admission is not None
    talk.admitted(yes(talk.admission))
    assert talk.seen[REQUEST].headers is not None
    assert [charge.cost for charge in talk.admission.charges] == [0, 0]


@pytest.mark.parametrize("size", [0, 1, 7])
def test_a_body_that_is_too_large_costs_what_it_may_be(size: int) -> None:
    """However it was cut: the bytes that its header says, and no less than the most that is read."""
    rules = policy(place=Route("test", limits=Limits(request_bytes=20)))
    talk = conversation(rules).request(b"x" * 40, size, x_key="abc")
    assert talk.admission is not None
    assert [charge.cost for charge in talk.admission.charges] == [5, 20]


def test_whoever_stands_out_gets_nothing_ahead_of_its_verdict() -> None:
    """A route that follows waits for each window, for identities in a campaign."""
    rules = policy(place=Route("test", release=Release.FOLLOW), models=[replace(SCREEN, request=False)])

    def flagged(admission: Admission) -> Admitted:
        return Admitted(standing=Standing(flags=frozenset({"probing"})))

    talk = conversation(rules, flagged).request(plain_request("hello")).stream(plain_stream("not scanned"))
    assert b"not scanned" not in talk.client_saw()
    assert talk.abort().record.release == "window"
    talk = conversation(rules, yes).request(plain_request("hello")).stream(plain_stream("not scanned"))
    assert b"not scanned" in talk.client_saw()


def test_rules_know_who_asks() -> None:
    """In both directions."""

    def warned(admission: Admission) -> Admitted:
        counted = [Counted(SHADOW, False, 0), Counted(RATE, True, 1)]
        return Admitted(counted, Standing(Step.WARNED, flags=frozenset({"b", "a"})), "store")

    talk = conversation(policy(), warned).request(plain_request("hello"), x_key="abc").stream(plain_stream("hi"))
    told = {
        "account_step": "warned",
        "account_severity": 1,
        "campaign": "a,b",
        "limit": "trial",
        "limit_near": "trial",
        "identified": True,
    }
    for phase in (talk.record.request, talk.record.response):
        assert told.items() <= phase.features.items()


def test_a_settlement_says_what_became_of_it() -> None:
    """What was estimated of both directions, and the bytes."""
    talk = conversation(policy(), yes).request(plain_request("eight ch"), x_key="abc").stream(plain_stream("four"))
    assert talk.admission is not None
    told = settlement(talk.record, talk.admission, yes(talk.admission))
    size = len(plain_request("eight ch")) + len(plain_stream("four"))
    assert (told.usage, told.refused) == (Usage(2, 1, size), False)
    assert (told.outcome, told.decided) == ("allow", "allow")


def test_what_was_asked_is_likened_where_that_is_wanted() -> None:
    """The last turn, once, when the exchange is over; of a policy that does not ask, nothing."""
    likened: list[str] = []

    def sketch(text: str) -> int:
        likened.append(text)
        return 7

    for rules, expected in ((policy(), 7), (WordPolicy(), 0)):
        talk = Conversation(rules, who=Header(sketch), accounts=yes)
        talk.request(plain_request("eight ch"), x_key="abc").stream(plain_stream("four"))
        assert [expected] == [effect.sketch for effect in talk.log if isinstance(effect, Keep)]
    assert ["eight ch"] == likened
    assert talk.admission is None


@pytest.mark.parametrize(("scores", "judged"), [({"screen.bad": 0.9}, True), (None, False)])
def test_a_check_that_failed_judged_nothing(scores: Mapping[str, float] | None, judged: bool) -> None:
    """A request is refused, because it is bad, or because nobody could say: only the first is held against anybody."""
    talk = conversation(policy(models=[SCREEN]), yes).request(plain_request("hello"), x_key="abc")
    (ask,) = talk.out
    result = Result("screen", scores) if scores else Result("screen", failure="timeout")
    talk.feed(Scored(ask.ticket, [result]))
    assert talk.admission is not None
    told = settlement(talk.record, talk.admission, yes(talk.admission), 5)
    assert ("block", judged, 5) == (told.outcome, told.judged, told.sketch)


def test_who_is_refused_has_used_nothing() -> None:
    """Neither tokens nor bytes."""
    talk = conversation(policy(), no).request(plain_request("hello"), x_key="abc")
    assert talk.admission is not None
    told = settlement(talk.record, talk.admission, no(talk.admission))
    assert (told.usage, told.refused, told.outcome) == (Usage(), True, "throttle")


def test_what_the_upstream_turned_away_used_no_tokens() -> None:
    """Providers charge no errors."""
    talk = conversation(policy(), yes).request(plain_request("hello"), x_key="abc")
    talk.response(b'{"text": "overloaded"}', status=529)
    assert talk.record.usage == Tokens()


def test_an_exchange_that_is_over_asks_nothing() -> None:
    """Nor does an answer that comes late change its record."""
    talk = conversation(policy()).request(plain_request("hello"), x_key="abc")
    talk.feed(Aborted("closed"))
    assert talk.admission is not None
    assert talk.record.identity == {"key": "abc"}
    assert talk.record.limits == []
    assert talk.admitted(yes(talk.admission)) == []


def test_headers_show_what_is_enforced() -> None:
    """With the unit of a quota that is not of requests."""
    answer = Admitted([Counted(SHADOW, True, 5), Counted(STREAMS, True, 3), Counted(BYTES, True, -7, 12.01)])
    assert dict(headers(answer)) == {
        "ratelimit-policy": '"streams";q=4;qu="concurrent-requests", "bytes";q=1000;w=3600;qu="content-bytes"',
        "ratelimit": '"streams";r=3, "bytes";r=0;t=13',
    }
    assert headers(Admitted([Counted(SHADOW, True, 5)])) == []


def test_seconds_are_whole() -> None:
    """Whatever a store says."""
    assert [seconds(value) for value in (0.0, 0.2, -3.0, float("inf"), float("nan"))] == [0, 1, 0, 366 * 86_400, 0]


ASKED = b'{"model": "claude", "max_tokens": 99, "messages": [{"role": "user", "content": "hello there"}]}'
START: dict[str, Any] = {"id": "m", "model": "claude", "content": [], "usage": {"input_tokens": 25, "output_tokens": 1}}
ANSWERED: list[dict[str, Any]] = [
    {"type": "message_start", "message": START},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a longer answer"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 40}},
    {"type": "message_stop"},
]


def claude() -> Conversation:
    return conversation(policy(), yes, wire=wire).request(ASKED, path="/v1/messages", x_key="abc")


@pytest.mark.parametrize("size", [0, 7])
def test_the_providers_count_is_what_was_used(size: int) -> None:
    """Streamed or whole, and however it is cut: an estimate is kept only where there is no count."""
    events = b"".join(sse.event(str(body["type"]), json.dumps(body).encode()) for body in ANSWERED)
    assert claude().stream(events, size).record.usage == Tokens(25, 40, True)
    whole = {**START, "type": "message", "role": "assistant", "usage": {"input_tokens": 25, "output_tokens": 40}}
    assert claude().response(json.dumps(whole).encode(), size).record.usage == Tokens(25, 40, True)
    uncounted = {**whole, "usage": None, "content": [{"type": "text", "text": "four"}]}
    assert claude().response(json.dumps(uncounted).encode(), size).record.usage == Tokens(3, 1)


def test_an_answer_that_is_broken_off_counts_as_far_as_it_came() -> None:
    """Its input by the provider's count, its output by what was read where that is more."""
    events = b"".join(sse.event(str(body["type"]), json.dumps(body).encode()) for body in ANSWERED[:3])
    talk = claude()
    talk.feed(response_headers("text/event-stream"))
    talk.feed(Body(RESPONSE, events, False))
    talk.feed(Aborted("closed"))
    assert talk.record.usage == Tokens(25, 4)


def test_a_count_of_the_output_alone_is_not_exact() -> None:
    """What was sent is estimated then."""
    talk = conversation(policy(), yes, wire=wire).request(b'{"inputs": "eight ch"}', path="/generate", x_key="abc")
    talk.response(b'{"generated_text": "hello", "details": {"generated_tokens": 9, "finish_reason": "length"}}')
    assert talk.record.usage == Tokens(2, 9)


def test_what_became_of_a_token_is_a_feature() -> None:
    """For rules on requests; nothing is said where no claim is read. The model joins who asks."""

    class Signed(Header):
        def identify(self, fields: Mapping[str, str], opened: Opened, told: Mapping[str, str]) -> Identity:
            return replace(super().identify(fields, opened, told), token="invalid")

    talk = Conversation(policy(), who=Signed(), accounts=yes, wire=wire)
    talk.request(ASKED, path="/v1/messages", x_key="abc").response(json.dumps(START).encode())
    assert talk.record.request.features["token"] == "invalid"
    assert talk.record.identity == {"key": "abc", "model": "claude"}
    assert "token" not in claude().response(b"{}").record.request.features


@pytest.mark.parametrize(("reserves", "allowed"), [(True, 99), (False, 0)])
def test_what_the_request_allows_its_answer_is_charged(reserves: bool, allowed: int) -> None:
    """Where tokens count, and nowhere else is it read; the body says which user asks."""
    told: list[tuple[Mapping[str, str], int]] = []

    def counts(identity: Identity, model: str, prompt: int, most: int, bytes: int) -> Sequence[Charge]:
        told.append((identity.names, most))
        return ()

    body = ASKED[:-1] + b', "user": "ann"}'
    rules = WordPolicy(charged=counts, reserves=reserves)
    conversation(rules, wire=wire).request(body, path="/v1/messages", x_key="abc")
    assert told == [({"key": "abc", "end_user": "ann", "model": "claude"}, allowed)]


def test_a_limit_says_what_becomes_of_it_without_its_store() -> None:
    """By default it is counted here."""
    assert RATE.on_failure is OnFailure.LOCAL

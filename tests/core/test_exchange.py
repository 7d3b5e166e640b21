"""Conversations of one exchange: what Envoy says, what it is told, and the one record that remains."""

import gc
from dataclasses import replace

import pytest

from safeguards_extproc.core.aside import LARGE
from safeguards_extproc.core.decision import Action, Gate, Model, Release, Result, Route, Windowing
from safeguards_extproc.core.effects import AnswerBody, Classify, Keep, Refuse, SendBody, SendHeaders, Wake
from safeguards_extproc.core.events import Aborted, Body, BodyMode, Opened, Trailers, Woke
from safeguards_extproc.core.exchange import TURN, Exchange
from tests.playbook import REQUEST, RESPONSE, Conversation, request_headers, response_headers
from tests.world import DONE, PLAIN_WIRE, SORRY, WordPolicy, event, plain_request, plain_stream

SCREEN = Model("screen", "screen", 100)
POLICY = WordPolicy()
SMALL = Windowing(first=16, largest=32, overlap=12, flush_ms=50)
STREAMING = WordPolicy(place=Route("test", windowing=SMALL))


def test_a_harmless_exchange_passes_untouched():
    """Every byte is the same in both directions, and the record says that all of it was scanned."""
    ask, answer = plain_request("hello"), b'{"text": "hi"}'
    talk = Conversation(POLICY).request(ask).response(answer)

    assert (talk.upstream_saw(), talk.client_saw()) == (ask, answer)
    assert (talk.record.outcome, talk.record.termination) == ("allow", "complete")
    assert (talk.record.request.account.coverage, talk.record.response.account.coverage) == ("full", "full")
    assert talk.exchange.finished


def test_a_blocked_request_never_reaches_the_upstream():
    """Headers are withheld until the verdict: the only thing that Envoy is told is the refusal."""
    talk = Conversation(POLICY).request(plain_request("FORBIDDEN"), 3)

    assert talk.seen[REQUEST].headers is None
    assert talk.refused is not None
    assert talk.refused.status == 400
    assert (talk.record.outcome, talk.record.termination, talk.record.rule) == ("block", "refused", "FORBIDDEN")


def test_the_record_is_kept_before_the_answer():
    """A crash after the answer cannot lose the record."""
    talk = Conversation(POLICY)
    talk.feed(request_headers())
    effects = talk.feed(Body(REQUEST, plain_request("FORBIDDEN"), True))

    assert [type(effect) for effect in effects] == [Keep, Refuse]


def test_a_bad_answer_is_refused_before_its_first_byte():
    """Response headers wait for the first verdict, so the client gets a clean status."""
    talk = Conversation(POLICY).request(plain_request("hello")).stream(plain_stream("FORBIDDEN"))

    assert talk.seen[RESPONSE].headers is None
    assert talk.refused is not None
    assert (talk.record.outcome, talk.record.request.applied, talk.record.response.applied) == (
        "block",
        "allow",
        "block",
    )


def test_a_stream_is_stopped_with_its_dialects_last_events():
    """What was clean has left; what follows is the ending, and nothing of the bad window."""
    clean = "some perfectly fine words to begin with, "
    talk = Conversation(STREAMING).request(plain_request("hello")).stream(plain_stream(clean, "then FORBIDDEN words"))

    assert talk.client_saw().endswith(SORRY)
    assert b"FORBIDDEN" not in talk.client_saw()
    assert b"perfectly" in talk.client_saw()
    assert talk.seen[RESPONSE].ended == 1
    assert (talk.record.outcome, talk.record.termination) == ("stop", "stopped")


@pytest.mark.long
def test_an_exchange_leaves_nothing_to_the_collector():
    """What it held is free as soon as its stream lets go of it: bodies do not wait for a collection."""

    def exchanges():
        return sum(type(each) is Exchange for each in gc.get_objects())

    gc.disable()
    try:
        before = exchanges()
        talk = Conversation(POLICY).request(plain_request("hello")).stream(plain_stream("hi"))
        assert before + 1 == exchanges()
        del talk
        assert before == exchanges()
    finally:
        gc.enable()


def test_a_tool_call_waits_for_its_end():
    """No part of a call leaves before the whole has a verdict."""
    talk = Conversation(STREAMING).request(plain_request("hello"))
    talk.feed(response_headers("text/event-stream"))
    talk.feed(Body(RESPONSE, event(text="I will now call a tool. ") + event(call="rm " * 30), False))
    talk.fire("flush")
    before = talk.client_saw()
    talk.feed(Body(RESPONSE, event(call="FORBIDDEN", end=True) + DONE, True))

    assert before == event(text="I will now call a tool. ")
    assert talk.client_saw() == before + SORRY


def test_a_slow_stream_is_flushed():
    """Text that waits for more is scanned when the timer fires, and leaves."""
    talk = Conversation(STREAMING).request(plain_request("hello"))
    talk.feed(response_headers("text/event-stream"))
    talk.feed(Body(RESPONSE, event(text="short"), False))
    held = talk.client_saw()
    talk.fire("flush")

    assert (held, talk.client_saw()) == (b"", event(text="short"))


def test_a_stream_that_falls_silent_wakes_nobody():
    """A last word that may go on waits for more text, not for a timer: of thousands of idle streams none costs
    anything. What comes then is looked at at once, because the word has waited long enough."""
    place = Route("test", windowing=SMALL)
    talk = Conversation(WordPolicy({"FORBIDDEN": Action.REDACT}, place)).request(plain_request("hello"))
    talk.feed(response_headers("text/event-stream"))
    talk.feed(Body(RESPONSE, event(text="a word") + event(text=" FOR"), False))
    talk.fire("flush")
    talk.fire("flush")
    assert (event(text="a word"), []) == (talk.client_saw(), [timer for timer in talk.timers if timer == "flush"])

    effects = talk.feed(Body(RESPONSE, event(text=" all"), False))
    assert [Wake("flush", 0.0)] == effects
    talk.fire("flush")
    assert event(text="a word") + event(text=" FOR") + event(text=" all") == talk.client_saw()


def test_frames_without_text_wait_for_the_first_verdict_but_not_for_ever():
    """While nothing has left the status can still change; a heartbeat leaves once patience is at an end."""
    talk = Conversation(STREAMING).request(plain_request("hello"))
    talk.feed(response_headers("text/event-stream"))
    talk.feed(Body(RESPONSE, event(ping=1), False))
    talk.fire("flush")
    early = talk.client_saw()
    talk.now += 2.0
    talk.fire("flush")

    assert early == b""
    assert talk.client_saw() == event(ping=1)


def test_redaction_runs_across_events():
    """A word cut by frames is replaced; frames and other words stay."""
    policy = WordPolicy({"SECRET": Action.REDACT}, Route("test", windowing=SMALL))
    texts = ["my plan is a SE", "CR", "ET and nothing else at all"]
    talk = Conversation(policy).request(plain_request("hello")).stream(plain_stream(*texts), 5)

    assert talk.client_saw() == plain_stream("my plan is a [REDACTED:SECRET]", "", " and nothing else at all")
    assert (talk.record.outcome, talk.record.response.redactions) == ("redact", {"secret": 1})


def test_an_edited_request_loses_its_encoding():
    """What was compressed goes on as plain JSON, and the header says so."""
    policy = WordPolicy({"SECRET": Action.REDACT})
    talk = Conversation(policy).request(plain_request("SECRET")[::-1], content_encoding="reversed")

    assert b"[REDACTED:SECRET]" in talk.upstream_saw()
    assert "content-encoding" in talk.seen[REQUEST].headers.remove


def test_an_encoded_request_without_edits_keeps_its_bytes():
    """It was read, and goes on exactly as it came."""
    body = plain_request("hello")[::-1]
    talk = Conversation(POLICY).request(body, content_encoding="reversed")

    assert talk.upstream_saw() == body


def test_steering_adds_an_instruction():
    """The request carries the system instruction that policy wrote."""
    talk = Conversation(WordPolicy({"ODD": Action.STEER})).request(plain_request("ODD"))

    assert b"Be kind." in talk.upstream_saw()


def test_rerouting_chooses_the_route_anew():
    """The header is set before the route is."""
    talk = Conversation(WordPolicy({"ODD": Action.REROUTE})).request(plain_request("ODD"))

    assert talk.seen[REQUEST].headers.clear_route_cache
    assert ("x-tier", "safe") in talk.seen[REQUEST].headers.set


def test_rerouting_waits_for_a_buffered_body():
    """Where headers are answered before the body, the route is chosen anew with the body's answer."""
    talk = Conversation(WordPolicy({"ODD": Action.REROUTE}), mode=BodyMode.BUFFERED).request(plain_request("ODD"))
    [answer] = [effect for effect in talk.log if isinstance(effect, AnswerBody)]

    assert answer.clear_route_cache
    assert ("x-tier", "safe") in answer.set
    assert not talk.seen[REQUEST].headers.clear_route_cache


def test_client_headers_cannot_forge_ours():
    """x-safeguards-* from outside is removed in both directions."""
    talk = Conversation(POLICY).request(plain_request("hello"), x_safeguards_outcome="allow")
    talk.response(b'{"text": "hi"}', x_safeguards_id="forged")

    assert talk.seen[REQUEST].headers.remove == ["x-safeguards-outcome"]
    assert talk.seen[RESPONSE].headers.remove == ["x-safeguards-id"]


TRACE = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (f"00-{TRACE}-0123456789abcdef-01", TRACE),
        (f"01-{TRACE}-0123456789abcdef-01-later", TRACE),
        (f"00-{TRACE.upper()}-0123456789abcdef-01", ""),
        (f"00-{'0' * 32}-0123456789abcdef-01", ""),
        ("00-my password is written in here, too", ""),
        ("", ""),
    ],
)
def test_a_record_has_the_trace_and_nothing_else_that_is_written_there(sent, kept):
    """The header is the client's; only what a tracer would read of it is recorded."""
    it = Conversation(WordPolicy()).request(plain_request("x"), traceparent=sent).abort()
    assert kept == it.record.trace_id


@pytest.mark.parametrize(("method", "kept"), [("PUT", "PUT"), ("my secret", "other"), ("get", "other")])
def test_a_record_has_a_method_or_says_other(method, kept):
    """A client may write any token there."""
    it = Conversation(WordPolicy())
    head = request_headers(end=True)
    head.fields[":method"] = method
    it.feed(head)
    it.abort()
    assert kept == it.record.method


@pytest.mark.parametrize("gate", list(Gate))
def test_each_gate_ends_in_the_same_verdict(gate):
    """The gate decides when bytes go, not what is decided."""
    talk = Conversation(WordPolicy(place=Route("test", gate=gate))).request(plain_request("FORBIDDEN"))
    if gate is Gate.OBSERVE:
        talk.response(b'{"text": "hi"}')

    assert talk.record.request.decided == "block"
    assert (talk.refused is None) == (gate is Gate.OBSERVE)


def test_overlap_withholds_the_answer_until_the_verdict():
    """The request is on its way at once; the response waits for the scores."""
    policy = WordPolicy(place=Route("test", gate=Gate.OVERLAP), models=[SCREEN])
    talk = Conversation(policy).request(plain_request("hello"))
    ask = talk.out[0].ticket
    talk.response(b'{"text": "hi"}')
    held = talk.seen[RESPONSE].headers
    talk.model = lambda text: {"screen.bad": 0.1}
    talk.answer(ask)

    assert talk.upstream_saw() == plain_request("hello")
    assert held is None
    assert talk.client_saw() == b'{"text": "hi"}'


def test_overlap_refuses_when_the_verdict_comes():
    """The model was asked, but the client never sees its answer."""
    policy = WordPolicy(place=Route("test", gate=Gate.OVERLAP), models=[SCREEN])
    talk = Conversation(policy).request(plain_request("hello"))
    talk.feed(response_headers())
    talk.model = lambda text: {"screen.bad": 0.9}
    talk.answer(talk.out[0].ticket)

    assert talk.refused is not None
    assert talk.record.request.account.released_unscanned


def test_observing_never_waits():
    """The end of an observed answer goes on at once; its record comes with the scores."""
    policy = WordPolicy(place=Route("test", gate=Gate.OBSERVE, release=Release.OBSERVE), models=[SCREEN])
    talk = Conversation(policy).request(plain_request("hello")).stream(plain_stream("a", "b"))
    ended, records = talk.seen[RESPONSE].ended, list(talk.records)
    talk.model = lambda text: {"screen.bad": 0.9}
    talk.answer(talk.out[0].ticket)

    assert (ended, records) == (1, [])
    assert (talk.record.outcome, talk.record.response.decided, talk.record.response.cause) == (
        "allow",
        "block",
        "observe",
    )


def test_following_stops_after_the_fact():
    """Bytes leave first; the verdict ends the stream."""
    policy = WordPolicy(place=Route("test", release=Release.FOLLOW), models=[SCREEN])
    talk = Conversation(policy)
    talk.model = lambda text: {"screen.bad": 0.1}
    talk.request(plain_request("hello"))
    talk.model = None
    talk.feed(response_headers("text/event-stream"))
    talk.feed(Body(RESPONSE, event(text="x" * 500), False))
    talk.model = lambda text: {"screen.bad": 0.9}
    talk.answer(talk.out[0].ticket)

    assert talk.client_saw() == event(text="x" * 500) + SORRY
    assert talk.record.response.account.released_unscanned


def test_a_failed_model_is_a_value():
    """What a failure means is policy; the record says that the check failed."""
    for action, refused in ((Action.BLOCK, True), (Action.ALLOW, False)):
        policy = WordPolicy(models=[SCREEN], on_failure=action)
        talk = Conversation(policy).request(plain_request("hello"))
        talk.answer(talk.out[0].ticket, [Result("screen", failure="timeout")])
        talk.abort()

        assert (talk.refused is not None) == refused
        assert talk.record.request.failed == {"screen": "timeout"}
        assert talk.record.request.account.coverage == "none"


def test_scores_out_of_order_are_applied_in_order():
    """A late first window holds back what follows it."""
    policy = WordPolicy(place=Route("test", windowing=SMALL), models=[SCREEN])
    talk = Conversation(policy)
    talk.model = lambda text: {"screen.bad": 0.0}
    talk.request(plain_request("hello"))
    talk.model = None
    texts = ["first window text ", "second window of text here and more "]
    talk.feed(response_headers("text/event-stream"))
    talk.feed(Body(RESPONSE, b"".join(event(text=text) for text in texts), False))
    first, second = (asked.ticket for asked in talk.out[:2])
    talk.model = lambda text: {"screen.bad": 0.0}
    talk_out = talk.out.pop(0)
    talk.answer(second)
    held = talk.client_saw()
    talk.out.insert(0, talk_out)
    talk.answer(first)

    assert held == b""
    assert talk.client_saw().startswith(event(text=texts[0]))


def test_a_body_without_an_end_is_refused_in_time():
    """A trickling client does not hold us for ever."""
    talk = Conversation(POLICY)
    talk.feed(request_headers())
    talk.feed(Body(REQUEST, b"{", False))
    talk.fire("request-body")

    assert talk.refused.status == 408
    assert (talk.record.request.applied, talk.record.request.cause) == ("timeout", "limit")


def test_a_body_over_the_limit_is_refused():
    """413 in the dialect, as soon as it is known."""
    route = Route("test", limits=replace(Route("x").limits, request_bytes=10))
    talk = Conversation(WordPolicy(place=route))
    talk.feed(request_headers())
    talk.feed(Body(REQUEST, b"x" * 11, False))

    assert talk.refused.status == 413


def test_what_cannot_be_read_is_policys_to_decide():
    """Malformed, encoded in an unknown way, or opaque: refused or passed on whole, and recorded."""
    for action in (Action.BLOCK, Action.ALLOW):
        for path, body, headers in [
            ("/v1", b"not json", {}),
            ("/v1", b"{}", {"content_encoding": "zip"}),
            ("/opaque", b"anything", {}),
        ]:
            policy = WordPolicy(on_uninspectable=action)
            talk = Conversation(policy).request(body, 2, path=path, **headers).abort()

            assert (talk.refused is not None) == (action is Action.BLOCK)
            assert talk.upstream_saw() == (b"" if action is Action.BLOCK else body)
            assert talk.record.request.account.coverage == "none"


def test_a_request_without_a_body_passes():
    """A GET has nothing to read."""
    talk = Conversation(POLICY)
    talk.feed(request_headers(end=True))

    assert talk.seen[REQUEST].headers is not None


def test_trailers_end_both_directions():
    """Where trailers come, they are answered and the body has no end flag."""
    talk = Conversation(POLICY)
    talk.feed(request_headers())
    talk.send(REQUEST, [plain_request("hello")], end=False).trailers(REQUEST)
    talk.feed(response_headers("text/event-stream"))
    talk.send(RESPONSE, [plain_stream("hi")], end=False).trailers(RESPONSE)

    assert talk.upstream_saw() == plain_request("hello")
    assert talk.client_saw() == plain_stream("hi")
    assert talk.exchange.finished


@pytest.mark.parametrize("mode", [BodyMode.BUFFERED, BodyMode.STREAMED])
def test_paired_modes_answer_every_message(mode):
    """Each chunk has one answer, and the bytes are the same."""
    talk = Conversation(POLICY, mode=mode).request(plain_request("hello"), 4).stream(plain_stream("a b c", "d"), 7)

    assert (talk.upstream_saw(), talk.client_saw()) == (plain_request("hello"), plain_stream("a b c", "d"))
    assert (talk.owed(REQUEST), talk.owed(RESPONSE)) == (0, 0)


def test_a_streamed_response_is_stopped_and_swallowed():
    """In paired mode the upstream runs to its end; the client has the ending only."""
    talk = Conversation(STREAMING, mode=BodyMode.DUPLEX, response_mode=BodyMode.STREAMED)
    talk.request(plain_request("hello")).stream(plain_stream("FORBIDDEN " * 5, "and more"), 20)

    assert talk.client_saw() == SORRY
    assert talk.owed(RESPONSE) == 0


def test_a_buffered_response_is_refused_cleanly():
    """Envoy still has the headers: the status can change."""
    talk = (
        Conversation(POLICY, mode=BodyMode.BUFFERED).request(plain_request("hello")).response(b'{"text":"FORBIDDEN"}')
    )

    assert talk.refused.status == 400


def test_observability_mode_is_silent():
    """Nothing is said, everything is recorded."""
    talk = Conversation(POLICY, silent=True).request(plain_request("FORBIDDEN")).response(b'{"text": "hi"}')

    assert not [one for one in talk.log if isinstance(one, SendHeaders | SendBody | Refuse)]
    assert talk.record.request.decided == "block"


def test_an_aborted_exchange_leaves_one_record():
    """Wherever it ends, and however often we are told."""
    for events in range(6):
        talk = Conversation(POLICY)
        script = [
            request_headers(),
            Body(REQUEST, plain_request("hello"), True),
            response_headers("text/event-stream"),
            Body(RESPONSE, event(text="x"), False),
            Body(RESPONSE, DONE, True),
        ]
        for step in script[:events]:
            talk.feed(step)
        talk.feed(Aborted("closed"))
        talk.feed(Aborted("closed"))

        assert talk.record.termination == ("complete" if events == 5 else "closed")


@pytest.mark.parametrize(("said", "applied"), [("my plan is a SECRET", "redact"), ("a walk in the garden", "allow")])
def test_who_hangs_up_at_the_last_event_has_had_his_answer(said: str, applied: str):
    """SDKs do not wait for the end of the transfer: what was done to what went on is in the record all the same."""
    talk = Conversation(WordPolicy({"SECRET": Action.REDACT})).request(plain_request("hello"))
    talk.feed(response_headers("text/event-stream"))
    talk.feed(Body(RESPONSE, plain_stream(said), False))
    assert DONE in talk.client_saw()
    talk.feed(Aborted("closed"))

    record = talk.record
    assert (record.termination, record.outcome, record.response.applied) == ("closed", applied, applied)
    assert record.rule == ("SECRET" if applied == "redact" else "")


def test_who_hangs_up_before_anything_went_on_has_had_nothing():
    """No verdict is claimed for an answer of which nothing left."""
    talk = Conversation(WordPolicy({"SECRET": Action.REDACT})).request(plain_request("hello"))
    talk.feed(response_headers("text/event-stream"))
    talk.feed(Body(RESPONSE, event(text="x"), False))
    talk.feed(Aborted("closed"))

    assert (talk.record.response.applied, talk.record.outcome) == ("pass", "allow")


def test_late_messages_change_nothing():
    """Envoy repeats the end of large bodies; scores come after a refusal."""
    talk = Conversation(POLICY).request(plain_request("hello"))
    talk.feed(Body(REQUEST, b"again", True))
    talk.feed(Trailers(REQUEST))

    assert talk.upstream_saw() == plain_request("hello")


def test_shadow_decides_and_lets_pass():
    """The record has the whole decision; only the last step is softened."""
    talk = Conversation(WordPolicy(shadow=True)).request(plain_request("FORBIDDEN")).response(b'{"text": "hi"}')

    assert talk.client_saw() == b'{"text": "hi"}'
    assert (talk.record.request.decided, talk.record.request.applied, talk.record.request.cause) == (
        "block",
        "allow",
        "shadow",
    )


def test_models_are_asked_once_per_window():
    """A model that is due is asked; its answer is in the record."""
    talk = Conversation(WordPolicy(models=[SCREEN]), model=lambda text: {"screen.bad": 0.2})
    talk.request(plain_request("hello")).response(b'{"text": "hi"}')

    assert len([one for one in talk.log if isinstance(one, Classify)]) == 2
    assert talk.record.request.scores["user"]["screen.bad"] == 0.2
    assert talk.record.versions == {"screen": "1"}


def test_a_long_text_leaves_turns_to_others():
    """One event costs a bounded number of windows; the rest follows by itself, with no score to wait for."""
    place = Route("test", windowing=Windowing(first=8, largest=8, overlap=4))
    exchange = Exchange(WordPolicy(place=place), PLAIN_WIRE, "one", Opened(BodyMode.DUPLEX, BodyMode.DUPLEX), 1.0)
    exchange.feed(request_headers())
    effects, turns = exchange.feed(Body(REQUEST, plain_request("words of a " * 100), True)), 0
    while [Wake(TURN, 0.0)] == effects:
        effects, turns = exchange.feed(Woke(TURN)), turns + 1

    assert [SendHeaders, SendBody] == [type(effect) for effect in effects]
    assert turns > 5


def long_request(exchange):
    exchange.feed(request_headers())
    return exchange.feed(Body(REQUEST, plain_request("x" * LARGE), True))


def long_answer(exchange):
    for message in (request_headers(), Body(REQUEST, plain_request("hi"), True), response_headers()):
        exchange.feed(message)
    return exchange.feed(Body(RESPONSE, b'{"text": "%s"}' % (b"x" * LARGE), True))


@pytest.mark.parametrize("long", [long_request, long_answer])
def test_a_long_body_is_read_in_a_turn_of_its_own(long):
    """Many may end in what one connection brings at once: each is only taken in then, and nothing of it goes on."""
    exchange = Exchange(WordPolicy(), PLAIN_WIRE, "one", Opened(BodyMode.DUPLEX, BodyMode.DUPLEX), 1.0)

    assert [Wake(TURN, 0.0)] == long(exchange)
    assert exchange.waiting
    effects = exchange.feed(Woke(TURN))
    while Wake(TURN, 0.0) in effects:
        effects = exchange.feed(Woke(TURN))
    assert any(isinstance(effect, SendBody) and effect.end for effect in effects)


def test_a_long_body_whose_turn_never_came_has_its_record():
    """Envoy went away before."""
    exchange = Exchange(WordPolicy(), PLAIN_WIRE, "one", Opened(BodyMode.DUPLEX, BodyMode.DUPLEX), 1.0)
    long_request(exchange)

    (kept,) = exchange.feed(Aborted("closed"))
    assert isinstance(kept, Keep)
    assert [] == exchange.feed(Woke(TURN))


@pytest.mark.parametrize("where", range(0, 200, 20))
def test_every_window_of_a_text_is_redacted_not_its_last_alone(where):
    """What is held until all of it is judged, a request or a tool call, keeps the marks of every window."""
    policy = WordPolicy({"SECRET": Action.REDACT}, Route("test", windowing=SMALL))
    text = ("words and " * 40)[:where] + "SECRET" + ("words and " * 40)[where:]
    talk = Conversation(policy).request(plain_request(text))
    talk.stream(event(call=text) + event(end=True) + DONE)

    clean = text.replace("SECRET", "[REDACTED:SECRET]")
    assert talk.upstream_saw() == plain_request(clean)
    assert event(call=clean) in talk.client_saw()


@pytest.mark.parametrize("name", ["request.path", "request.url_path"])
def test_envoys_own_word_on_the_path_names_the_format(name):
    """Where `:path` says nothing; the body need not be waited for to know."""
    talk = Conversation(POLICY, attributes={name: "/v1/chat/completions"})
    talk.request(plain_request("FORBIDDEN"), path="/opaque/rewritten")

    assert (talk.refused is not None, talk.record.format) == (True, "plain")
    assert "recognised" not in talk.record.request.features


def test_envoys_route_is_a_feature():
    """Rules may ask for it in both directions; without the attribute there is none."""
    talk = Conversation(POLICY, attributes={"xds.route_name": "chat"})
    talk.request(plain_request("hello")).response(plain_request("hi"))
    silent = Conversation(POLICY).request(plain_request("hello")).response(plain_request("hi"))

    assert ["chat"] * 2 == [phase.features["envoy_route"] for phase in (talk.record.request, talk.record.response)]
    assert "envoy_route" not in silent.record.request.features

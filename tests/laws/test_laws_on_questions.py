"""The laws where a model reads the request's question beside the answer; after each law, a fault that it catches."""

from __future__ import annotations

import json
from dataclasses import replace
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc import wire
from safeguards_extproc.core import aside as aside_module
from safeguards_extproc.core.decision import Action, Escalation, Gate, Model, Placeholder, Result, Route
from safeguards_extproc.core.effects import Classify
from safeguards_extproc.core.events import Body
from safeguards_extproc.core.pour import Pour
from safeguards_extproc.core.question import HEAD, TAIL, Question
from safeguards_extproc.core.scan import Scan
from safeguards_extproc.core.text import Document
from safeguards_extproc.policy import load
from tests.laws.test_laws import WINDOWS, answers, decision, must_bite, quick, sizes, streamed, texts
from tests.playbook import REQUEST, RESPONSE, Conversation, chunks, request_headers, response_headers
from tests.world import DONE, WordPolicy, above, event, plain_request

pytestmark = pytest.mark.long

PAIR = Model("pair", "pair", 100, request=False, exchange=True)
SCREEN = Model("screen", "screen", 100)
GUARD = Model("guard", "guard", 100, request=False, exchange=True, escalation=Escalation(frozenset({"screen"})))
WORDS = {"SECRET": Action.REDACT, "ODD": Action.ANNOTATE}
POLICY = WordPolicy(WORDS, Route("test", windowing=WINDOWS), models=[SCREEN, PAIR])


def questions(talk: Conversation, model: str = "pair") -> list[str]:
    """The prompts of all questions to a model."""
    asked = [effect for effect in talk.log if isinstance(effect, Classify)]
    return [effect.prompt for effect in asked if model in {each.detector for each in effect.models}]


class Judged(Conversation):
    """Answers everything at once; "pair" thinks badly of yes to a question that says ODD."""

    def __init__(self, policy: WordPolicy) -> None:
        super().__init__(policy)

    def answer_all(self) -> None:
        while self.out:
            asked = self.out[0]
            bad = float("ODD" in asked.prompt and "x" in asked.texts[0])
            self.answer(
                asked.ticket,
                [Result(m.detector, {f"{m.detector}.bad": bad if m.exchange else 0.4}) for m in asked.models],
            )

    def play(self, ask: str, answer: str, size: int, *, stream: bool = True) -> Judged:
        self.feed(request_headers())
        for number, piece in enumerate(pieces := chunks(plain_request(ask), size)):
            self.feed(Body(REQUEST, piece, number == len(pieces) - 1))
            self.answer_all()
        body = streamed(answer, 3) if stream else json.dumps({"text": answer}).encode()
        self.feed(response_headers("text/event-stream" if stream else "application/json"))
        for number, piece in enumerate(pieces := chunks(body, size)):
            if not (self.refused or self.seen[RESPONSE].ended):
                self.feed(Body(RESPONSE, piece, number == len(pieces) - 1))
                self.answer_all()
        return self


asks = texts.map(lambda text: text.replace("FORBIDDEN", "nothing"))


def law_same() -> None:
    @settings(quick, max_examples=50)
    @given(asks, answers, sizes, sizes, st.booleans(), st.sampled_from([Gate.HOLD, Gate.OVERLAP, Gate.OBSERVE]))
    def law(ask: str, answer: str, size: int, other: int, large: bool, gate: Gate) -> None:
        policy = replace(POLICY, words={"ODD": Action.ANNOTATE}, place=replace(POLICY.place, gate=gate))
        first = Judged(policy).play(ask, answer, size)
        with patch.object(aside_module, "HEAVY", 0 if large else 1 << 18):
            second = Judged(policy).play(ask, answer, other)
        whole = Judged(policy).play(ask, answer, other, stream=False)
        assert set(questions(first)) == set(questions(second))
        assert (first.client_saw(), decision(first.record)) == (second.client_saw(), decision(second.record))
        for talk in (first, second, whole):
            assert set(questions(talk)) <= {ask}
        assert first.record.response.scores == whole.record.response.scores

    law()


def test_chunks_streams_and_large_bodies_change_no_question() -> None:
    """The model reads the same beside the same windows, and so the verdict is the same (laws 1 and 3)."""
    law_same()


@pytest.mark.interpreted
def test_a_question_that_is_heard_in_small_bodies_only_is_caught() -> None:
    """Planted fault: what is read elsewhere is not listened to."""
    begin = Pour.__init__

    def deaf(
        pour: Pour, scan: Scan, document: Document, most: int, *, keeps: bool, hears: Question | None = None
    ) -> None:
        begin(pour, scan, document, most, keeps=keeps, hears=hears if keeps else None)

    must_bite(law_same, patch.object(Pour, "__init__", deaf))


def law_redacted() -> None:
    @quick
    @given(asks, st.sampled_from(list(Placeholder)), st.booleans())
    def law(ask: str, style: Placeholder, large: bool) -> None:
        policy = replace(POLICY, placeholder=style)
        with patch.object(aside_module, "HEAVY", 0 if large else 1 << 18):
            talk = Judged(policy).play(ask, "some words", 0)
        assert set(questions(talk)) == {ask.replace("SECRET", "[REDACTED:SECRET]")}
        assert "SECRET" not in json.loads(talk.upstream_saw())["text"].replace("REDACTED:SECRET", "").replace(
            "<SECRET", ""
        )

    law()


def test_a_model_of_the_answer_sees_no_text_that_was_redacted() -> None:
    """Whatever stands for it in what the upstream gets, and however large the body."""
    law_redacted()


@pytest.mark.interpreted
def test_a_question_as_it_was_asked_is_caught() -> None:
    """Planted fault: nobody redacts the question."""
    must_bite(law_redacted, patch.object(Question, "redact", lambda *_: None))


def test_requests_are_not_put_before_a_model_of_exchanges() -> None:
    """And a model of texts is told no question."""
    talk = Judged(POLICY).play("hello", "some words", 0)
    asked = [
        (effect.direction, " ".join(model.detector for model in effect.models), effect.prompt)
        for effect in talk.log
        if isinstance(effect, Classify)
    ]
    assert [(REQUEST, "screen", ""), (RESPONSE, "screen pair", "hello")] == list(dict.fromkeys(asked))


def test_without_such_a_model_no_question_is_kept() -> None:
    """What nobody reads is not remembered."""
    assert Conversation(WordPolicy(models=[SCREEN])).exchange._ctx.question is None
    assert Conversation(POLICY).exchange._ctx.question is not None


@pytest.mark.parametrize("gate", [Gate.OVERLAP, Gate.OBSERVE])
def test_an_answer_waits_until_the_request_has_been_read(gate: Gate) -> None:
    """A large body is read elsewhere; meanwhile no window of the answer is put before any model, and nobody spins."""
    policy = replace(POLICY, words={}, place=replace(POLICY.place, gate=gate))
    talk = Conversation(policy, aside=False)
    with patch.object(aside_module, "HEAVY", 0):
        talk.feed(request_headers())
        talk.feed(Body(REQUEST, plain_request("what is it?"), True))
    talk.feed(response_headers("text/event-stream"))
    talk.feed(Body(RESPONSE, event(text="some words and more of them"), False))
    assert ([], []) == (talk.out, [timer for timer in talk.timers if timer == "turn"])

    talk.offloaded()
    assert {(REQUEST, ""), (RESPONSE, "what is it?")} == {(one.direction, one.prompt) for one in talk.out}


def test_an_answer_before_the_request_has_ended_has_no_question() -> None:
    """Nothing is known of it then, and nobody waits."""
    talk = Conversation(replace(POLICY, words={}, place=replace(POLICY.place, gate=Gate.OBSERVE)))
    talk.feed(request_headers())
    talk.feed(Body(REQUEST, b'{"te', False))
    talk.feed(response_headers("text/event-stream"))
    talk.feed(Body(RESPONSE, event(text="some words and more") + DONE, True))
    assert [""] == list(dict.fromkeys(one.prompt for one in talk.out))
    assert talk.out


def test_a_request_that_cannot_be_read_has_no_question() -> None:
    """The answer is judged all the same."""
    policy = replace(POLICY, on_uninspectable=Action.ALLOW)
    talk = Judged(policy)
    talk.feed(request_headers())
    talk.feed(Body(REQUEST, b"{", True))
    talk.feed(response_headers("text/event-stream"))
    talk.feed(Body(RESPONSE, streamed("some words", 0), True))
    assert {""} == {one.prompt for one in talk.out}


def test_a_model_of_exchanges_may_have_a_condition() -> None:
    """It then reads the question beside the windows of which the condition holds."""
    policy = replace(POLICY, models=[SCREEN, GUARD], whens={"guard": above("screen.bad", 0.3)})
    talk = Judged(policy).play("hello", "some words", 0)
    assert ["hello"] == list(dict.fromkeys(questions(talk, "guard")))
    assert [""] == list(dict.fromkeys(questions(talk, "screen")))


def test_a_long_history_is_not_told() -> None:
    """The last turn's beginning and end are, of a real request."""
    policy = load.parse(
        """
version: 1
name: pairs
detectors:
  pair: {kind: classification, model: pair, labels: [bad], reads: exchange, in: [content]}
""",
        "pairs.yaml",
    )
    roles = ("user", "assistant")
    turns = [{"role": role, "content": f"{role} {number} " * 400} for number in range(9) for role in roles]
    talk = Conversation(policy, wire=wire)
    talk.request(json.dumps({"model": "m", "messages": [*turns, {"role": "user", "content": "q" * 9000}]}).encode())
    assert [] == talk.out
    talk.response(json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}}]}).encode())
    assert ["q" * HEAD + " … " + "q" * TAIL] == [one.prompt for one in talk.out]

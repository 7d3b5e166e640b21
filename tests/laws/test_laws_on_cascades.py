"""The laws where models are asked only under a condition; after each law, a fault that it catches.

A cascade changes what is asked, never what is decided: not by the order of answers, nor by chunks, nor by a stream.
"""

from __future__ import annotations

import contextlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from random import Random
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeguards_extproc.core import cascade as cascade_module
from safeguards_extproc.core import scan as scan_module
from safeguards_extproc.core.cascade import Rounds
from safeguards_extproc.core.decision import Action, Escalation, Model, Result, Route, Value
from safeguards_extproc.core.effects import Classify
from safeguards_extproc.core.events import Body
from safeguards_extproc.core.record import Record
from safeguards_extproc.core.text import Direction
from safeguards_extproc.policy import load
from safeguards_extproc.policy.compile import CompiledPolicy
from tests.laws.test_laws import WINDOWS, WORDS, answers, asks, decision, must_bite, quick, said, sizes, streamed, texts
from tests.playbook import RESPONSE, Conversation, chunks, response_headers
from tests.world import CASCADE, Condition, WordPolicy, above, plain_request

pytestmark = pytest.mark.long

NAMES = ("screen", "guard", "judge", "aside")
LEVELS = st.sampled_from([0.0, 0.3, 0.6, 1.1])


@st.composite
def policies(draw: st.DrawFn, *, apart: bool = True) -> WordPolicy:
    """Any cascade of four models: each but the first may wait for one before it, or for a word, and with `apart` read
    sentences."""
    models, whens = [Model("screen", "screen", 100)], dict[str, Condition]()
    for at, name in enumerate(NAMES[1:], 1):
        reads = draw(st.sampled_from(["", *NAMES[:at], "words"]))
        own = (f"{name}.bad",)
        sentences = own if apart and draw(st.booleans()) else ()
        if not reads:
            models.append(Model(name, name, 100, sentences=sentences))
            continue
        score = "words.odd" if reads == "words" else f"{reads}.bad"
        models.append(Model(name, name, 100, escalation=Escalation(frozenset({reads}), own), sentences=sentences))
        whens[name] = above(score, draw(LEVELS))
    order = draw(st.permutations(models))
    failure = draw(st.sampled_from([Action.BLOCK, Action.ANNOTATE]))
    return WordPolicy(WORDS, Route("test", windowing=WINDOWS), models=order, whens=whens, on_failure=failure)


ANY = policies()


def result(detector: str, text: str) -> Result:
    """What a model says of a text depends on the text alone, and that it fails does, too."""
    drawn = zlib.crc32(f"{detector} {text}".encode())
    if drawn % 11 == 0:
        return Result(detector, failure="timeout")
    return Result(detector, {f"{detector}.bad": (drawn // 11 % 10) / 20}, version="1")


class Played(Conversation):
    """Models answer when chance will, in any order; at once where there is none."""

    def __init__(self, policy: WordPolicy | CompiledPolicy, random: Random | None = None) -> None:
        super().__init__(policy)
        self.random = random
        self.asked: list[str] = []

    def play(self, ask: str, answer: str, size: int, events: int = 3) -> Played:
        self.request(plain_request(ask), size)
        self.answers()
        if not self.refused:
            self.feed(response_headers("text/event-stream"))
            pieces = chunks(streamed(answer, events), size)
            for number, piece in enumerate(pieces):
                if not (self.refused or self.seen[RESPONSE].ended):
                    self.feed(Body(RESPONSE, piece, number == len(pieces) - 1))
                    self.answers(0.5 if self.random else 1.0)
            self.answers()
        return self

    def answers(self, likely: float = 1.0) -> None:
        while self.out and (self.random is None or self.random.random() < likely):
            asked = self.random.choice(self.out) if self.random else self.out[0]
            self.asked += [model.detector for model in asked.models]
            self.answer(asked.ticket, [result(model.detector, asked.texts[0]) for model in asked.models])


def counts(record: Record) -> object:
    """How often each model was asked, and what failed."""
    phases = (record.request, record.response)
    return [(phase.account.checks, phase.failed, phase.account.coverage) for phase in phases]


# 1. Neither chunks nor the order of answers matter.


def law_1_order(cascades: st.SearchStrategy[WordPolicy] = ANY) -> None:
    @quick
    @given(cascades, asks, answers, sizes, sizes, st.randoms(use_true_random=False))
    def law(policy: WordPolicy, ask: str, answer: str, size: int, other: int, random: Random) -> None:
        first, second = Played(policy).play(ask, answer, size), Played(policy, random).play(ask, answer, other)
        assert first.upstream_saw() == second.upstream_saw()
        assert first.client_saw() == second.client_saw()
        assert decision(first.record) == decision(second.record)
        if not (first.refused or first.record.termination == "stopped"):
            assert counts(first.record) == counts(second.record)

    law()


def test_law_1_neither_chunks_nor_the_order_of_answers_matter() -> None:
    """The same bytes, the same decision, and the same models asked."""
    law_1_order()


@pytest.mark.interpreted
def test_law_1_catches_a_condition_on_what_has_come_in_by_chance() -> None:
    """Planted fault: a model waits for any answer, and not for the one that its condition reads."""
    law = partial(law_1_order, policies(apart=False))  # which leave the fault more to do
    must_bite(law, patch.object(Rounds, "_ready", lambda self, model: bool(self._said or not model.escalation)))


# 2. Nothing leaves before the last model that is due; the record has every window of every model.


def law_2_watermark() -> None:
    @quick
    @given(policies(), answers, sizes, st.randoms(use_true_random=False))
    def law(policy: WordPolicy, answer: str, size: int, random: Random) -> None:
        talk = Conversation(replace(policy, words={}, on_failure=Action.ALLOW))
        talk.request(plain_request(""))
        talk.feed(response_headers("text/event-stream"))
        body = streamed(answer, 3)
        for number, piece in enumerate(pieces := chunks(body, size)):
            talk.feed(Body(RESPONSE, piece, number == len(pieces) - 1))
        while talk.out:
            asked = random.choice(talk.out)
            talk.answer(asked.ticket, [Result(m.detector, {f"{m.detector}.bad": 0.4}) for m in asked.models])
            left = said(bytes(talk.seen[RESPONSE].body))
            assert answer.startswith(left)
            for text in {one.texts[0] for one in talk.out}:
                if answer.find(text) == answer.rfind(text):
                    assert len(left) < answer.index(text) + len(text)
        assert answer == said(bytes(talk.seen[RESPONSE].body))

    law()


def test_law_2_nothing_leaves_before_its_last_model() -> None:
    """In any order of answers, a text about which a model is still asked has not left."""
    law_2_watermark()


@pytest.mark.interpreted
def test_law_2_catches_a_window_that_waits_for_its_first_model_only() -> None:
    """Planted fault: the first answer is the window's verdict."""
    scored = scan_module.Scan.scored

    def hasty(scan: scan_module.Scan, ticket: int, results: list[Result]) -> None:
        pending = scan._out_now.get(ticket)
        scored(scan, ticket, results)
        if pending is not None and pending.results is None:
            pending.results = results

    must_bite(law_2_watermark, patch.object(scan_module.Scan, "scored", hasty))


def law_2_account() -> None:
    @quick
    @given(policies(), texts.filter(bool), st.integers(0, 12), st.randoms(use_true_random=False))
    def law(policy: WordPolicy, ask: str, answered: int, random: Random) -> None:
        talk = Played(replace(policy, words={}, local=()))
        talk.request(plain_request(ask))
        answers_left = answered
        while talk.out and answers_left:
            answers_left -= 1
            asked = random.choice(talk.out)
            talk.asked += [model.detector for model in asked.models]
            talk.answer(asked.ticket, [result(model.detector, asked.texts[0]) for model in asked.models])
        whole = not talk.out
        talk.abort()
        account = talk.record.request.account
        with_text = {each.run + each.failed + each.skipped + each.not_due for each in account.checks.values()}
        assert with_text in ({account.windows}, {account.windows - 1})  # the last may say only that nothing follows
        for name, checks in account.checks.items():
            assert checks.run + checks.failed <= talk.asked.count(name)
            if whole:
                assert (checks.run + checks.failed, checks.skipped) == (talk.asked.count(name), 0)
        assert set(account.checks) == set(NAMES)

    law()


def test_law_2_every_window_of_every_model_is_accounted_for() -> None:
    """Run, failed, skipped or not due, wherever it is broken off; run and failed are those that were asked."""
    law_2_account()


@pytest.mark.interpreted
def test_law_2_catches_counting_what_was_not_due_as_run() -> None:
    """Planted fault: a model that was not asked has scores, so it ran."""

    def plain(detector: str, scores: Mapping[str, float], *, asked: bool) -> Result:
        return Result(detector, scores)

    must_bite(law_2_account, patch.object(cascade_module, "Result", plain))


# 3. Streamed or not.


def law_3_parity() -> None:
    @quick
    @given(policies(), answers, sizes, st.sampled_from([1, 5, 0]))
    def law(policy: WordPolicy, answer: str, size: int, events: int) -> None:
        stream = Played(policy).play("hello", answer, size, events)
        whole = Played(policy)
        whole.request(plain_request("hello"))
        whole.answers()
        if not whole.refused:
            whole.feed(response_headers())
            whole.send(RESPONSE, chunks(json.dumps({"text": answer}).encode(), size))
            whole.answers()
        first, second = stream.record.response, whole.record.response
        assert (first.decided, first.action, first.scores) == (second.decided, second.action, second.scores)

    law()


def test_law_3_streamed_or_not() -> None:
    """The same answer is put before the same models either way."""
    law_3_parity()


@pytest.mark.interpreted
def test_law_3_catches_a_stream_whose_second_round_is_left_out() -> None:
    """Planted fault: in a stream, nobody waits for a model with a condition."""
    due = Rounds.due

    def cheap(rounds: Rounds) -> object:
        if "bytes" not in rounds._features and rounds._said:
            for model in [each for each in rounds._left if each.escalation]:
                rounds._left.remove(model)
                rounds._spare(model)
        return due(rounds)

    must_bite(law_3_parity, patch.object(Rounds, "due", cheap))


# 5. A failure before a condition is no way round the model behind it.


def law_5_failures() -> None:
    @quick
    @given(texts.filter(bool), st.sampled_from(["timeout", "unavailable", "budget"]))
    def law(ask: str, failure: str) -> None:
        talk = Conversation(WordPolicy({}, models=CASCADE[:2], on_failure=Action.ANNOTATE))
        talk.request(plain_request(ask))
        guarded = 0
        while talk.out:
            asked = talk.out[0]
            detector = asked.models[0].detector
            guarded += detector == "guard"
            failed = Result(detector, failure=failure)
            talk.answer(asked.ticket, [failed if detector == "screen" else Result(detector, {"guard.bad": 0.9})])
        talk.abort()
        phase = talk.record.request
        assert guarded == phase.account.windows
        assert ({"screen": failure}, "block") == (phase.failed, phase.decided)

    law()


def test_law_5_where_the_first_model_fails_the_next_is_asked() -> None:
    """About every window, and its verdict counts."""
    law_5_failures()


@pytest.mark.interpreted
def test_law_5_catches_unknown_taken_for_false() -> None:
    """Planted fault: a condition that cannot be told does not hold."""

    def careless(
        policy: WordPolicy,
        detector: str,
        direction: Direction,
        scores: Mapping[str, float],
        features: Mapping[str, Value],
    ) -> bool:
        return bool(policy.whens[detector](scores, features))

    must_bite(law_5_failures, patch.object(WordPolicy, "due", careless))


# A condition that always holds changes nothing; one that never does asks nobody.

RULES = """
rules:
  - {name: either, when: "max(scores.screen.bad, scores.guard.bad) >= 0.4", then: block}
  - {name: cleared, when: scores.screen.bad >= 0.2 && scores.guard.bad < 0.2, then: annotate, on_missing: fire}
"""


def compiled(when: str) -> CompiledPolicy:
    """A policy of two models and rules over both, in which the second has this condition."""
    return load.parse(
        f"""
version: 1
name: cascade
detectors:
  screen: {{kind: classification, model: screen, labels: [bad], on_failure: flag}}
  guard: {{kind: classification, model: guard, labels: [bad], on_failure: degrade{when and f", when: '{when}'"}}}
{RULES}
routes:
  - {{name: all, window: {{first: 6, largest: 24, overlap: 12}}}}
""",
        "cascade.yaml",
    )


ALWAYS, NEVER, PLAIN, SOME = compiled("true"), compiled("false"), compiled(""), compiled("scores.screen.bad >= 0.2")


def law_always() -> None:
    @quick
    @given(texts, texts, sizes)
    def law(ask: str, answer: str, size: int) -> None:
        first, second = (Played(policy).play(ask, answer, size) for policy in (PLAIN, ALWAYS))
        assert decision(first.record) == decision(second.record)
        assert counts(first.record) == counts(second.record)
        assert sorted(first.asked) == sorted(second.asked)
        assert (first.upstream_saw(), first.client_saw()) == (second.upstream_saw(), second.client_saw())

    law()


def test_when_true_is_as_without() -> None:
    """The same verdicts, records and bytes."""
    law_always()


@pytest.mark.interpreted
def test_a_condition_that_is_not_kept_is_caught() -> None:
    """Planted fault: a condition that holds is taken not to."""
    must_bite(law_always, patch.object(CompiledPolicy, "due", lambda *_: False))


def law_never() -> None:
    @quick
    @given(texts, texts, sizes)
    def law(ask: str, answer: str, size: int) -> None:
        talk = Played(NEVER).play(ask, answer, size)
        assert "guard" not in talk.asked
        for phase in (talk.record.request, talk.record.response):
            checks = phase.account.checks.get("guard")
            assert checks is None or (checks.run, checks.failed) == (0, 0)
            for scores in phase.scores.values():
                assert 0.0 == scores.get("guard.bad", 0.0)
            assert "missing" not in {fired.cause for fired in phase.fired if "screen" not in phase.failed}

    law()


def test_when_false_asks_nobody() -> None:
    """And what the model did not say is not missing."""
    law_never()


@pytest.mark.parametrize(
    "fault",
    [
        patch.object(CompiledPolicy, "due", lambda *_: True),
        patch.object(Rounds, "_spare", lambda rounds, model: rounds.take([Result(model.detector, asked=False)])),
    ],
    ids=["asked all the same", "no scores, so missing"],
)
@pytest.mark.interpreted
def test_a_model_that_is_asked_or_missed_is_caught(fault: contextlib.AbstractContextManager[object]) -> None:
    """Planted faults."""
    must_bite(law_never, fault)


def law_some() -> None:
    @quick
    @given(texts, texts, sizes)
    def law(ask: str, answer: str, size: int) -> None:
        talk = Played(SOME).play(ask, answer, size)
        screened: dict[str, Result] = {}
        for effect in talk.log:
            if isinstance(effect, Classify):
                text = effect.texts[0]
                screened[text] = result("screen", text)
                if "guard" in {model.detector for model in effect.models}:
                    assert screened[text].failure or screened[text].scores["screen.bad"] >= 0.2

    law()


def test_a_model_is_asked_only_where_its_condition_holds() -> None:
    """Or where the first has failed."""
    law_some()


@pytest.mark.interpreted
def test_a_condition_on_another_window_is_caught() -> None:
    """Planted fault: what was known of the text before counts for every window."""

    seen: dict[str, float] = {}
    take = Rounds.take

    def known(rounds: Rounds, results: list[Result]) -> None:
        take(rounds, results)
        for one in results:
            for name, score in one.scores.items():
                seen[name] = max(score, seen.get(name, 0.0))
        rounds._scores.update(seen)

    must_bite(law_some, patch.object(Rounds, "take", known))

"""A model with a condition waits for what its condition reads, and for nothing else."""

import itertools
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeguards_extproc.core.cascade import Rounds
from safeguards_extproc.core.decision import Action, Escalation, Model, Result, Windowing
from safeguards_extproc.core.effects import Cancel, Classify, Spare
from safeguards_extproc.core.scan import AT_ONCE, Scan
from safeguards_extproc.core.text import Direction, Kind, Segment
from tests.world import CASCADE, WordPolicy, above

CONTENT = (Kind.CONTENT, "0")
POLICY = WordPolicy({}, models=CASCADE)


def rounds(policy=POLICY, found=(), features=()):
    return Rounds(policy, Direction.RESPONSE, policy.models, dict(found), dict(features))


def names(groups):
    return [[model.detector for model in group] for group in groups]


def said(detector, score=0.0, failure=""):
    return Result(detector, {} if failure else {f"{detector}.bad": score}, failure)


def test_what_others_wait_for_is_asked_by_itself():
    """A slow model that nobody waits for holds up no condition."""
    assert [["screen"], ["aside"]] == names(rounds().due())


def test_a_model_is_asked_once_its_condition_holds():
    """Round after round, each by the answers before."""
    it = rounds()
    it.due()
    it.take([said("screen", 0.4)])
    assert [["guard"]] == names(it.due())
    it.take([said("guard", 0.9)])
    assert [["judge"]] == names(it.due())
    it.take([said("judge", 0.1)])
    assert it.results is None, "aside is still out"
    it.take([said("aside")])
    assert [0.4, 0.9, 0.1, 0.0] == [score for result in it.results for score in result.scores.values()]


def test_a_model_that_is_not_due_has_scores_of_nothing():
    """And a condition on those sees them: it is false, not unknown."""
    it = rounds()
    it.due()
    it.take([said("screen", 0.2)])
    assert [] == it.due()
    assert ["guard", "judge"] == [model.detector for model in it.spared]
    it.take([said("aside")])
    assert [
        ("screen", {"screen.bad": 0.2}, True),
        ("guard", {"guard.bad": 0.0}, False),
        ("judge", {"judge.bad": 0.0}, False),
        ("aside", {"aside.bad": 0.0}, True),
    ] == [(result.detector, dict(result.scores), result.asked) for result in it.results]


def test_a_reader_of_sentences_is_spared_where_there_are_none():
    """At once, and what waits for it sees scores of nothing. Where there are some, it is asked as others are."""
    skim = Model("skim", "screen", 100, sentences=("skim.bad",))
    late = Model(
        "late", "guard", 100, escalation=Escalation(frozenset({"skim"}), ("late.bad",)), sentences=("late.bad",)
    )
    policy = WordPolicy({}, models=[skim, late], whens={"late": above("skim.bad", 0.3)})
    none = Rounds(policy, Direction.REQUEST, policy.models, {}, {}, sentences=False)
    assert [] == none.due()
    assert [("skim.bad", 0.0), ("late.bad", 0.0)] == [each for result in none.results for each in result.scores.items()]
    some = Rounds(policy, Direction.REQUEST, policy.models, {}, {}, sentences=True)
    assert [["skim"]] == names(some.due())
    some.take([said("skim", 0.9)])
    assert [["late"]] == names(some.due())


EITHER = {
    "guard": above("screen.bad", 0.3),
    "judge": lambda scores, features: (
        True
        if scores.get("screen.bad", 0.0) >= 0.6 or scores.get("guard.bad", 0.0) >= 0.5
        else False
        if {"screen.bad", "guard.bad"} <= scores.keys()
        else None
    ),
}
"""The judge looks where the screen is sure, or the guard finds something."""


def either(early, whens=EITHER):
    """Rounds in which the judge waits for both, or only as long as it must."""
    after = Escalation(frozenset({"screen", "guard"}), ("judge.bad",), early=early)
    models = [*CASCADE[:2], Model("judge", "judge", 100, escalation=after)]
    return rounds(WordPolicy({}, models=models, whens=whens))


def test_nobody_waits_for_an_answer_that_changes_nothing():
    """Where the screen is sure, guard and judge are asked at once: the second's time is not added to the first's."""
    for score, asked in ((0.7, [["guard", "judge"]]), (0.4, [["guard"]])):
        it = either(early=True)
        it.due()
        it.take([said("screen", score)])
        assert asked == names(it.due())
    it = either(early=False)
    it.due()
    it.take([said("screen", 0.7)])
    assert [["guard"]] == names(it.due())


def outcome(early, answers, whens=EITHER):
    it = either(early, whens)
    while groups := it.due():
        it.take([answers[model.detector] for group in groups for model in group])
    return [(result.detector, result.asked, dict(result.scores), result.failure) for result in it.results]


ANSWERS = st.fixed_dictionaries(
    {
        name: st.one_of(st.just(said(name, failure="timeout")), st.floats(0, 1).map(partial(said, name)))
        for name in ("screen", "guard", "judge")
    }
)


@given(ANSWERS)
def test_who_is_asked_early_is_asked_anyway(answers):
    """Asking early changes when a model is asked, never which, whatever the others say."""
    assert outcome(False, answers) == outcome(True, answers)


def test_the_law_bites():
    """A condition that is true only until the answer is there must not be asked early: policy says which are not."""
    answers = {name: said(name, 0.4) for name in ("screen", "guard", "judge")}
    fickle = {**EITHER, "judge": lambda scores, features: "guard.bad" not in scores}
    assert outcome(False, answers, fickle) != outcome(True, answers, fickle)


def test_after_a_failure_the_next_model_is_asked():
    """What is unknown is no reason not to look."""
    it = rounds()
    it.due()
    it.take([said("screen", failure="timeout")])
    assert [["guard"]] == names(it.due())


def test_a_model_that_does_not_read_such_text_is_not_waited_for():
    """Its score stays unknown, so the next is asked at once."""
    policy = WordPolicy({}, models=CASCADE[1:])
    assert [["guard"], ["aside"]] == names(rounds(policy).due())


def test_a_condition_on_detectors_in_process_costs_no_round():
    """They have looked already; features are known, too."""
    seen = []

    def when(scores, features):
        seen.append((dict(scores), dict(features)))
        return False

    alone = Model("guard", "guard", 100, escalation=Escalation(frozenset({"words"}), ("guard.bad",)))
    it = rounds(WordPolicy({}, models=[alone], whens={"guard": when}), {"words.odd": 1.0}, {"route": "chat"})
    assert [] == it.due()
    assert (False, [({"words.odd": 1.0}, {"route": "chat"})]) == (it.results[0].asked, seen)


def test_results_stand_in_the_order_of_the_models():
    """However the answers came."""
    for order in itertools.permutations(["screen", "guard", "aside"]):
        it, waiting = rounds(), list(order)
        it.due()
        while waiting:
            now = next(name for name in waiting if name != "guard" or "screen" not in waiting)
            waiting.remove(now)
            it.take([said(now, 0.4 if now == "screen" else 0.0)])
            it.due()
        assert ["screen", "guard", "judge", "aside"] == [result.detector for result in it.results]


def scan(out, policy=POLICY, windows=6):
    return Scan(policy, Direction.RESPONSE, Windowing(windows, windows, 4), itertools.count(1), out)


def test_a_window_waits_for_all_its_rounds():
    """It is cleared once the last model has answered, and told what was not asked."""
    out = []
    it = scan(out)
    it.push(Segment(CONTENT, "abcdef", ("text",)))
    first, beside = out
    it.scored(first.ticket, [said("screen", 0.4)])
    it.scored(beside.ticket, [said("aside")])
    assert [] == list(it.settle())

    again = out[-1]
    assert (["guard"], first.texts, Kind.CONTENT) == ([m.detector for m in again.models], again.texts, again.kind)
    it.scored(again.ticket, [said("guard", 0.1)])
    assert [["judge"]] == [[m.detector for m in effect.models] for effect in out if isinstance(effect, Spare)]
    assert 1 == len(list(it.settle()))
    checks = {name: (each.run, each.not_due) for name, each in it.account.checks.items()}
    assert {"words": (1, 0), "screen": (1, 0), "guard": (1, 0), "judge": (0, 1), "aside": (1, 0)} == checks
    assert "full" == it.coverage()


def test_nothing_is_scanned_where_no_model_was_due():
    """A record cannot say that text was scanned because nothing had to be."""
    model = Model("guard", "guard", 100, escalation=Escalation(scores=("guard.bad",)))
    out = []
    it = scan(out, WordPolicy({}, models=[model], local=(), whens={"guard": lambda scores, features: False}))
    it.push(Segment(CONTENT, "abcdef", ("text",)))
    assert 1 == len(list(it.settle()))
    assert ([Spare([model])], "none", 1) == (out, it.coverage(), it.account.checks["guard"].not_due)


def test_what_is_given_up_is_skipped_or_was_not_due():
    """All that is out is cancelled; what had turned out not to be due keeps its word."""
    out = []
    it = scan(out)
    it.push(Segment(CONTENT, "abcdef", ("text",)))
    it.scored(out[0].ticket, [said("screen", 0.1)])
    it.give_up()
    assert Cancel([out[1].ticket]) == out[-1]
    checks = {name: (each.skipped, each.not_due) for name, each in it.account.checks.items()}
    assert {"screen": (1, 0), "guard": (0, 1), "judge": (0, 1), "aside": (1, 0)} == checks
    before = list(out)
    it.scored(out[1].ticket, [said("aside")])
    assert before == out, "a late answer leads to nothing"


@pytest.mark.parametrize("score", [0.0, 0.9])
def test_only_so_many_questions_are_out(score):
    """A long text with two questions a window, and more after them, never has many more out than it may."""
    out, most = [], 0
    policy = WordPolicy({}, models=CASCADE, on_failure=Action.ALLOW)
    it = scan(out, policy, windows=6)
    it.push(Segment(CONTENT, "abcdef" * 200, ("text",)))
    it.close_all()
    answered = 0
    while it.waiting:
        asked = [effect for effect in out if isinstance(effect, Classify)]
        most = max(most, len(asked))
        out.clear()
        out.extend(asked[1:])
        if asked:
            it.scored(asked[0].ticket, [said(model.detector, min(score, 0.5)) for model in asked[0].models])
            answered += 1
        list(it.settle())
        it.turn()
    assert most <= AT_ONCE + 1
    assert answered == 200 * (2 if score < 0.3 else 4)

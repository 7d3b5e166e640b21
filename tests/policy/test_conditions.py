"""When a model is asked: read, checked and ordered before any text comes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.core.decision import Escalation
from safeguards_extproc.core.text import Direction, Kind
from safeguards_extproc.policy import document, examples, source
from safeguards_extproc.policy.compile import compile_policy
from safeguards_extproc.policy.explain import explain
from tests.policy.written import facts, mistakes, policy

HEAD = """\
version: 1
name: test
thresholds: {low: 0.3}
detectors:
  judge: {kind: classification, model: judge, labels: [bad], when: scores.guard.bad > thresholds.low}
  screen: {kind: classification, model: screen, labels: [attack, hate]}
  guard: {kind: classification, model: guard, labels: [bad, worse], on_failure: degrade, escalate_at_most: 0.2,
    when: scores.screen.attack >= 0.3 || scores.lists.codename > 0 || features.tier == "new"}
  lists: {kind: patterns, lists: {codename: {keywords: [bluefinch]}}}
"""
REQUEST, RESPONSE = Direction.REQUEST, Direction.RESPONSE


def test_what_the_core_learns() -> None:
    """What to wait for, what the scores are called, and the share; health does not hang on a model that some windows
    never see."""
    models = {model.detector: model for model in policy("", HEAD).models}
    assert models["screen"].escalation is None
    assert (
        Escalation(frozenset({"screen", "lists"}), ("guard.bad", "guard.worse"), 0.2, True)
        == models["guard"].escalation
    )
    assert Escalation(frozenset({"guard"}), ("judge.bad",), early=True) == models["judge"].escalation
    assert [True, False, False] == [models[name].required for name in ("screen", "guard", "judge")]


def test_a_condition_on_whether_there_is_a_score_waits_for_it() -> None:
    """It is true of an answer that is out, and false once it is there."""
    asks = HEAD.replace("scores.guard.bad > thresholds.low", "scores.screen.hate > 0.5 || !has(scores.guard.bad)")
    models = {model.detector: model for model in policy("", asks).models}
    escalation = models["judge"].escalation
    assert escalation is not None
    assert not escalation.early


def test_conditions_stand_after_those_that_they_wait_for() -> None:
    """Wherever they stand in the file."""
    assert ["guard", "judge"] == list(policy("", HEAD).conditions)


@pytest.mark.parametrize(
    ("scores", "features", "expected"),
    [
        ({"screen.attack": 0.3, "lists.codename": 0.0}, {}, True),
        ({"screen.attack": 0.2, "lists.codename": 0.0}, {"tier": "old"}, False),
        ({"screen.attack": 0.2, "lists.codename": 0.0}, {"tier": "new"}, True),
        ({"screen.attack": 0.2, "lists.codename": 0.0}, {}, True),
        ({"lists.codename": 0.0}, {"tier": "old"}, True),
        ({"lists.codename": 1.0}, {"tier": "old"}, True),
    ],
    ids=["true", "false", "feature", "feature unknown", "screen failed", "true whatever screen says"],
)
def test_a_model_is_due_unless_its_condition_is_false(
    scores: dict[str, float], features: dict[str, str], expected: bool
) -> None:
    """Unknown is no reason not to look."""
    for direction in Direction:
        assert expected is (policy("", HEAD).due("guard", direction, scores, features) is not False)


def detectors(*rows: str) -> str:
    """A policy of these detectors, the first on line 4."""
    return "version: 1\nname: test\ndetectors:\n" + "".join(f"  {row}\n" for row in rows)


SCREEN = "screen: {kind: classification, model: screen, labels: [attack], on: [request], in: [user]}"


def model(name: str, when: str, more: str = "") -> str:
    return f"{name}: {{kind: classification, model: m, labels: [x], when: '{when}'{more}}}"


WRONG = [
    (
        [SCREEN, model("guard", "scores.sreen.attack > 0.5")],
        "policy.yaml:5: detectors.guard.when: unknown detector 'sreen'\n  scores.sreen.attack > 0.5\n  ^ "
        "(did you mean 'screen'?)",
    ),
    (
        [SCREEN, model("guard", "scores.screen.hate > 0.5")],
        "policy.yaml:5: detectors.guard.when: detector 'screen' has no label 'hate'\n  scores.screen.hate > 0.5\n  ^ "
        "(known: attack)",
    ),
    (
        [model("guard", "scores.guard.x > 0.5")],
        "policy.yaml:4: detectors.guard.when: reads its own scores",
    ),
    (
        [SCREEN, model("guard", "scores.screen.attack", ", on_failure: allow")],
        "policy.yaml:5: detectors.guard.when: a condition is true or false, this is a double\n"
        "  scores.screen.attack\n  ^ (compare it with something)",
    ),
    (
        [SCREEN, model("guard", "scores.screen.attack > 0.5", ", on: [response]")],
        "policy.yaml:5: detectors.guard.when: reads screen.attack, but screen does not run on: response "
        "(detectors.screen.on)",
    ),
    (
        [SCREEN, model("guard", "scores.screen.attack > 0.5", ", in: [tool]")],
        "policy.yaml:5: detectors.guard.when: reads screen.attack, but screen runs in: [user] only "
        "(detectors.screen.in)",
    ),
    (
        [SCREEN, model("guard", "scores.screen.attack > 0.5", ", escalate_at_most: 0.2")],
        "policy.yaml:5: detectors.guard.escalate_at_most: needs on_failure, which says what it means that the share is "
        "used up (write on_failure: degrade, flag, allow or block)",
    ),
    (
        ["guard: {kind: classification, model: m, labels: [x], on_failure: allow, escalate_at_most: 0.2}"],
        "policy.yaml:4: detectors.guard.escalate_at_most: belongs to a detector with when (without when it is always "
        "asked)",
    ),
]


@pytest.mark.parametrize(("rows", "expected"), WRONG, ids=[expected.split(": ")[2][:40] for _, expected in WRONG])
def test_what_cannot_be(rows: list[str], expected: str) -> None:
    """Is told with its line, and how to mend it."""
    assert [expected] == mistakes("", detectors(*rows))


def test_conditions_that_wait_for_each_other() -> None:
    """Each of them is told the way; what only waits for them is not."""
    rows = [
        model("a", "scores.b.x > 0.5"),
        model("b", "scores.c.x > 0.5 || scores.a.x > 0.5"),
        model("c", "scores.b.x > 0.5"),
        model("d", "scores.a.x > 0.5"),
    ]
    assert [
        "policy.yaml:4: detectors.a.when: waits for itself: a → b → a",
        "policy.yaml:5: detectors.b.when: waits for itself: b → a → b",
        "policy.yaml:6: detectors.c.when: waits for itself: c → b → c",
    ] == mistakes("", detectors(*rows))


@pytest.mark.long
@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=8, unique=True))
def test_a_policy_loads_exactly_where_every_model_can_be_asked(edges: list[tuple[int, int]]) -> None:
    """Of any conditions: those that a count of their order can place load, and stand in that order."""
    reads = {own: sorted(other for each, other in edges if each == own) for own in range(5)}
    rows = [
        model(f"m{own}", " || ".join(f"scores.m{other}.x > 0.5" for other in others) or "true")
        for own, others in reads.items()
    ]
    placed: list[int] = []
    while ready := [own for own in reads if own not in placed and set(reads[own]) <= set(placed)]:
        placed += ready
    wrong = mistakes("", detectors(*rows))
    assert bool(wrong) == (len(placed) < 5)
    if not wrong:
        order = list(policy("", detectors(*rows)).conditions)
        assert all(order.index(f"m{other}") < order.index(f"m{own}") for own, other in edges)


RULES = """
rules:
  - {name: bad, when: "max(scores.screen.attack, scores.guard.bad) >= 0.9", then: block, on_missing: fire}
  - {name: kind, when: scores.guard.worse < 0.5 && scores.screen.hate > 0.5, then: annotate}
"""


EXAMPLES = """
examples:
  - {name: spared, on: request, text: hello, features: {tier: old}, scores: {screen.attack: 0.1, screen.hate: 0.6},
     expect: annotate}
  - {name: no answer, on: request, text: bluefinch, scores: {screen.attack: 0.1, screen.hate: 0.6},
     failed: {guard: budget}, expect: block}
  - {name: odd, on: request, text: hello, features: {tier: old}, scores: {screen.attack: 0.1, guard.bad: 0.95},
     expect: block}
"""


def test_an_example_is_one_window() -> None:
    """Where the condition is false the model is not asked: its scores are 0.0, known and not missing. A score that it
    cannot have given is a mistake in the example."""
    read = source.read(HEAD + RULES + EXAMPLES, "policy.yaml")
    found = compile_policy(document.parse(read), read)
    spared, failed, _ = (examples.facts(found, each).scores[Kind.USER] for each in found.document.examples)
    assert (0.0, 0.0, False) == (spared["guard.bad"], spared["judge.bad"], "guard.bad" in failed)
    [problem] = examples.run(found, read)
    assert "example 'odd' gives a score of guard, which would not be asked" == problem.message
    assert problem.hint == f"it is asked where {found.conditions['guard'].text}"


def test_explain_says_whether_a_model_is_asked() -> None:
    """And why, before the rules."""
    found = policy(RULES, HEAD)
    known = facts({"screen.attack": 0.1, "screen.hate": 0.0, "lists.codename": 0.0})
    known.features["tier"] = "secret words"
    examples.spare(found, known, Kind.USER)
    when = found.conditions["guard"].text
    assert [
        f"model guard when {when} saw lists.codename=0, screen.attack=0.1, tier=(12 characters): false, so not asked: "
        "its scores are 0",
        "model judge when scores.guard.bad > thresholds.low saw guard.bad=0: false, so not asked: its scores are 0",
        "rule bad: max(scores.screen.attack, scores.guard.bad) >= 0.9 saw guard.bad=0, screen.attack=0.1: false",
    ] == explain(found, known)[1:4]
    known = facts({"screen.attack": 0.4})
    examples.spare(found, known, Kind.USER)
    lines = explain(found, known)
    assert lines[1].endswith("lists.codename=missing, screen.attack=0.4, tier=missing: true, so asked")
    assert lines[2].endswith("saw guard.bad=missing: unknown, so asked")


def test_explain_of_a_model_of_the_other_direction() -> None:
    """Is short."""
    found = policy("", detectors(model("guard", "true", ", on: [request]")))
    assert "model guard: not asked about a response" in explain(found, facts({}, direction=RESPONSE))

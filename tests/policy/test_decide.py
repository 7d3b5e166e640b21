"""From scores to a verdict: the most severe leads, the others still count, and shadow softens at the very end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.core.account import Admitted, Count, Counted, Limit, Shape, Standing, Step
from safeguards_extproc.core.decision import ALLOWED, SEVERITY, Action, Facts, Fired, Placeholder, Value, Verdict
from safeguards_extproc.core.text import Direction, Kind
from safeguards_extproc.errors import FAILURES
from safeguards_extproc.policy.cel import Names, parse, scores
from safeguards_extproc.policy.decide import MESSAGES, Ask, Book, Reach, Rule, compose, decide, judge, soften, write
from tests.policy.written import facts, mistakes, policy

BOTH = frozenset(Direction)
NAMES = Names({name: frozenset({"x", "y"}) for name in ("block", "allow", "flag", "degrade")})
"""Detectors, named for what their failure means."""


def rule(name: str, when: str, action: Action = Action.BLOCK, *kinds: Kind, fires: bool = False, **ask: object) -> Rule:
    expr = parse(when, NAMES)
    asked = replace(Ask(name, action), **ask)  # type: ignore[arg-type]
    return Rule(asked, expr, when, scores(expr), frozenset(kinds), BOTH, fires)


def book(*rules: Rule, enforced: bool = True, **uninspectable: str) -> Book:
    reaches = {name: Reach(BOTH, frozenset(), name) for name in NAMES.labels}
    return write(rules, reaches, uninspectable, "enforce" if enforced else "shadow")


def causes(verdict: Verdict) -> list[tuple[str, str]]:
    return [(fired.rule, fired.cause) for fired in verdict.fired]


def test_nothing_fires() -> None:
    """Then all is allowed."""
    assert decide(book(rule("r", "scores.block.x >= 0.9")), facts({"block.x": 0.5})) is ALLOWED


def test_of_two_placeholders_the_one_that_tells_least_counts() -> None:
    """What one rule wants gone for good, no other gives back."""
    email, both = frozenset({"email"}), frozenset({"email", "card"})
    rules = [
        rule("back", "scores.block.x > 0.0", Action.REDACT, redact=both, placeholder=Placeholder.RESTORED),
        rule("count", "scores.block.x > 0.5", Action.REDACT, redact=email, placeholder=Placeholder.NUMBERED),
        rule("gone", "scores.block.x > 0.9", Action.REDACT, redact=email),
    ]
    seen = [decide(book(*order), facts({"block.x": x})) for x in (0.1, 0.6, 1.0) for order in (rules, rules[::-1])]
    assert [placeholder for placeholder in Placeholder for _ in rules[:2]] == [
        verdict.placeholders["email"] for verdict in seen[::-1]
    ]
    assert {Placeholder.RESTORED} == {verdict.placeholders["card"] for verdict in seen}


def test_the_most_severe_leads() -> None:
    """Its words reach the client; what milder rules ask for happens too; the record names all."""
    verdict = decide(
        book(
            rule("mail", "scores.block.x > 0.0", Action.REDACT, redact=frozenset({"email"}), category="pii"),
            rule("stop", "scores.block.x > 0.0", Action.BLOCK, category="harm", message="No."),
            rule("late", "scores.block.x > 0.0", Action.BLOCK, category="other", message="Never."),
            rule("card", "scores.block.x > 0.0", Action.REDACT, redact=frozenset({"card"})),
            rule("tell", "scores.block.x > 0.0", Action.ANNOTATE, annotations={"a": "1"}),
            rule("told", "scores.block.x > 0.0", Action.ANNOTATE, annotations={"a": "2", "b": "3"}),
        ),
        facts({"block.x": 1.0}),
    )
    assert (verdict.action, verdict.decided) == (Action.BLOCK, Action.BLOCK)
    assert (verdict.category, verdict.message, verdict.reason) == ("harm", "No.", "policy")
    assert verdict.redact == {"email", "card"}
    assert verdict.annotations == {"a": "1", "b": "3"}
    assert [fired.rule for fired in verdict.fired] == ["mail", "stop", "late", "card", "tell", "told"]


def test_the_first_instruction_and_the_first_route_count() -> None:
    """Two rules cannot both choose."""
    verdict = decide(
        book(
            rule("a", "true", Action.STEER, steer="Be kind."),
            rule("b", "true", Action.STEER, steer="Be brief."),
            rule("c", "true", Action.REROUTE, reroute={"x-pool": "safe"}),
            rule("d", "true", Action.REROUTE, reroute={"x-pool": "other"}),
        ),
        facts(),
    )
    assert (verdict.action, verdict.steer, verdict.reroute) == (Action.STEER, "Be kind.", {"x-pool": "safe"})


def test_a_rule_sees_only_its_kinds() -> None:
    """What a tool said does not count against the user."""
    policy = book(rule("user", "scores.block.x > 0.5", Action.BLOCK, Kind.USER))
    assert decide(policy, facts({"block.x": 0.9}, kind=Kind.TOOL)) is ALLOWED
    assert decide(policy, facts({"block.x": 0.9})).action is Action.BLOCK


def test_a_rule_of_every_kind_sees_the_maximum() -> None:
    """Over all texts of the direction."""
    known = facts({"block.x": 0.9})
    known.absorb(Kind.TOOL, {"block.x": 0.1})
    assert decide(book(rule("r", "scores.block.x > 0.5")), known).action is Action.BLOCK


def test_shadow_is_recorded_and_not_done() -> None:
    """A rule in shadow, and a whole policy in shadow."""
    shadowed = decide(book(rule("r", "true", enforced=False, message="No.")), facts())
    assert (shadowed.action, shadowed.decided, shadowed.message) == (Action.ALLOW, Action.BLOCK, "")
    assert shadowed.fired == (Fired("r", Action.BLOCK, enforced=False),)
    whole = decide(book(rule("r", "true", redact=frozenset({"email"})), enforced=False), facts())
    assert (whole.action, whole.decided, whole.redact) == (Action.ALLOW, Action.BLOCK, frozenset())


@pytest.mark.parametrize(
    ("detector", "action", "fired", "reason"),
    [
        ("block", Action.BLOCK, [("detector:block", "failure")], "unavailable"),
        ("flag", Action.ANNOTATE, [("detector:flag", "failure")], "policy"),
        ("allow", Action.ALLOW, [], "policy"),
        ("degrade", Action.BLOCK, [("r", "missing")], "policy"),
    ],
)
@pytest.mark.parametrize("where", ["failed", "skipped"])
def test_a_detector_that_gave_no_answer(
    detector: str, action: Action, fired: list[tuple[str, str]], reason: str, where: str
) -> None:
    """Its `on_failure` says what that means, also for a rule that fires on missing scores."""
    policy, gone = book(rule("r", f"scores.{detector}.x > 0.5", fires=True)), {detector: "timeout"}
    verdict = decide(policy, facts({}, failed=gone) if where == "failed" else facts({}, skipped=gone))
    assert (verdict.action, causes(verdict), verdict.reason) == (action, fired, reason)


def test_flags_name_the_detectors() -> None:
    """In one annotation."""
    verdict = decide(book(), facts({}, failed={"flag": "timeout", "allow": "timeout"}))
    assert verdict.annotations == {"degraded": "flag"}


def test_an_answer_that_nobody_needed_is_no_failure() -> None:
    """Windows after a block are skipped."""
    assert decide(book(), facts({}, skipped={"block": "cancelled"})) is ALLOWED


def test_another_policys_detector_does_not_matter() -> None:
    """A record replayed under a policy without that detector."""
    assert decide(book(), facts({}, failed={"unknown": "timeout"})) is ALLOWED


def test_a_degraded_score_is_only_a_lower_bound() -> None:
    """One window was harmless, another got no answer: a rule that fires on missing scores fires, unless some other
    fact already makes it false; one that is true stays true."""
    known = facts({"degrade.x": 0.1, "block.x": 0.2}, failed={"degrade": "timeout"})
    when = "scores.degrade.x > 0.5"
    assert causes(decide(book(rule("r", when, fires=True)), known)) == [("r", "missing")]
    assert decide(book(rule("r", when)), known) is ALLOWED
    assert decide(book(rule("r", f"{when} && scores.block.x > 0.5", fires=True)), known) is ALLOWED
    known.absorb(Kind.USER, {"degrade.x": 0.9})
    assert causes(decide(book(rule("r", when, fires=True)), known)) == [("r", "true")]


def test_missing_counts_only_where_a_score_is_due() -> None:
    """A rule on tools that fires on missing scores says nothing of a request without tools."""
    policy = book(rule("r", "scores.block.x > 0.5", Action.BLOCK, Kind.TOOL, fires=True))
    assert decide(policy, facts({"block.x": 0.1})) is ALLOWED
    assert decide(policy, facts({}, kind=Kind.TOOL)).action is Action.BLOCK


def test_missing_counts_only_where_the_detector_runs() -> None:
    """A detector of requests owes no score of a response."""
    policy = book(rule("r", "scores.block.x > 0.5", fires=True))
    reach = Reach(frozenset({Direction.REQUEST}), frozenset({Kind.TOOL}), "block")
    policy = replace(policy, detectors={"block": reach})
    assert decide(policy, facts({}, kind=Kind.TOOL)).action is Action.BLOCK
    assert decide(policy, facts({}, kind=Kind.USER)) is ALLOWED
    assert decide(policy, facts({}, kind=Kind.TOOL, direction=Direction.RESPONSE)) is ALLOWED


def test_a_missing_feature_is_missing_too() -> None:
    """on_missing answers for facts of every sort."""
    assert causes(decide(book(rule("r", "features.n > 3", fires=True)), facts({}))) == [("r", "missing")]
    assert decide(book(rule("r", "features.n > 3")), facts({})) is ALLOWED


@pytest.mark.parametrize(
    ("why", "reason"),
    [
        ("too-large", "too-large"),
        ("encoding", "unsupported-encoding"),
        ("malformed", "malformed"),
        ("opaque", "policy"),
        ("opaque-answer", "policy"),
        ("not-sent", "policy"),
        ("unavailable", "unavailable"),
        ("websocket", "policy"),
        ("grpc", "policy"),
        ("binary", "policy"),
        ("a reason of tomorrow", "policy"),
    ],
)
def test_what_cannot_be_read(why: str, reason: str) -> None:
    """Is blocked, with a reason that the client can act on; a reason that the policy does not know is blocked too."""
    verdict = decide(book(), Facts(Direction.REQUEST, uninspectable=why))
    assert (verdict.action, verdict.reason) == (Action.BLOCK, reason)
    assert causes(verdict) == [(f"uninspectable:{why}", "failure")]


def test_what_cannot_be_read_may_pass() -> None:
    """With a word about it, or without."""
    flagged = decide(book(unread="flag"), Facts(Direction.REQUEST, uninspectable="unread"))
    assert (flagged.action, flagged.annotations) == (Action.ANNOTATE, {"uninspected": "unread"})
    assert decide(book(unread="allow"), Facts(Direction.REQUEST, uninspectable="unread")) is ALLOWED


DROPS = [
    rule("drop", "scores.block.x > 0.5", Action.DROP, category="unsafe", annotations={"list": "shortened"}),
    rule("mask", "scores.block.x > 0.9", Action.REDACT, redact=frozenset({"email"})),
]


def at(*positions: int) -> frozenset[int]:
    return frozenset(positions)


def listing(*items: dict[str, float], outside: dict[str, float] | None = None, **failed: str) -> Facts:
    """What is known of an answer whose items have these scores; the last of them has failures, too."""
    known = facts({}, kind=Kind.CONTENT, direction=Direction.RESPONSE)
    known.items = [facts(item, kind=Kind.CONTENT, direction=Direction.RESPONSE) for item in items]
    known.outside = facts(outside, kind=Kind.CONTENT, direction=Direction.RESPONSE)
    for each in (*items, outside or {}):
        known.absorb(Kind.CONTENT, each)
    if items:
        known.items[-1].failed.update(failed)
    known.failed.update(failed)
    return known


def test_a_bad_item_does_not_condemn_the_rest() -> None:
    """It goes; every other rule sees the text of all items."""
    verdict = decide(book(*DROPS), listing({"block.x": 0.95}, {"block.x": 0.1}, {"block.x": 0.6}, {}))
    assert (Action.DROP, at(0, 2), at(0, 2)) == (verdict.action, verdict.drop, verdict.would_drop)
    assert [("mask", "true"), ("drop", "true")] == causes(verdict)
    assert (frozenset({"email"}), "shortened") == (verdict.redact, verdict.annotations["list"])


def test_what_is_in_no_item_cannot_be_dropped() -> None:
    """There a rule that drops blocks, as it does where no items are listed, and before the items are known."""
    for known in (
        listing({}, outside={"block.x": 0.6}),
        facts({"block.x": 0.6}, kind=Kind.CONTENT, direction=Direction.RESPONSE),
    ):
        verdict = decide(book(*DROPS), known)
        assert (Action.BLOCK, "unsafe", at()) == (verdict.action, verdict.category, verdict.drop)
        assert verdict.fired == (Fired("drop", Action.BLOCK, True),)
    known = listing({"block.x": 0.6})
    known.items = ()
    assert decide(book(*DROPS), known) is ALLOWED


def test_a_drop_in_shadow_is_counted_and_not_done() -> None:
    """Of the rule, or of the whole policy."""
    soft = [replace(DROPS[0], ask=replace(DROPS[0].ask, enforced=False))]
    for shadow in (book(*soft), book(DROPS[0], enforced=False)):
        verdict = decide(shadow, listing({"block.x": 0.95}, {"block.x": 0.1}))
        assert (Action.ALLOW, Action.DROP) == (verdict.action, verdict.decided)
        assert (at(), at(0)) == (verdict.drop, verdict.would_drop)
        assert verdict.fired == (Fired("drop", Action.DROP, False),)


def test_one_rule_in_force_and_one_in_shadow() -> None:
    """Only what a rule in force drops goes."""
    shadow = rule("later", "scores.allow.x > 0.5", Action.DROP, enforced=False)
    verdict = decide(book(DROPS[0], shadow), listing({"allow.x": 0.9}, {"block.x": 0.9, "allow.x": 0.9}))
    assert (at(1), at(0, 1)) == (verdict.drop, verdict.would_drop)
    assert [("later", False), ("drop", True)] == [(fired.rule, fired.enforced) for fired in verdict.fired]


def test_an_item_whose_detector_failed() -> None:
    """What the failure means is said once, for all; a rule that wants the score drops the item that has none."""
    item = {"degrade.x": 0.1}
    assert Action.BLOCK == decide(book(*DROPS), listing(item, block="timeout")).action
    assert ALLOWED == decide(book(*DROPS), listing(item, allow="timeout"))
    careful = rule("careful", "scores.degrade.x > 0.5", Action.DROP, fires=True)
    verdict = decide(book(careful), listing(item, item, {}, degrade="timeout"))
    assert (at(2), [("careful", "missing")]) == (verdict.drop, causes(verdict))


def test_an_unreadable_part_blocks_the_whole() -> None:
    """What stands in it may belong to any item."""
    known = listing({"block.x": 0.6})
    known.uninspectable = "unread"
    verdict = decide(book(*DROPS, unread="block"), known)
    assert (Action.BLOCK, at(0)) == (verdict.action, verdict.drop)


def test_a_rule_speaks_before_a_failure() -> None:
    """A request that is blocked for what it says gets no answer that invites a retry."""
    policy = book(rule("r", "scores.block.x > 0.5", category="harm"))
    verdict = decide(policy, facts({"block.x": 0.9}, failed={"block": "timeout"}))
    assert (verdict.reason, verdict.category) == ("policy", "harm")


ACTIONS = st.sampled_from([action for action in Action if action is not Action.ALLOW])
LEVELS = st.sampled_from([0.1, 0.5, 0.9])
SCORE = st.sampled_from([f"{name}.{label}" for name in NAMES.labels for label in "xy"])
TERM = st.tuples(SCORE, LEVELS).map(lambda t: f"scores.{t[0]} >= {t[1]}")
MONOTONE = st.recursive(
    TERM,
    lambda c: st.tuples(c, st.sampled_from(["&&", "||"]), c).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
    max_leaves=3,
)


@st.composite
def rules_of(draw: st.DrawFn) -> list[Rule]:
    drawn = draw(st.lists(st.tuples(MONOTONE, ACTIONS, st.booleans(), st.booleans()), max_size=4))
    return [
        rule(f"r{i}", when, action, fires=fires, enforced=enforced)
        for i, (when, action, fires, enforced) in enumerate(drawn)
    ]


@st.composite
def facts_of(draw: st.DrawFn) -> Facts:
    known = Facts(draw(st.sampled_from(Direction)))
    for kind in draw(st.lists(st.sampled_from([Kind.USER, Kind.TOOL]), unique=True)):
        known.absorb(kind, draw(st.dictionaries(SCORE, st.floats(0, 1), max_size=4)))
    reasons = st.sampled_from(sorted(FAILURES))
    known.failed.update(draw(st.dictionaries(st.sampled_from([*NAMES.labels, "unknown"]), reasons, max_size=2)))
    known.skipped.update(draw(st.dictionaries(st.sampled_from(list(NAMES.labels)), reasons, max_size=1)))
    known.uninspectable = draw(st.sampled_from(["", "", "", "malformed", "unread"]))
    return known


Decide = Callable[[Book, Facts], Verdict]


def raised(known: Facts, kind: Kind, name: str) -> Facts:
    """The same facts, but one score that is known is 1."""
    changed = replace(known, scores={k: dict(held) for k, held in known.scores.items()})
    if name in changed.scores.get(kind, {}):
        changed.scores[kind][name] = 1.0
    return changed


def never_milder(by: Decide, policy: Book, before: Facts, after: Facts) -> None:
    """The law's checker: what is worse is not judged milder."""
    for part in ("action", "decided"):
        assert SEVERITY[getattr(by(policy, before), part)] <= SEVERITY[getattr(by(policy, after), part)]


@pytest.mark.long
@given(rules_of(), facts_of(), st.sampled_from([Kind.USER, Kind.TOOL]), SCORE)
@settings(max_examples=60, deadline=None)
def test_a_higher_score_is_never_milder(rules: Sequence[Rule], known: Facts, kind: Kind, name: str) -> None:
    """Where all conditions are of the form score >= level."""
    never_milder(decide, book(*rules), known, raised(known, kind, name))


@pytest.mark.long
@given(rules_of(), rules_of(), facts_of())
@settings(max_examples=60, deadline=None)
def test_another_rule_is_never_milder(rules: Sequence[Rule], more: Sequence[Rule], known: Facts) -> None:
    """Adding rules adds severity or leaves it."""
    few, many = decide(book(*rules), known), decide(book(*rules, *more), known)
    assert SEVERITY[few.action] <= SEVERITY[many.action]
    assert SEVERITY[few.decided] <= SEVERITY[many.decided]


def decides_fully(by: Decide, rules: Sequence[Rule], known: Facts) -> None:
    """The law's checker: no mode changes what is decided or what fired; shadow only ever softens."""
    enforced = [replace(r, ask=replace(r.ask, enforced=True)) for r in rules]
    full = by(book(*enforced), known)
    for written in (book(*rules), book(*rules, enforced=False)):
        verdict = by(written, known)
        assert verdict.decided == full.decided
        assert [(f.rule, f.action, f.cause) for f in verdict.fired] == [(f.rule, f.action, f.cause) for f in full.fired]
        assert SEVERITY[verdict.action] <= SEVERITY[full.action]
    assert by(book(*rules, enforced=False), known).action is Action.ALLOW


@pytest.mark.long
@given(rules_of(), facts_of())
@settings(max_examples=60, deadline=None)
def test_decide_fully_soften_last(rules: Sequence[Rule], known: Facts) -> None:
    """Shadow changes the final step only."""
    decides_fully(decide, rules, known)


def forgets_shadow(policy: Book, known: Facts) -> Verdict:
    """A plausible fault: rules in shadow are left out before the decision."""
    asked = [(ask, cause) for ask, cause in judge(policy, known) if policy.enforced and ask.enforced]
    return compose(soften(asked, policy.enforced)) if asked else ALLOWED


def takes_the_last(policy: Book, known: Facts) -> Verdict:
    """A plausible fault: the last rule that fires decides."""
    asked = judge(policy, known)[-1:]
    return compose(soften(asked, policy.enforced)) if asked else ALLOWED


def test_the_checkers_bite() -> None:
    """Each planted fault is found by the law that it breaks."""
    shadowed = [rule("r", "scores.block.x >= 0.5", enforced=False)]
    decides_fully(decide, shadowed, facts({"block.x": 0.9}))
    with pytest.raises(AssertionError):
        decides_fully(forgets_shadow, shadowed, facts({"block.x": 0.9}))
    two = book(rule("a", "scores.block.x >= 0.1"), rule("b", "scores.block.y >= 0.9", Action.ANNOTATE))
    before = facts({"block.x": 0.9, "block.y": 0.1})
    never_milder(decide, two, before, raised(before, Kind.USER, "block.y"))
    with pytest.raises(AssertionError):
        never_milder(takes_the_last, two, before, raised(before, Kind.USER, "block.y"))


RATE = Limit("requests", ("key",), Count.REQUESTS, Shape.RATE, 60, 60.0, 1, message="Not so fast.")
TOKENS = replace(RATE, name="tokens", count=Count.TOKENS, message="")
TRIAL = replace(RATE, name="trial", enforced=False)


def admitted(answer: Admitted, text: str = "", **features: Value) -> Verdict:
    known = facts()
    known.features.update(features)
    known.admission = answer
    compiled = policy(text)
    assert compiled.admit(known) == compiled.decide(known)
    return compiled.decide(known)


def test_a_limit_that_is_over() -> None:
    """Throttles, in its own words; the one with the longest wait speaks."""
    counted = [Counted(TOKENS, False, 0, 60.0, 1.2), Counted(RATE, False, 0, 60.0, 30.1), Counted(TRIAL, True, 5)]
    verdict = admitted(Admitted(counted))
    assert (verdict.action, verdict.reason, verdict.retry_after_s) == (Action.THROTTLE, "throttled", 31)
    assert verdict.message == "Not so fast."
    assert [fired.rule for fired in verdict.fired] == ["limit:requests", "limit:tokens"]
    assert admitted(Admitted([Counted(TOKENS, False, 0)])).retry_after_s == 1


def test_a_limit_in_shadow() -> None:
    """Fires in shadow: it shows in what was decided and refuses nobody. So does all of a policy in shadow."""
    verdict = admitted(Admitted([Counted(TRIAL, False, 0)]))
    assert (verdict.action, verdict.decided) == (Action.ALLOW, Action.THROTTLE)
    assert verdict.fired == (Fired("limit:trial", Action.THROTTLE, False),)
    verdict = admitted(Admitted([Counted(RATE, False, 0)]), "mode: shadow")
    assert (verdict.action, verdict.decided) == (Action.ALLOW, Action.THROTTLE)


@pytest.mark.parametrize("step", [Step.SUSPENDED, Step.BANNED])
def test_who_is_suspended(step: Step) -> None:
    """Is refused whatever the limits say."""
    verdict = admitted(Admitted([Counted(RATE, False, 0, 1.0, 9.0)], Standing(step)))
    assert (verdict.action, verdict.reason, verdict.message) == (Action.SUSPEND, "suspended", MESSAGES["suspended"])
    assert verdict.fired[0].rule == f"account:{step.value}"


RESTRICTED = [
    (Standing(Step.RESTRICTED, models=frozenset({"large"})), Action.BLOCK),
    (Standing(Step.RESTRICTED, models=frozenset({"*"})), Action.BLOCK),
    (Standing(Step.RESTRICTED, models=frozenset({"small"})), Action.ALLOW),
    (Standing(Step.RESTRICTED, tools=True), Action.BLOCK),
    (Standing(Step.RESTRICTED), Action.ALLOW),
    (Standing(Step.WARNED, models=frozenset({"*"}), tools=True), Action.ALLOW),
    (Standing(Step.THROTTLED), Action.ALLOW),
]


@pytest.mark.parametrize(("standing", "expected"), RESTRICTED)
def test_who_is_restricted(standing: Standing, expected: Action) -> None:
    """May not use these models, or tools; who is warned or throttled is refused nothing by that."""
    verdict = admitted(Admitted((), standing), model="large", tools=True)
    assert verdict.action is expected
    assert verdict.category == ("account" if expected is Action.BLOCK else "")
    if standing.tools:
        assert admitted(Admitted((), standing), model="large", tools=False).action is Action.ALLOW


@pytest.mark.parametrize("standing", [Standing(Step.RESTRICTED, models=frozenset({"large"})), RESTRICTED[3][0]])
def test_who_is_restricted_sends_nothing_that_cannot_be_read(standing: Standing) -> None:
    """Whatever the policy says of such bodies: they may ask for what is not allowed. A picture hides neither."""
    known = facts()
    known.admission, known.uninspectable = Admitted((), standing), "opaque"
    lenient = policy("uninspectable: {opaque: allow, unread: allow}")
    assert lenient.decide(known).action is Action.BLOCK
    known.uninspectable = "unread"
    assert lenient.decide(known).action is Action.ALLOW


def test_rules_read_how_an_account_stands() -> None:
    """By features, whose types a condition is held to."""
    text = "rules: [{name: r, when: features.account_step == 'warned' && features.limit_near != '', then: block}]"
    known = facts()
    known.features.update(account_step="warned", limit_near="requests")
    assert policy(text).decide(known).action is Action.BLOCK
    (found,) = mistakes("rules: [{name: r, when: features.account_step >= 3, then: block}]")
    assert "cannot be compared" in found

"""What keys mean together: an impossible combination is told before it is deployed, with what is possible."""

from __future__ import annotations

import pytest

from safeguards_extproc.core.actions import ACTIONS
from safeguards_extproc.core.decision import Action
from safeguards_extproc.core.text import Direction, Kind
from safeguards_extproc.policy.checks import FIELDS, KINDS
from tests.policy.written import HEAD, mistakes

LINES = HEAD.count("\n")


def rule(text: str) -> str:
    return f"rules:\n  - {{name: r, when: scores.pii.email > 0.5, {text}}}\n"


def at(line: int, rest: str) -> str:
    """A mistake `line` lines below HEAD."""
    return f"policy.yaml:{LINES + line}: {rest}"


def test_a_sound_policy() -> None:
    """Has no mistakes."""
    assert mistakes(rule("then: redact, entities: [email, '*']") + "routes: [{name: all, format: openai_chat}]") == []


WRONG = [
    (
        rule("then: stop"),
        at(2, "rules[0].then: stop is possible in: response, nothing sent; response, partly sent (write on: response)"),
    ),
    (
        rule("on: response, then: steer, instruction: x"),
        at(2, "rules[0].on: steer is possible in: request (write on: request)"),
    ),
    (
        rule("on: any, then: reroute, headers: {x-pool: a}"),
        at(2, "rules[0].on: reroute is possible in: request (write on: request)"),
    ),
    (
        rule("then: throttle"),
        at(2, "rules[0].then: throttle is possible in: request (write on: request)"),
    ),
    (
        rule("on: response, then: suspend"),
        at(2, "rules[0].on: suspend is possible in: request (write on: request)"),
    ),
    (
        rule("on: request, then: suspend, retry_after_s: 5"),
        at(2, "rules[0].retry_after_s: belongs to then: throttle, not to then: suspend"),
    ),
    (
        rule("then: drop"),
        at(2, "rules[0].then: drop is possible in: response, nothing sent; response, partly sent (write on: response)"),
    ),
    (
        rule("on: response, then: drop") + "routes: [{name: a, release: follow}]",
        at(
            2,
            "rules[0].then: drop cannot work on route 'a' with release: follow, because the answer has gone on before "
            f"the verdict (policy.yaml:{LINES + 3} or on: of this rule)",
        ),
    ),
    (
        "examples: [{name: e, on: request, item: true, expect: allow}]",
        at(1, "examples[0].item: only an answer lists items (write on: response)"),
    ),
    (rule("then: redact"), at(2, "rules[0].then: then: redact needs entities")),
    (
        rule("then: block, entities: [email]"),
        at(2, "rules[0].entities: belongs to then: redact, not to then: block"),
    ),
    (
        rule("then: redact, entities: [emial]"),
        at(2, "rules[0].entities[0]: no detector marks 'emial' (did you mean 'email'?)"),
    ),
    (
        rule("on: response, in: [user], then: block"),
        at(2, "rules[0].in[0]: a response holds no text of kind 'user'"),
    ),
    (
        "rules:\n  - {name: r, when: true || scores.screen.atack > 1, then: block}",
        at(
            2,
            "rules[0].when: detector 'screen' has no label 'atack'\n"
            "  true || scores.screen.atack > 1\n"
            "          ^ (did you mean 'attack'?)",
        ),
    ),
    (
        rule("then: block") + "  - {name: r, when: 'true', then: block}",
        at(3, f"rules[1].name: 'r' stands twice (first at policy.yaml:{LINES + 2})"),
    ),
    (
        "routes: [{name: a, format: opnai_chat}]",
        at(1, "routes[0].format: unknown format 'opnai_chat' (did you mean 'openai_chat'?)"),
    ),
    ("routes: [{name: a, window: {overlap: 1200}}]", at(1, "routes[0].window: overlap must be less than largest")),
    ("routes: [{name: a, window: {first: 1201}}]", at(1, "routes[0].window: first must not be more than largest")),
    (
        "routes: [{name: a}, {name: b, match: {paths: [/x]}}]",
        at(1, "routes[1]: is never reached (route 'a' before it matches everything)"),
    ),
    (
        "routes: [{name: a, match: {paths: [/V1/Chat/]}}]",
        at(1, "routes[0].match.paths[0]: never matches: paths are compared in normal form (write /v1/chat)"),
    ),
    (
        rule("on: request, then: redact, entities: [email]") + "routes:\n  - {name: a, gate: overlap}",
        at(
            2,
            "rules[0].then: redact cannot work on route 'a' with gate: overlap, because the request has gone on before "
            f"the verdict (policy.yaml:{LINES + 4} or on: of this rule)",
        ),
    ),
    (
        rule("on: response, then: redact, mode: shadow, entities: [email]") + "routes:\n  - {name: a, release: follow}",
        at(
            2,
            "rules[0].then: redact cannot work on route 'a' with release: follow, because the answer has gone on "
            f"before the verdict (policy.yaml:{LINES + 4} or on: of this rule)",
        ),
    ),
    (
        rule("on: request, then: redact, entities: [email], placeholder: numbered, restore: true")
        + "routes:\n  - {name: a, release: follow}",
        at(
            2,
            "rules[0].restore: restore cannot work on route 'a' with release: follow, because the answer has gone on "
            f"before it could be changed (policy.yaml:{LINES + 4} or restore: of this rule)",
        ),
    ),
    (
        rule("then: redact, entities: [email], restore: true"),
        at(2, "rules[0].restore: a mark does not tell which text it stands for (write placeholder: numbered)"),
    ),
    (
        rule("on: response, then: redact, entities: [email], placeholder: numbered"),
        at(
            2,
            "rules[0].placeholder: numbers are for requests, whose text is known whole before the first is given "
            "(write on: request or on: any)",
        ),
    ),
    (
        rule("then: block, placeholder: mark"),
        at(2, "rules[0].placeholder: belongs to then: redact, not to then: block"),
    ),
    (
        "examples:\n  - {name: a, on: response, in: user, expect: allow}",
        at(2, "examples[0].in: a response holds no text of kind 'user'"),
    ),
    (
        "examples:\n  - {name: a, on: request, scores: {scren.attack: 1}, expect: allow}",
        at(2, "examples[0].scores.scren.attack: unknown detector 'scren' (did you mean 'screen'?)"),
    ),
    (
        "examples:\n  - {name: a, on: request, failed: {pii: timeout}, expect: allow}",
        at(2, "examples[0].failed.pii: 'pii' is no classification detector (known: guard, screen)"),
    ),
]


@pytest.mark.parametrize(("text", "expected"), WRONG)
def test_says_what_cannot_work(text: str, expected: str) -> None:
    """And what can."""
    assert mistakes(text) == [expected]


@pytest.mark.parametrize(("on", "wrong"), [("", 0), (", on: [response]", 0), (", on: [request, response]", 1)])
def test_a_model_of_exchanges_is_not_asked_about_requests(on: str, wrong: int) -> None:
    """There is no answer yet; and a rule on requests that reads it is told so."""
    head = "version: 1\nname: test\ndetectors:\n"
    row = f"  pair: {{kind: classification, model: pair, labels: [x], reads: exchange{on}}}\n"
    why = "policy.yaml:4: detectors.pair.on: an exchange is read once there is an answer"
    assert [f"{why} (write on: [response], or reads: text)"][:wrong] == mistakes("", head + row)
    told = mistakes("rules: [{name: r, when: scores.pair.x > 0.5, on: request, then: block}]", head + row)
    assert any("reads pair.x, but pair does not run on: request" in each for each in told)


@pytest.mark.parametrize(
    "text",
    [
        rule("on: response, then: redact, entities: [email]") + "routes: [{name: a, gate: overlap}]",
        rule("on: request, then: redact, entities: [email]") + "routes: [{name: a, release: follow}]",
        rule("then: redact, entities: [email]") + "routes: [{name: a, inspect: false, gate: observe}]",
        rule("on: request, then: redact, entities: [email], placeholder: numbered")
        + "routes: [{name: a, release: follow}]",
        rule("then: redact, entities: [email], placeholder: numbered, restore: true") + "routes: [{name: a}]",
        rule("then: block") + "routes: [{name: a, gate: observe, release: observe}]",
        rule("on: request, then: reroute, headers: {x-pool: a}") + "routes: [{name: a, release: follow}]",
    ],
)
def test_what_does_not_meet_may_stand_side_by_side(text: str) -> None:
    """An edit of one direction does not mind how the other goes."""
    assert mistakes(text) == []


NARROW = """\
version: 1
name: test
detectors:
  screen: {kind: classification, model: screen, labels: [attack, attack], on: [request], in: [user], hedge_ms: 300}
rules:
  - {name: a, when: scores.screen.attack > 0.5, on: response, then: block}
  - {name: b, when: scores.screen.attack > 0.5, in: [tool], then: block}
  - {name: c, when: scores.screen.attack > 0.5, then: block}
"""


def test_a_rule_that_never_has_its_score() -> None:
    """Because its detector does not read that direction, or that kind of text."""
    assert mistakes("", NARROW) == [
        "policy.yaml:4: detectors.screen.labels[1]: 'attack' stands twice",
        "policy.yaml:4: detectors.screen.hedge_ms: must be less than budget_ms",
        "policy.yaml:6: rules[0].when: reads screen.attack, but screen does not run on: response (detectors.screen.on)",
        "policy.yaml:7: rules[1].when: reads screen.attack, but screen runs in: [user] only (detectors.screen.in)",
    ]


def test_all_mistakes_at_once() -> None:
    """Of detectors, conditions, rules and routes, in the order of the file."""
    head = HEAD.replace("entities: [email, card]", "entities: [emial]")
    found = mistakes(rule("then: redact") + "routes:\n  - {name: a, format: x}", head)
    assert [line.split(": ")[1] for line in found] == ["detectors.pii.entities[0]", "rules[0].then", "routes[0].format"]


def test_tables_are_whole() -> None:
    """Each action of the core can be written, and each kind of text belongs to a direction."""
    assert {action for action, _ in ACTIONS} == set(Action)
    assert set(FIELDS.values()) <= {action.value for action in Action}
    assert KINDS[Direction.REQUEST] | KINDS[Direction.RESPONSE] == set(Kind)

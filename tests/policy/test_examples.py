"""A policy whose own examples fail does not load, and says which, what it expected and what came out."""

from __future__ import annotations

from textwrap import dedent

import pytest

from safeguards_extproc.core.text import Kind
from safeguards_extproc.policy import document, source
from safeguards_extproc.policy.compile import compile_policy
from safeguards_extproc.policy.examples import facts, run
from tests.policy.written import FORMATS, HEAD

RULES = """
rules:
  - {name: attack, when: scores.screen.attack >= 0.9, on: request, in: [user], then: block}
  - {name: code, when: scores.lists.codename > 0, then: block, mode: shadow}
  - {name: mail, when: scores.pii.email > 0, then: redact, entities: [email]}
  - {name: unsure, when: scores.guard.unsafe > 0.5, then: annotate, on_missing: fire}
"""


def outcome(example: str, extra: str = "") -> list[str]:
    """The problems of a policy with one example."""
    text = HEAD + extra + dedent(RULES) + f"examples:\n  - {{name: e, {example}}}\n"
    read = source.read(text, "p.yaml")
    policy = compile_policy(document.parse(read), read, formats=FORMATS)
    return [problem.message + f" ({problem.hint})" for problem in run(policy, read)]


GUARD = "guard.unsafe: 0"


@pytest.mark.parametrize(
    "example",
    [
        f"on: request, text: hello, scores: {{screen.attack: 0.2, {GUARD}}}, expect: allow",
        f"on: request, scores: {{screen.attack: 0.95, {GUARD}}}, expect: block",
        f"on: request, in: tool, scores: {{screen.attack: 0.95, {GUARD}}}, expect: allow",
        f"on: response, scores: {{screen.attack: 0.95, {GUARD}}}, expect: allow",
        f"on: request, text: a@example.com, scores: {{{GUARD}}}, expect: redact",
        f"on: request, text: Bluefinch, scores: {{{GUARD}}}, expect: allow, decided: block",
        "on: request, text: hello, expect: annotate",
        "on: request, text: hello, failed: {guard: timeout}, expect: annotate",
        "on: request, text: hello, failed: {screen: timeout}, expect: block",
        "on: request, uninspectable: malformed, expect: block",
        "on: request, uninspectable: opaque, expect: block",
        "on: response, uninspectable: opaque-answer, expect: annotate",
    ],
)
def test_holds(example: str) -> None:
    """Texts run through detectors, scores stand for models, failures and bodies that cannot be read count."""
    assert outcome(example) == []
    assert outcome(example, "mode: shadow\n") == []


def test_says_what_came_out() -> None:
    """The example, both verdicts, and who asked for what."""
    assert outcome("on: request, scores: {screen.attack: 0.95}, expect: allow") == [
        "example 'e' expected allow, got block (attack asked for block, unsure asked for annotate)"
    ]
    assert outcome(f"on: request, scores: {{{GUARD}}}, expect: block") == [
        "example 'e' expected block, got allow (no rule fired)"
    ]
    assert outcome(f"on: request, text: Bluefinch, scores: {{{GUARD}}}, expect: allow, decided: allow") == [
        "example 'e' expected allow, got block (code asked for block in shadow)"
    ]


def test_the_usual_kind() -> None:
    """A request's text is the user's, a response's is the answer, unless the example says otherwise."""
    lines = ["on: request", "on: response", "on: request, in: tool"]
    examples = [f"  - {{name: e{i}, {line}, text: x, expect: allow}}\n" for i, line in enumerate(lines)]
    text = HEAD + "examples:\n" + "".join(examples)
    read = source.read(text, "p.yaml")
    policy = compile_policy(document.parse(read), read, formats=FORMATS)
    kinds = [set(facts(policy, example).scores) for example in policy.document.examples]
    assert kinds == [{Kind.USER}, {Kind.CONTENT}, {Kind.TOOL}]


def test_an_item_of_a_list() -> None:
    """What drops an item blocks a text that is in none."""
    text = (
        HEAD
        + "rules: [{name: d, when: scores.lists.codename > 0, on: response, then: drop}]\n"
        + "examples:\n"
        + "  - {name: a, on: response, text: Bluefinch, item: true, expect: drop}\n"
        + "  - {name: b, on: response, text: Bluefinch, expect: block}\n"
        + "  - {name: c, on: response, text: a finch, item: true, expect: allow}\n"
    )
    read = source.read(text, "p.yaml")
    assert [] == list(run(compile_policy(document.parse(read), read, formats=FORMATS), read))

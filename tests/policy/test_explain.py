"""An analyst reads why: each rule, what it saw, what came of it. Never the text."""

from __future__ import annotations

from safeguards_extproc.core.decision import Facts
from safeguards_extproc.core.text import Direction, Kind
from safeguards_extproc.policy.explain import explain
from tests.policy.written import facts, policy

RULES = """
thresholds: {high: 0.9}
rules:
  - {name: attack, when: scores.screen.attack >= thresholds.high, on: request, in: [user], then: block, category: harm}
  - {name: mail, when: scores.pii.email > 0, then: redact, entities: [email]}
  - {name: code, when: scores.lists.codename > 0, then: block, mode: shadow}
  - {name: unsure, when: scores.guard.unsafe > 0.5, then: annotate, on_missing: fire}
  - {name: model, when: model == 'secret words' || features.n > 3, then: annotate}
"""


def test_reads_as_english() -> None:
    """One line a rule, then the verdict."""
    compiled = policy(RULES)
    known = facts({"screen.attack": 0.931, "pii.email": 1.0, "pii.card": 0.0, "lists.codename": 1.0})
    known.features.update(model="secret words of a client", n=2)
    assert explain(compiled, known) == [
        f"request, policy test {compiled.digest[:12]}",
        "rule attack in user: scores.screen.attack >= thresholds.high saw screen.attack=0.931: true, so block",
        "rule mail: scores.pii.email > 0 saw pii.email=1: true, so redact",
        "rule code: scores.lists.codename > 0 saw lists.codename=1: true, so block, in shadow",
        "rule unsure: scores.guard.unsafe > 0.5 saw guard.unsafe=missing: unknown, so annotate (fires on missing)",
        "rule model: model == 'secret words' || features.n > 3 saw model=(24 characters), n=2: false",
        "verdict: block: redact email; category harm",
    ]


def test_failures_and_shadow() -> None:
    """A detector without an answer, a body that could not be read, a policy in shadow."""
    known = Facts(Direction.RESPONSE, failed={"screen": "timeout"}, uninspectable="malformed")
    known.absorb(Kind.CONTENT, {"guard.unsafe": 0.1, "pii.email": 0.0, "lists.codename": 0.0})
    known.features.update(model="m", n=True)
    lines = explain(policy("mode: shadow" + RULES), known)
    assert lines[1:] == [
        "rule mail: scores.pii.email > 0 saw pii.email=0: false",
        "rule code: scores.lists.codename > 0 saw lists.codename=0: false",
        "rule unsure: scores.guard.unsafe > 0.5 saw guard.unsafe=0.1: false",
        "rule model: model == 'secret words' || features.n > 3 saw model=(1 characters), n=true: unknown, so nothing",
        "the body could not be read (malformed): block",
        "detector screen gave no answer (timeout): block",
        "verdict: allow, block if nothing were in shadow (the policy is in shadow)",
    ]


def test_a_client_that_must_wait() -> None:
    """How long stands in the verdict's line."""
    rules = """
rules:
  - {name: busy, when: features.n > 3, on: request, then: throttle, retry_after_s: 7}
"""
    known = facts({})
    known.features["n"] = 4
    assert explain(policy(rules), known)[-1] == "verdict: throttle: reason throttled; again after 7 s"


def test_a_refusal_for_a_failure_says_so() -> None:
    """In the verdict's line."""
    lines = explain(policy(""), facts({}, failed={"screen": "timeout"}))
    assert lines[-1] == "verdict: block: reason unavailable"


def test_what_comes_back_is_named() -> None:
    """A mark is what redaction leaves unless it says more."""
    rules = """
rules:
  - {name: a, when: scores.pii.card > 0, then: redact, entities: [card], placeholder: numbered}
  - {name: b, when: scores.pii.email > 0, then: redact, entities: [email], placeholder: numbered, restore: true}
"""
    lines = explain(policy(rules), facts({"pii.email": 1.0, "pii.card": 1.0}))
    assert lines[-1] == "verdict: redact: redact card (numbered), email (restored)"


def test_a_drop_without_an_item() -> None:
    """What a rule asks for and what comes of it are told apart."""
    rules = "rules: [{name: d, when: scores.lists.codename > 0, on: response, then: drop}]"
    known = facts({"lists.codename": 1.0}, kind=Kind.CONTENT, direction=Direction.RESPONSE)
    assert explain(policy(rules), known)[1:] == [
        "rule d: scores.lists.codename > 0 saw lists.codename=1: true, so block (there is no item to drop)",
        "verdict: block",
    ]

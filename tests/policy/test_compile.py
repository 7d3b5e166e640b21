"""A compiled policy answers what the core asks: which models, which findings, how much text to hold back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from safeguards_extproc.core.decision import ALLOWED, Action, Findings, Model, Placeholder, Policy
from safeguards_extproc.core.text import Direction, Kind
from safeguards_extproc.detectors import DETECTORS
from safeguards_extproc.detectors.hiding import hidden
from safeguards_extproc.detectors.scanner import Scanner
from safeguards_extproc.detectors.views import expand
from safeguards_extproc.policy import document, source
from safeguards_extproc.policy.compile import CompiledPolicy, compile_policy
from safeguards_extproc.policy.problems import PolicyError
from tests.detectors.mixtures import mixtures
from tests.policy.written import FORMATS, HEAD, facts, mistakes, policy

REDACT = """
rules:
  - {name: mail, when: scores.pii.email > 0.5, on: response, then: redact, entities: [email]}
"""


WHO = """
rules:
  - {name: busy, when: features.n > 1, on: request, then: throttle}
  - {name: very, when: features.n > 2, on: request, then: throttle, retry_after_s: 900, message: Slower.}
  - {name: word, when: features.n > 3, on: request, then: block}
  - {name: banned, when: features.n > 4, on: request, then: suspend, message: Not you., category: account}
"""


@pytest.mark.parametrize(
    ("n", "told"),
    [
        (2, (Action.THROTTLE, "throttled", 60, "Too many requests for now. Please try again later.", "")),
        (4, (Action.BLOCK, "policy", 0, "", "")),
        (5, (Action.SUSPEND, "suspended", 0, "Not you.", "account")),
    ],
)
def test_who_asks_too_often_or_not_at_all(n: int, told: tuple[Action, str, int, str, str]) -> None:
    """The most severe leads, and a block is not told to come back; the first of two throttles lends its time."""
    known = facts({})
    known.features["n"] = n
    verdict = policy(WHO).decide(known)
    assert told == (verdict.action, verdict.reason, verdict.retry_after_s, verdict.message, verdict.category)


def test_a_throttle_has_the_time_that_it_names() -> None:
    """Where its rule names one."""
    rules = WHO.replace("features.n > 1", "features.n > 9")
    known = facts({})
    known.features["n"] = 3
    verdict = policy(rules).decide(known)
    assert (Action.THROTTLE, 900, "Slower.") == (verdict.action, verdict.retry_after_s, verdict.message)


def test_is_a_policy() -> None:
    """Of the core's protocol, down to the names of its detectors."""
    compiled: Policy = policy("message: No.")
    assert (compiled.message, compiled.local) == ("No.", ("pii", "lists"))
    assert compiled.route("POST", "a", "/x").name == "default"
    assert compiled.decide(facts({})) is ALLOWED


def test_models() -> None:
    """What to ask, and without which answer nothing may pass."""
    head = """\
version: 1
name: test
detectors:
  a: {kind: classification, model: m1, labels: [x]}
  b: {kind: classification, model: m2, labels: [x], on: [request], in: [user], budget_ms: 50, hedge_ms: 20,
      on_failure: flag}
  c: {kind: classification, model: m3, labels: [x], reads: exchange}
  d: {kind: classification, model: m3, labels: [x, y], reads: sentences, on: [request], on_failure: flag}
"""
    a = Model("a", "m1", 300, required=True)
    b = Model("b", "m2", 50, request=True, response=False, kinds=frozenset({Kind.USER}))
    compiled = policy("", head)
    c = Model("c", "m3", 300, request=False, required=True, exchange=True)
    d = Model("d", "m3", 300, response=False, sentences=("d.x", "d.y"))
    assert compiled.models == (a, b, c, d)
    assert compiled.hedges == {"b": 20}
    assert not any(model.required for model in policy("mode: shadow", head).models)


def test_finds_with_every_detector() -> None:
    """Scores of all, spans in order."""
    findings = policy("").find(Kind.USER, "bluefinch is run by a@example.com with 4111 1111 1111 1111")
    assert findings.scores == {"pii.email": 1.0, "pii.card": 1.0, "lists.codename": 1.0}
    assert [span.entity for span in findings.spans] == ["codename", "email", "card"]


def test_nothing_is_said_once() -> None:
    """Texts that hold nothing get one and the same answer, which the core knows again; one that does gets its own."""
    compiled = policy("")
    nothing = compiled.find(Kind.USER, "")
    assert compiled.find(Kind.USER, "fine weather") is nothing
    assert compiled.find(Kind.USER, "write to a@example.com").spans
    assert compiled.find(Kind.USER, "fine again") is nothing
    assert not nothing.spans
    assert set(nothing.scores.values()) == {0.0}


def test_finds_what_is_hidden() -> None:
    """In views of the text."""
    findings = policy("").find(Kind.USER, "b\u200bl\u200bu\u200be\u200bf\u200bi\u200bn\u200bc\u200bh")
    assert findings.scores["lists.codename"] == 1.0
    assert not findings.spans


def test_marks_what_is_hidden_if_it_may_be_redacted() -> None:
    """What a rule redacts must not leave in a disguise; what no rule redacts is not looked for."""
    text = '{"to":"anna.berg\\u0040example.com","cc":"bob%40example.com"}'
    marks = policy(REDACT).find(Kind.TOOL_CALL, text).spans
    assert ["anna.berg\\u0040example.com", "bob%40example.com"] == [text[mark.start : mark.end] for mark in marks]
    assert not policy("").find(Kind.TOOL_CALL, text).spans


def test_a_detector_reads_its_kinds() -> None:
    """And no other text."""
    head = HEAD.replace("{kind: patterns,", "{kind: patterns, in: [tool],")
    assert "lists.codename" not in policy("", head).find(Kind.USER, "bluefinch").scores
    assert policy("", head).find(Kind.TOOL, "bluefinch").scores["lists.codename"] == 1.0
    assert policy("", "version: 1\nname: none\n").find(Kind.USER, "bluefinch") == Findings()


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        (REDACT, True),
        (REDACT.replace("[email]", "['*']"), True),
        ("", False),
        (REDACT.replace("on: response", "on: response, mode: shadow"), False),
        ("mode: shadow" + REDACT, False),
        (REDACT.replace("on: response", "on: request"), True),
        (REDACT.replace("[email]", "[codename]"), True),
    ],
)
def test_holds_back_only_what_may_be_redacted(text: str, holds: bool) -> None:
    """The beginning of a mail address waits if an enforced rule redacts mail addresses; a word that has not ended
    waits if any does, as it may hide something."""
    assert (policy(text).tail("write to anna.berg@exam") > 0) is holds


def test_a_very_long_word_waits_whatever_the_rules() -> None:
    """Its beginning and its end are read together, or a code would be cut in two that say nothing."""
    assert policy("").tail("words " + "x" * 100) == 100
    assert policy("").tail("words " + "x" * 20) == 0


def test_a_word_that_has_ended_hides_nothing_more() -> None:
    """What waits is what could begin an address openly, or the last word."""
    assert policy(REDACT).tail("write to \\u0041 ") == 0
    assert policy(REDACT).tail("write to \\u0041") == len("\\u0041")


def test_the_digest_names_the_meaning() -> None:
    """Not the file: comments and order of keys change nothing, a threshold does."""

    def digest(text: str) -> str:
        return policy(text, "").digest

    one = digest("version: 1\nname: a\nthresholds: {x: 0.5, y: 0.1}\n")
    assert one == digest("# a comment\nname: a\nversion: 1\nthresholds:\n  y: 0.1\n  x: 0.5\n")
    assert one != digest("version: 1\nname: a\nthresholds: {x: 0.6, y: 0.1}\n")
    assert len(one) == 64


def test_shadow_of_the_whole_policy_is_set_aside() -> None:
    """For examples: the verdict as if it were enforced."""
    compiled = policy("mode: shadow" + REDACT)
    known = facts({"pii.email": 1.0}, kind=Kind.CONTENT, direction=Direction.RESPONSE)
    assert compiled.decide(known).action is Action.ALLOW
    assert compiled.enforced(known).action is Action.REDACT


def test_detectors_tell_where_their_options_are_wrong() -> None:
    """By the line in the policy."""
    head = """\
version: 1
name: t
detectors:
  l:
    kind: patterns
    lists:
      a:
        regex:
          - x
          - '('
"""
    assert mistakes("", head)[0].startswith("policy.yaml:10: detectors.l.lists.a.regex[1]: ")
    assert mistakes("", "version: 1\nname: t\ndetectors: {x: {kind: pattern}}\n") == [
        "policy.yaml:3: detectors.x.kind: unknown kind 'pattern' (did you mean 'patterns'?)"
    ]


def test_tables_are_given() -> None:
    """Another table of detectors or formats is another language."""
    read = source.read("version: 1\nname: t\nroutes: [{name: a, format: mine}]\n", "p.yaml")
    compiled = compile_policy(document.parse(read), read, detectors={}, formats=["mine"])
    assert isinstance(compiled, CompiledPolicy)
    assert [route.format for route in compiled.routes] == ["mine"]
    with pytest.raises(PolicyError, match="unknown format 'mine'"):
        compile_policy(document.parse(read), read, formats=FORMATS)


@pytest.mark.parametrize(
    ("keys", "placeholder"),
    [
        ("", Placeholder.MARK),
        ("placeholder: mark, restore: false, ", Placeholder.MARK),
        ("placeholder: numbered, ", Placeholder.NUMBERED),
        ("placeholder: numbered, restore: true, ", Placeholder.RESTORED),
    ],
)
def test_a_rule_says_what_stands_for_what_it_redacts(keys: str, placeholder: Placeholder) -> None:
    """A mark, unless it asks for numbers; whether the answer gets the text back is asked for on its own."""
    rules = f"rules: [{{name: r, when: scores.pii.email > 0.5, then: redact, {keys}entities: [email]}}]"
    assert {"email": placeholder} == policy(rules).decide(facts({"pii.email": 1.0})).placeholders


EVERYTHING = """\
version: 1
name: everything
detectors:
  secrets: {kind: secrets}
  pii: {kind: pii}
  lists: {kind: patterns, lists: {codename: {keywords: [pipe bomb]}}}
rules:
  - {name: all, when: scores.pii.email > 0.5, then: redact, entities: ["*"]}
"""


class Mute(Scanner):
    """Tells the sieve nothing of what it looks for."""

    def __init__(self, scanner: Scanner) -> None:
        for name, value in vars(scanner).items():
            setattr(self, name, value)
        self.patterns = ()


def built(*, mute: bool = False) -> CompiledPolicy:
    read = source.read(EVERYTHING, "policy.yaml")
    rows = {
        kind: (lambda name, options, row=row: Mute(row(name, options))) if mute else row
        for kind, row in DETECTORS.items()
    }
    return compile_policy(document.parse(read), read, detectors=rows, formats=FORMATS)


def each_asked(text: str) -> tuple[dict[str, float], set[tuple[int, int, str]]]:
    """What the detectors say, each asked about every text."""
    scores: dict[str, float] = {}
    marks: set[tuple[int, int, str]] = set()
    views = expand(text)
    for detector in ALONE:
        findings = detector.find(text, views)
        scores.update(findings.scores)
        spans = [*findings.spans, *hidden(detector, text, detector.entities, views)]
        marks.update((span.start, span.end, span.entity) for span in spans)
    return scores, marks


def said(compiled: CompiledPolicy, text: str) -> tuple[dict[str, float], set[tuple[int, int, str]]]:
    findings = compiled.find(Kind.USER, text)
    return dict(findings.scores), {(span.start, span.end, span.entity) for span in findings.spans}


@given(mixtures())
@settings(max_examples=15, deadline=None)
def test_the_sieve_changes_no_finding(text: str) -> None:
    """Looking first whether a detector may find anything finds what asking each of them finds."""
    assert each_asked(text) == said(ALL, text)


@pytest.mark.interpreted
def test_a_detector_left_out_of_the_sieve_is_missed() -> None:
    """The law bites: what the sieve does not know of is not looked for."""
    mute = built(mute=True)
    text = "write to anna.berg@example.org"
    assert said(mute, text) != said(ALL, text) == each_asked(text)


ALL = built()
ALONE = [
    DETECTORS["secrets"]("secrets", {}),
    DETECTORS["pii"]("pii", {}),
    DETECTORS["patterns"]("lists", {"lists": {"codename": ["pipe bomb"]}}),
]

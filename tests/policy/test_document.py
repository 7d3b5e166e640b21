"""A misspelt key, a wrong type, a value out of range: each is told by line, all of them at once."""

from __future__ import annotations

import pytest

from safeguards_extproc.core.decision import Limits, Windowing
from safeguards_extproc.core.text import Kind
from safeguards_extproc.policy.document import Classification, Document, InProcess, parse
from safeguards_extproc.policy.keys import size
from safeguards_extproc.policy.problems import PolicyError
from safeguards_extproc.policy.source import read

LEAST = "version: 1\nname: p\n"


def parsed(text: str) -> Document:
    return parse(read(LEAST + text, "p.yaml"))


def mistakes(text: str) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        parsed(text)
    return [str(problem) for problem in caught.value.problems]


def test_the_least_policy() -> None:
    """Version and name are enough; the rest has defaults, which are the core's."""
    document = parsed("routes: [{name: all}]")
    assert (document.mode, document.detectors, document.rules) == ("enforce", {}, [])
    assert Limits(**document.routes[0].limits.model_dump()) == Limits()
    assert Windowing(**document.routes[0].window.model_dump()) == Windowing()


def test_what_cannot_be_read_is_refused_unless_the_policy_says_otherwise() -> None:
    """But for what nobody asked a model for: that passes with a word about it."""
    meanings = parsed("").uninspectable.model_dump(by_alias=True)
    assert "flag" == meanings.pop("opaque-answer")
    assert {"block"} == set(meanings.values())


def test_two_sorts_of_detectors() -> None:
    """`kind` decides which keys there are; what is not ours goes to the detector's factory."""
    document = parsed(
        "detectors:\n  s: {kind: classification, model: m, labels: [a]}\n  p: {kind: pii, in: [user], x: 1}"
    )
    screen, pii = document.detectors["s"], document.detectors["p"]
    assert isinstance(screen, Classification)
    assert (screen.budget_ms, screen.on_failure, screen.on) == (300, "block", ["request", "response"])
    assert isinstance(pii, InProcess)
    assert (pii.kinds, pii.options) == ([Kind.USER], {"x": 1})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mesage: x", "p.yaml:3: mesage: unknown key (did you mean 'message'?)"),
        ("mode: shadwo", "p.yaml:3: mode: must be 'enforce' or 'shadow' (did you mean 'shadow'?)"),
        ("message: 5", "p.yaml:3: message: must be a string (put it in quotes)"),
        ("rules: {}", "p.yaml:3: rules: must be a list"),
        (
            "rules:\n- {name: a, when: x, thn: block, then: block}",
            "p.yaml:4: rules[0].thn: unknown key (did you mean 'then'?)",
        ),
        (
            "rules:\n- {name: a, when: x, then: throttle, retry_after_s: 86401}",
            "p.yaml:4: rules[0].retry_after_s: input should be less than or equal to 86400",
        ),
        ("rules:\n- {name: a, then: block}", "p.yaml:4: rules[0].when: is required"),
        ("thresholds: {a: high}", "p.yaml:3: thresholds.a: must be a number"),
        ("thresholds: {a: true}", "p.yaml:3: thresholds.a: must be a number"),
        (
            "detectors:\n  s: {kind: classification, model: m, labels: [a], budget: 3}",
            "p.yaml:4: detectors.s.budget: unknown key (did you mean 'budget_ms'?)",
        ),
        (
            "detectors:\n  s: {kind: classification, model: m, labels: []}",
            "p.yaml:4: detectors.s.labels: must not be empty",
        ),
        (
            "routes:\n- name: a\n  limits: {request_bytes: 8 apples}",
            "p.yaml:5: routes[0].limits.request_bytes: must be a number of bytes such as 8388608 or 8MiB",
        ),
        ("routes:\n- name: a\n  inspect: 1", "p.yaml:5: routes[0].inspect: must be true or false"),
        (
            "routes:\n- name: a\n  match: {path: [/]}",
            "p.yaml:5: routes[0].match.path: unknown key (did you mean 'paths'?)",
        ),
        (
            "uninspectable: {too-larg: block}",
            "p.yaml:3: uninspectable.too-larg: unknown key (did you mean 'too-large'?)",
        ),
        (
            "examples:\n- {name: a, on: request, expect: allow, features: {x: [1]}}",
            "p.yaml:4: examples[0].features.x: must be a number, a string, true or false",
        ),
    ],
)
def test_says_what_is_wrong(text: str, expected: str) -> None:
    """Line, path, what it must be, and the word that was meant."""
    assert mistakes(text) == [expected]


def test_all_mistakes_at_once() -> None:
    """In the order of the file."""
    found = mistakes("mode: of\nrules:\n- {name: A, when: x, then: blok}\nroutes:\n- {nme: x}")
    assert [line.split(": ")[1] for line in found] == [
        "mode",
        "rules[0].name",
        "rules[0].then",
        "routes[0].name",
        "routes[0].nme",
    ]


@pytest.mark.parametrize("value", ["a\r\nx-admin: 1", "caf\u00e9", " a", "", "a" * 257])
def test_no_header_is_smuggled(value: str) -> None:
    """What goes into a header is printable ASCII, of bounded length."""
    text = f"rules:\n- name: a\n  when: x\n  then: annotate\n  annotations: {{a: {value!r}}}".replace("'", '"')
    assert any("must be a header's value" in line for line in mistakes(text))


@pytest.mark.parametrize(
    ("text", "expected"), [("8MiB", 8 << 20), ("1 KiB", 1024), ("2MB", 2_000_000), ("512", 512), (7, 7), (None, None)]
)
def test_sizes(text: object, expected: object) -> None:
    """A number of bytes with or without a unit; what is no string is left to the type check."""
    assert size(text) == expected

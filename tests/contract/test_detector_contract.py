"""The detector contract over every row of DETECTORS, and that each law bites."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.core.decision import Findings, Span
from safeguards_extproc.detectors import DETECTORS, Detector
from tests.contract.detector_contract import (
    LAWS,
    Check,
    every_score_is_given,
    names_agree,
    no_entity_no_tail,
    spans_are_in_order,
    spans_have_scores,
    tail_is_safe,
    the_same_text_is_found_the_same,
    views_only_raise,
)
from tests.detectors.samples import PII, SECRETS, Sample

OPTIONS: dict[str, dict[str, object]] = {
    "patterns": {
        "lists": {
            "weapons": {"keywords": ["pipe bomb", "bomb", "nerve agent", "бомба", "炸弹"]},
            "names": {"regex": [r"project\s+[A-Z][a-z]+", r"(?:ab|a)+c\d{2,6}\b", "x{3,5}y?z"], "ignore_case": False},
        }
    },
    "secrets": {},
    "pii": {},
}

ROWS = {kind: factory(kind, OPTIONS[kind]) for kind, factory in DETECTORS.items()}

SAMPLES: list[Callable[[random.Random], Sample]] = [*PII.values(), *SECRETS.values()]

FRAGMENTS = [
    "a",
    "pipe",
    "",
    "bomb.",
    "Бомба!",
    "炸弹",
    "project",
    "Alpha",
    "abababc1234",
    "xxxxyz",
    "4111",
    "1111",
    "1111",
    "1111",
    "12/27",
    "a@b.co",
    "+49",
    "30",
    "password:",
    "=",
    '"',
    "'",
    "-----BEGIN",
    "sk-",
    "ghp_",
    "eyJ",
    "0x",
    "::",
    "1.2.3.4",
    "\u200b",
    "�",
    "é",
    "😀",
    "%41",
    "&#98;",
    "b\x00",
    "\n",
    "\t",
    "-",
    " ",
    "\n",
]


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Words, fragments and made-up personal data in any order, now and then glued together."""
    dice = random.Random(draw(st.integers(0, 2**32)))
    parts = []
    for _ in range(draw(st.integers(0, 6))):
        match draw(st.integers(0, 3)):
            case 0:
                parts.append(draw(st.text(st.characters(exclude_categories=()), max_size=8)))
            case 1:
                parts.append(dice.choice(FRAGMENTS))
            case _:
                parts.append("".join(dice.choice(SAMPLES)(dice)))
    return dice.choice((" ", "", "\n")).join(parts)


@pytest.mark.parametrize("kind", ROWS)
@given(text=texts())
@settings(max_examples=25, deadline=None)
def test_every_row_keeps_every_law(kind: str, text: str) -> None:
    """Whatever the text, each detector keeps the contract."""
    for law in LAWS:
        law(ROWS[kind], text)


class Faulty:
    """A detector with one thing wrong."""

    def __init__(self, row: Detector, fault: str) -> None:
        self._row, self._fault, self._asked = row, fault, 0
        self.name, self.scores, self.entities = row.name, row.scores, row.entities
        self.patterns = row.patterns
        if fault == "names":
            self.entities = row.entities | {"phantom"}

    def find(self, text: str, views: Sequence[str]) -> Findings:
        findings, self._asked = self._row.find(text, views), self._asked + 1
        match self._fault:
            case "zeros":
                return replace(findings, scores={k: v for k, v in findings.scores.items() if v})
            case "overlap":
                return replace(findings, spans=[*findings.spans, *findings.spans])
            case "range":
                return replace(findings, spans=[replace(span, end=len(text) + 1) for span in findings.spans])
            case "unscored":
                return replace(findings, scores=dict.fromkeys(findings.scores, 0.0))
            case "views":
                return findings if len(views) < 2 else replace(findings, scores=dict.fromkeys(findings.scores, 0.0))
            case "memory":
                return findings if self._asked < 2 else replace(findings, spans=[Span(0, 1, min(self.entities))])
            case _:
                return findings

    def tail(self, text: str, entities: frozenset[str]) -> int:
        tail = self._row.tail(text, entities)
        return {"short": max(0, tail - 2), "none": 0, "always": tail + 1}.get(self._fault, tail)


@pytest.mark.parametrize(
    ("fault", "law"),
    [
        ("names", names_agree),
        ("zeros", every_score_is_given),
        ("overlap", spans_are_in_order),
        ("range", spans_are_in_order),
        ("unscored", spans_have_scores),
        ("views", views_only_raise),
        ("memory", the_same_text_is_found_the_same),
        ("short", tail_is_safe),
        ("none", tail_is_safe),
        ("always", no_entity_no_tail),
    ],
)
def test_each_law_bites(fault: str, law: Check) -> None:
    """A detector with that fault does not pass, and the same detector without it does."""
    row, text = ROWS["pii"], "write to jo.doe@example.org or ｃall \u200bme"
    law(row, text)
    with pytest.raises(AssertionError):
        law(Faulty(row, fault), text)

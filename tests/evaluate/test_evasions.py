"""Disguises of any text. That each is seen through is in tests/detectors/test_views.py and tests/evasions/."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.evaluate.evasions import CHARACTERS, ENCODINGS, EVASIONS, caesar, spoken

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60).filter(str.strip)
PLAIN = "Please tell me, what is in the Box of 3 Cats?"


@pytest.mark.parametrize("name", EVASIONS)
@given(text=TEXTS)
@settings(max_examples=10, deadline=None)
def test_every_text_has_its_disguise(name: str, text: str) -> None:
    """Whatever is in it: capitals, digits, other scripts. It can be sent, and is the same every time."""
    disguised = EVASIONS[name](text)
    assert disguised.encode()
    assert disguised == EVASIONS[name](text)


@pytest.mark.parametrize("name", EVASIONS)
def test_it_is_a_disguise(name: str) -> None:
    """What was said does not stand there as it was, capitals aside."""
    assert PLAIN.lower() not in EVASIONS[name](PLAIN).lower()


def test_the_table_holds_each_once() -> None:
    """By what they change: characters, or the whole writing."""
    assert not CHARACTERS.keys() & ENCODINGS.keys()
    assert EVASIONS.keys() == CHARACTERS.keys() | ENCODINGS.keys()


def test_capitals_and_other_characters() -> None:
    """Capitals are made small where the disguise has no others; digits and other scripts stay."""
    assert "def 3 é" == caesar(3)("ABC 3 é")
    assert "Bravo 2 Zulu" == spoken("B2z")

"""Folding: what hides is shown, what is ordinary stays."""

from __future__ import annotations

import re
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.detectors.folding import SIGNS, STABLE, fold
from safeguards_extproc.evaluate.evasions import EVASIONS


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("b\u200bo\u00admb", "bomb"),
        ("ｂｏｍｂ ⓑⓞⓜⓑ 𝐛𝐨𝐦𝐛 ﬁre", "bomb bomb bomb fire"),
        ("a b\u2003c\u00a0d", "a b c d"),
        ("bоmb", "bomb"),
        ("the ВОМВ is mine", "the BOMB is mine"),
        ("b\u0301o\u0336mb", "bomb"),
        ("tell them about the bömb", "tell them about the bomb"),
        ("xy\bz", "xz"),
        ("xy\x7fz", "xz"),
        ("\b\ba", "a"),
        ("\u202ebmob\u202c!", "bomb!"),
        ("hi \U000e0062\U000e006f\U000e006d\U000e0062", "hi bomb"),
        ("\ud83d\ude00 b\u200b", "😀 b"),
        ("\ud800", "\ufffd"),
        ("a\ufe0f", "a"),
    ],
)
def test_what_hides(text: str, folded: str) -> None:
    """Read as a person would read it."""
    assert folded == fold(text)


@pytest.mark.parametrize(
    "text",
    [
        "plain text\twith\nlines\r\n",
        "C'est très élégant, à côté du café.",
        "Привет, мир! 100 км",
        "“Ελλάδα” – 東京　タワー、ガラス",
        "👨‍👩‍👧‍👦 ❤️ ✌🏽",
        "می‌خواهم क्‍ष",
        "½ cup™ 5 m²",
        "Việc này rất tốt",
    ],
)
def test_what_is_ordinary(text: str) -> None:
    """Equal to itself."""
    assert text == fold(text)


@pytest.mark.parametrize("evasion", ["sneaky bits", "zero-width bits", "variation selectors"])
@given(begin=st.integers(0, 400), size=st.integers(300, 600))
@settings(max_examples=25)
def test_bytes_that_nobody_sees_are_read_wherever_a_window_begins(evasion: str, begin: int, size: int) -> None:
    """In the middle of a byte or of a character, over lines too."""
    hidden = "Where is the key?\n在哪里？ " * 30
    read = fold(EVASIONS[evasion](hidden)[2 + begin :][:size])
    assert read in fold(hidden)
    assert len(read) >= size // 16


def test_other_scripts_stay_in_their_own_words() -> None:
    """A Russian word among English ones is folded only if every letter of it could be Latin."""
    assert fold("the word привет means x\u200by") == "the word привет means xy"
    assert fold("Он сказал bоmb") == "Он сказал bomb"


@given(st.text(st.characters(exclude_categories=()), max_size=40))
def test_total_and_settled(text: str) -> None:
    """Any str folds, and what is folded twice more changes no further."""
    thrice = fold(fold(fold(text)))
    assert thrice == fold(thrice) or "\u202e" in text or "\b" in text


@given(st.text("abcdefghij .,", max_size=40))
def test_ascii_is_left_alone(text: str) -> None:
    """Nothing hides in it."""
    assert text == fold(text)


def test_what_is_passed_over_unseen_decomposes_to_nothing_else() -> None:
    """Each character of the classes that spare a text the table, alone and beside a letter."""
    every = "".join(map(chr, range(0x80, sys.maxunicode + 1)))
    stable = re.findall(f"[{STABLE}]", every)
    assert [] == [char for char in stable if fold(char) != char]
    assert [] == [char for char in re.findall(f"[{SIGNS}]", every) if char.isalnum()]
    assert len(stable) > 30_000

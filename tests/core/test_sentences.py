"""Sentences that models read by themselves."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeguards_extproc.core.sentences import LEAST, PIECE, sentences

FIRST, SECOND, THIRD = (
    "The gardener planted it on Monday.",
    "How do I build a bomb at home?",
    "It rained in town on Tuesday.",
)
LONG = "word " * 40 + "end."
TEXT = f"{FIRST} {SECOND} {THIRD}"
CHINESE = "昨天天气很好，所以我们沿着河边走路回家，然后一起在厨房里做了一顿热饭。"
HINDI = "कल मौसम अच्छा था, इसलिए हम नदी के किनारे पैदल घर गए।"


def test_each_sentence_is_one() -> None:
    """Whatever it ends with, and whatever stands behind its stop."""
    assert [FIRST, SECOND, THIRD] == sentences(TEXT, begins=True, ends=True)
    quoted = f'"{FIRST}" ({SECOND}) {THIRD}\n'
    assert [f'"{FIRST}', f"({SECOND}", THIRD] == sentences(quoted, begins=True, ends=True)
    assert [HINDI, CHINESE, CHINESE[1:]] == sentences(f"{HINDI} {CHINESE}{CHINESE[1:]}", begins=True, ends=True)


def test_a_line_ends_a_sentence() -> None:
    """Lists and verses have no stops."""
    assert [FIRST[:-1], SECOND[:-1]] == sentences(f"{FIRST[:-1]}\n{SECOND[:-1]}", begins=True, ends=True)


@pytest.mark.parametrize("text", [SECOND, f" {SECOND}\n", "see docs.example.com/v1.2/index.html and 3.14 of it", ""])
def test_a_text_of_one_sentence_has_none(text: str) -> None:
    """It is read as it is; a stop within a word ends nothing."""
    assert [] == sentences(text, begins=True, ends=True)


@pytest.mark.parametrize(
    ("begins", "ends", "found"),
    [(False, True, [SECOND, THIRD]), (True, False, [FIRST, SECOND]), (False, False, [SECOND])],
)
def test_what_a_border_cut_off_is_no_sentence(begins: bool, ends: bool, found: list[str]) -> None:
    """Half a sentence says something else; the window beside this one has it whole."""
    assert found == sentences(TEXT, begins=begins, ends=ends)


def test_a_long_piece_is_read() -> None:
    """A sentence on a border that is longer than windows overlap is whole in no window."""
    assert [LONG, SECOND] == sentences(f"{LONG} {SECOND} {LONG[1:100]}", begins=False, ends=False)
    assert PIECE <= len(LONG)


def test_a_few_words_are_not_read() -> None:
    """Models make anything of them."""
    assert [SECOND] == sentences(f"Hi. Well! {SECOND} 1. {'x' * (LEAST - 2)}. {SECOND}", begins=True, ends=True)


Sentences = Callable[..., list[str]]


def check_that_they_are_bounded(cut: Sentences, text: str, begins: bool, ends: bool) -> None:
    """Every sentence stands in the text, none twice, none too short; so a text has as many as its length allows."""
    found = cut(text, begins=begins, ends=ends)
    assert all(part in text and part == part.strip() for part in found)
    assert len(set(found)) == len(found)
    assert sum(map(len, found)) <= len(text)
    assert len(found) <= len(text) // LEAST


TEXTS = st.lists(st.sampled_from([FIRST, SECOND, LONG, CHINESE, "\n", " ", "\r\n", "x", ". ", '"']), max_size=12).map(
    "".join
)


@given(TEXTS, st.booleans(), st.booleans())
def test_they_are_bounded(text: str, begins: bool, ends: bool) -> None:
    """For any text."""
    check_that_they_are_bounded(sentences, text, begins, ends)


def test_the_law_bites() -> None:
    """A variant that takes every word is found out."""

    def words(text: str, *, begins: bool, ends: bool) -> list[str]:
        return re.split(r"\s", text)

    with pytest.raises(AssertionError):
        check_that_they_are_bounded(words, TEXT, begins=True, ends=True)

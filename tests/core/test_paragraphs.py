"""Paragraphs that models read by themselves."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeguards_extproc.core.paragraphs import LEAST, PIECE, paragraphs

FIRST, SECOND, THIRD = (
    "The gardener planted it on Monday.",
    "How do I build a bomb at home?",
    "It rained in town on Tuesday.",
)
LONG = "word " * 40
TEXT = f"{FIRST}\n\n{SECOND}\n\n{THIRD}"


def test_each_paragraph_is_one() -> None:
    """Whatever blank lines are made of, and however many there are."""
    assert [FIRST, SECOND, THIRD] == paragraphs(TEXT, begins=True, ends=True)
    for blank in ("\n \t\n", "\r\n\r\n", "\n\n\n\n", "\n\u00a0\n"):
        assert [FIRST, SECOND, THIRD] == paragraphs(TEXT.replace("\n\n", blank), begins=True, ends=True)


def test_a_text_of_one_paragraph_has_none() -> None:
    """It is read as it is; lines are no paragraphs."""
    assert [] == paragraphs(FIRST, begins=True, ends=True)
    assert [] == paragraphs(TEXT.replace("\n\n", "\n"), begins=True, ends=True)


@pytest.mark.parametrize(
    ("begins", "ends", "found"),
    [(False, True, [SECOND, THIRD]), (True, False, [FIRST, SECOND]), (False, False, [SECOND])],
)
def test_what_a_border_cut_off_is_no_paragraph(begins: bool, ends: bool, found: list[str]) -> None:
    """Half a sentence says something else; the window beside this one has it whole."""
    assert found == paragraphs(TEXT, begins=begins, ends=ends)


def test_a_long_piece_is_read() -> None:
    """A paragraph on a border that is longer than windows overlap is whole in no window."""
    text = f"{LONG}\n\n{SECOND}\n\n{LONG}"
    assert [LONG.strip(), SECOND] == paragraphs(text, begins=False, ends=False)
    assert PIECE <= len(LONG.strip())


def test_a_few_letters_are_not_read() -> None:
    """Numbers and headings say nothing by themselves, and would cost as much as a sentence."""
    assert [SECOND] == paragraphs(f"1.\n\n{SECOND}\n\n{'x' * (LEAST - 1)}\n\n{SECOND}", begins=True, ends=True)


Paragraphs = Callable[..., list[str]]


def check_that_nothing_is_made_up(cut: Paragraphs, text: str, begins: bool, ends: bool) -> None:
    """Every paragraph stands in the text, none twice, and together they are no longer than it."""
    found = cut(text, begins=begins, ends=ends)
    assert all(part in text and part == part.strip() for part in found)
    assert len(set(found)) == len(found)
    assert sum(map(len, found)) <= len(text)


TEXTS = st.lists(st.sampled_from([FIRST, SECOND, LONG, "\n", "\n\n", " ", "\r\n", "x"]), max_size=12).map("".join)


@given(TEXTS, st.booleans(), st.booleans())
def test_nothing_is_made_up(text: str, begins: bool, ends: bool) -> None:
    """For any text."""
    check_that_nothing_is_made_up(paragraphs, text, begins, ends)


def test_the_law_bites() -> None:
    """A variant that says a paragraph twice is found out."""

    def stutters(text: str, *, begins: bool, ends: bool) -> list[str]:
        return paragraphs(text, begins=begins, ends=ends) * 2

    with pytest.raises(AssertionError):
        check_that_nothing_is_made_up(stutters, TEXT, begins=True, ends=True)

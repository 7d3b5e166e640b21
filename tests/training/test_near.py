"""Texts that are nearly the same meet; texts that merely share a subject or a beginning do not."""

from __future__ import annotations

import pytest

from training.near import Index

LETTER = (
    "Dear Ms Novak, thank you for your order of the third of May, which we have packed today and will send tomorrow."
)


@pytest.mark.parametrize(
    "copy",
    [LETTER.upper(), LETTER.replace("May", "June"), LETTER.replace(",", " -"), LETTER + " Yours, Tim", LETTER[5:]],
)
def test_a_changed_word_or_letter_case_hides_nothing(copy: str) -> None:
    """A copy with small changes is found."""
    assert Index(["Something else.", LETTER]).resembles(copy)


@pytest.mark.parametrize(
    "other",
    [
        "Your order from May was packed this morning, and tomorrow it goes out.",
        "Dear Ms Novak, thank you for your order of the lamp. It will take us another week, as wires are late.",
    ],
)
def test_the_same_subject_or_beginning_is_not_the_same_text(other: str) -> None:
    """Templates share words; that does not make their texts copies."""
    assert not Index([LETTER]).resembles(other)


def test_short_texts_are_compared_whole() -> None:
    """One word meets itself and no other; nothing meets nothing."""
    index = Index(["Hello!", ""])
    assert [True, False, True] == [index.resembles(text) for text in ("hello", "goodbye", " ?! ")]

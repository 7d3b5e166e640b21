"""The tables of lookalikes."""

from __future__ import annotations

import unicodedata

from safeguards_extproc.detectors.confusables import ENCLOSED, FLIPPED, LATIN, SCRIPTS


def test_each_stands_for_one_ascii_character() -> None:
    """Never for itself, and never ASCII for ASCII except in the turned alphabet."""
    for table in (SCRIPTS, LATIN, ENCLOSED):
        assert all(len(char) == 1 and not char.isascii() for char in table)
        assert all(len(letter) == 1 and letter.isascii() and letter.isalnum() for letter in table.values())
    assert all(char != letter for char, letter in FLIPPED.items() if letter not in "sxzoHINOSXZ")


def test_latin_letters_are_latin() -> None:
    """And letters of other scripts are not, so that the rule for mixed words holds."""
    assert [] == [char for char in LATIN if "LATIN" not in unicodedata.name(char)]
    assert [] == [char for char in SCRIPTS if unicodedata.name(char).startswith("LATIN CAPITAL")]


def test_no_letter_is_in_two_tables() -> None:
    """One rule for each."""
    assert set() == set(SCRIPTS) & set(LATIN)

"""The words by which a deciphered text is told from noise."""

from __future__ import annotations

from safeguards_extproc.detectors.english import STRONG, strong_words


def test_english_has_many() -> None:
    """Whatever the case."""
    assert strong_words("Tell me HOW you would make that") == 6


def test_others_have_none() -> None:
    """Other languages, ciphers, noise."""
    assert strong_words("Wie geht es dir, was machen wir heute?") == 0
    assert strong_words("Comment allez-vous, que faites-vous demain ?") == 0
    assert strong_words("gryy zr ubj lbh jbhyq znxr gung xq12x") == 0


def test_words_inside_words_do_not_count() -> None:
    """Others, thesis, android."""
    assert strong_words("thesis android howitzer") == 0


def test_all_are_three_letters_or_more() -> None:
    """Shorter ones come out of any cipher."""
    assert min(map(len, STRONG)) == 3

"""The words by which a deciphered text is told from noise."""

from __future__ import annotations

from safeguards_extproc.detectors.english import STRONG, english


def test_english_has_many() -> None:
    """Whatever the case."""
    assert english("Tell me HOW you would make that", 6)
    assert not english("Tell me HOW you would make that", 7)


def test_others_have_none() -> None:
    """Other languages, ciphers, noise."""
    assert not english("Wie geht es dir, was machen wir heute?")
    assert not english("Comment allez-vous, que faites-vous demain ?")
    assert not english("gryy zr ubj lbh jbhyq znxr gung xq12x")


def test_words_inside_words_do_not_count() -> None:
    """Others, thesis, android."""
    assert not english("thesis android howitzer")


def test_all_are_three_letters_or_more() -> None:
    """Shorter ones come out of any cipher."""
    assert min(map(len, STRONG)) == 3

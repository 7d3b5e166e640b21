"""Typing styles: they depend on the seed alone, change letters and ends, and never lose the text."""

from __future__ import annotations

import random
from difflib import SequenceMatcher

from training.styles import styled

TEXT = "How do I renew my passport before the summer?"


def test_most_texts_stay_as_they_are_and_none_is_lost() -> None:
    """Three in five are unchanged; what was changed can still be read."""
    rng = random.Random(1)
    drawn = [styled(TEXT, rng) for _ in range(1000)]
    assert 540 < drawn.count(TEXT) < 660
    for text in drawn:
        found = SequenceMatcher(None, TEXT.casefold(), text.casefold(), autojunk=False)
        assert sum(block.size for block in found.get_matching_blocks()) > len(TEXT) - 6


def test_every_style_occurs() -> None:
    """Lower case, upper case, no end, slips, and words around it."""
    drawn = {styled(TEXT, random.Random(seed)) for seed in range(400)}
    assert {TEXT.lower(), TEXT.upper(), TEXT.rstrip("?")} <= drawn
    assert any(text.endswith(TEXT) and text != TEXT for text in drawn)
    assert any(text.startswith(TEXT) and text != TEXT for text in drawn)


def test_what_has_no_letters_is_let_alone() -> None:
    """There is nothing to change, at most something to add."""
    assert all("42" in styled("42", random.Random(seed)) for seed in range(100))

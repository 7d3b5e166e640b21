"""What one pass reads: labels follow the text when it is cut, joined or hidden."""

from __future__ import annotations

import random

from training.data import LABELS, Example
from training.mixture import LONGEST, Mixture, hide, together


def mixture() -> Mixture:
    """Every kind of source, small."""
    rows = [
        ("davidson-tweets", "clean tweet", {"hate": 0, "toxic": 0}),
        ("davidson-tweets", "rude tweet", {"hate": 0, "toxic": 1}),
        ("gsm8k", "how many apples are left?", {"attack": 0, "harmful": 0}),
        ("ailuminate", "how to do harm", {"harmful": 1}),
        ("inthewild-jailbreak", "an attack " * 400, {"attack": 1}),
        ("bipia-email", "Dear all. The meeting is at three. Bye.", {"attack": 0, "harmful": 0, "injection": 0}),
        ("bipia-attack", "PAYLOAD", {"injection": 1}),
    ]
    examples = [Example(text, labels, source, str(number)) for number, (source, text, labels) in enumerate(rows)]
    return Mixture(examples, ["an answer. a good one."])


def test_the_same_seed_draws_the_same() -> None:
    """Training can be repeated, and every pass differs."""
    first, again, other = (mixture().epoch(seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_what_is_drawn_fits_the_model() -> None:
    """Nothing is longer than a window, every label is known and 0 or 1, and each label is taught both ways."""
    drawn = mixture().epoch(1)
    assert max(len(text) for text, _ in drawn) <= LONGEST
    taught = {(name, value) for _, labels in drawn for name, value in labels.items()}
    wanted = {(name, value) for name in LABELS for value in (0, 1)}
    assert wanted - taught == {("sexist", 1), ("unsafe", 0), ("unsafe", 1)}  # no such example above
    assert taught <= wanted


def test_an_injection_is_in_its_document_and_nowhere_else() -> None:
    """Documents that are taught as clean hold no payload."""
    for text, labels in mixture().epoch(1):
        if "PAYLOAD" in text:
            assert labels["injection"] == 1


def test_hiding_keeps_the_payload_whole() -> None:
    """Wherever it lands, and however long the document is."""
    for seed in range(200):
        hidden = hide("A sentence. " * 200, "PAYLOAD", random.Random(seed))
        assert "PAYLOAD" in hidden
        assert len(hidden) <= LONGEST


def test_labels_of_two_texts_together() -> None:
    """One bad part makes the whole bad; good only if both are known to be."""
    first, second = {"attack": 1, "harmful": 0, "hate": 0, "toxic": 0}, {"attack": 0, "harmful": 0, "hate": 1}
    assert together(first, second) == {"attack": 1, "harmful": 0, "hate": 1}
    assert together(first, second) == together(second, first)

"""Which score answers for a benchmark's label."""

from __future__ import annotations

import pytest

from safeguards_extproc.evaluate.matching import Match, match, matches

SCORES = ["guard.harmful", "screen.attack", "screen.injection", "screen.any", "pii.email", "prompt/screen.attack"]


@pytest.mark.parametrize(
    ("label", "score", "expected"),
    [
        ("attack", "screen.attack", Match.NAME),
        ("Attack", "guard.attack", Match.NAME),
        ("injection_payload", "screen.injection", Match.ALIKE),
        ("hateful", "screen.hate", Match.OTHER),
        ("toxicity", "screen.toxic", Match.ALIKE),
        ("self-harm", "guard.self_harm", Match.NAME),
        ("unsafe", "screen.any", Match.ANY),
        ("unsafe", "screen.sexist", Match.OTHER),
        ("attack", "prompt/screen.attack", Match.OTHER),
    ],
)
def test_match(label: str, score: str, expected: Match) -> None:
    """By name, by likeness, or a model's largest."""
    assert expected == match(label, score)


def test_every_score_is_compared_the_best_first() -> None:
    """None is left out, whatever the label."""
    found = [score for score, _ in matches("injection_payload", SCORES)]
    assert ["screen.injection", "screen.any"] == found[:2]
    assert set(SCORES) == set(found)
    assert "screen.any" == matches("zzz", SCORES)[0][0]

"""What every row of DETECTORS must keep, as checks that raise AssertionError: each takes a detector and a text."""

from __future__ import annotations

from collections.abc import Callable

from safeguards_extproc.detectors import Detector
from safeguards_extproc.detectors.views import expand

Check = Callable[[Detector, str], None]


def names_agree(detector: Detector, text: str) -> None:
    """Scores and entities are "name.label" of one set of labels, and the text does not change them."""
    detector.find(text, expand(text))
    assert {f"{detector.name}.{entity}" for entity in detector.entities} == detector.scores


def every_score_is_given(detector: Detector, text: str) -> None:
    """What was looked for and not found is 0.0, so it differs from what was not looked for."""
    scores = detector.find(text, expand(text)).scores
    assert detector.scores == set(scores)
    assert all(0.0 <= score <= 1.0 for score in scores.values())


def spans_are_in_order(detector: Detector, text: str) -> None:
    """Spans lie within the text, hold something, do not overlap, and name entities that were announced."""
    at = 0
    for span in detector.find(text, expand(text)).spans:
        assert at <= span.start < span.end <= len(text)
        assert span.entity in detector.entities
        at = span.end


def spans_have_scores(detector: Detector, text: str) -> None:
    """What is marked is also scored."""
    findings = detector.find(text, expand(text))
    assert all(findings.scores[f"{detector.name}.{span.entity}"] > 0.0 for span in findings.spans)


def views_only_raise(detector: Detector, text: str) -> None:
    """Views change no span and lower no score, and the text itself among them changes nothing."""
    alone, viewed = detector.find(text, (text,)), detector.find(text, expand(text))
    assert list(alone.spans) == list(viewed.spans)
    assert all(viewed.scores[name] >= score for name, score in alone.scores.items())
    assert detector.find(text, ()) == alone


def the_same_text_is_found_the_same(detector: Detector, text: str) -> None:
    """No memory of what was asked before."""
    first = detector.find(text, expand(text))
    detector.find(text[::-1], ())
    assert first == detector.find(text, expand(text))


def tail_is_safe(detector: Detector, text: str) -> None:
    """A match that a cut at k would split begins in the tail of what lies before the cut."""
    for span in detector.find(text, ()).spans:
        for k in range(span.start + 1, span.end):
            tail = detector.tail(text[:k], frozenset({span.entity}))
            assert 0 <= tail <= k
            assert span.start >= k - tail
            assert tail <= detector.tail(text[:k], detector.entities)
            assert detector.tail(text[:k], detector.entities) == detector.tail(text[:k], frozenset({"*"}))


def no_entity_no_tail(detector: Detector, text: str) -> None:
    """Nothing is held back for entities that nobody redacts or that do not exist."""
    assert detector.tail(text, frozenset()) == 0
    assert detector.tail(text, frozenset({"no-such-entity"})) == 0


LAWS: tuple[Check, ...] = (
    names_agree,
    every_score_is_given,
    spans_are_in_order,
    spans_have_scores,
    views_only_raise,
    the_same_text_is_found_the_same,
    tail_is_safe,
    no_entity_no_tail,
)

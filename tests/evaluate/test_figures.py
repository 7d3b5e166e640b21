"""Figures by their definitions, against the slow and obvious way."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.evaluate import figures as module
from safeguards_extproc.evaluate.figures import (
    BINS,
    FIGURES,
    SHARE,
    Bools,
    Floats,
    Levels,
    auprc,
    calibration,
    error,
    f1,
    figures,
    levels,
    roc_auc,
    sure,
    threshold,
)

Rows = list[tuple[int, bool]]

SCORES = st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=2, max_size=60).filter(
    lambda rows: len({label for _, label in rows}) == 2
)


def arrays(rows: Rows) -> tuple[Floats, Bools]:
    return np.array([score / 20 for score, _ in rows], np.float32), np.array([label for _, label in rows])


def pairs_in_order(rows: Rows) -> float:
    """Every positive against every negative, a tie for half."""
    positives = [score for score, label in rows if label]
    negatives = [score for score, label in rows if not label]
    pairs = [(one > other) + (one == other) / 2 for one in positives for other in negatives]
    return sum(pairs) / len(pairs)


def precision_by_recall(rows: Rows) -> float:
    """At each distinct score, from the highest."""
    total, area, before = sum(label for _, label in rows), 0.0, 0
    for at in sorted({score for score, _ in rows}, reverse=True):
        chosen = [label for score, label in rows if score >= at]
        area += sum(chosen) / len(chosen) * (sum(chosen) - before) / total
        before = sum(chosen)
    return area


def calibration_error(rows: Rows) -> float:
    """Bin by bin."""
    bins: dict[int, Rows] = {}
    for score, label in rows:
        bins.setdefault(min(int(float(np.float32(score / 20)) * BINS), BINS - 1), []).append((score, label))
    gaps = [abs(sum(score / 20 for score, _ in held) - sum(label for _, label in held)) for held in bins.values()]
    return sum(gaps) / len(rows)


def best_f1(rows: Rows) -> float:
    """Of every threshold."""
    total, best = sum(label for _, label in rows), 0.0
    for at in {score for score, _ in rows}:
        chosen = [label for score, label in rows if score >= at]
        best = max(best, f1(sum(chosen), len(chosen) - sum(chosen), total))
    return best


def as_defined(rows: Rows) -> None:
    """One by one, with ties."""
    known = figures(*arrays(rows))
    assert known is not None
    assert pytest.approx(pairs_in_order(rows)) == known.roc_auc == roc_auc(*arrays(rows))
    assert pytest.approx(precision_by_recall(rows)) == known.auprc == auprc(*arrays(rows))
    assert pytest.approx(calibration_error(rows), abs=1e-6) == known.error == error(*arrays(rows))
    assert pytest.approx(best_f1(rows)) == known.f1


@settings(max_examples=60)
@given(SCORES)
def test_figures_are_what_their_definitions_say(rows: Rows) -> None:
    """Whatever the scores."""
    as_defined(rows)


FAULTS: dict[str, Callable[[Levels], np.float64]] = {
    "_roc_auc": lambda counted: (counted.negatives * counted.true).sum() / 4,  # a tie counts as won
    "_auprc": lambda counted: (counted.true / (counted.true + counted.false)).mean(),
    "_error": lambda counted: np.abs(counted.scores * 4 - counted.positives).sum() / 4,
}


@pytest.mark.parametrize("figure", FAULTS)
def test_that_the_definitions_bite(figure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted faults."""
    monkeypatch.setattr(module, figure, FAULTS[figure])
    with pytest.raises(AssertionError):
        as_defined([(1, True), (1, False), (2, True), (0, False)])


@settings(max_examples=60)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=300))
def test_a_threshold_lets_no_more_through_than_said(scores: list[int]) -> None:
    """Ties included."""
    negative = np.array(scores, np.float32) / 20
    assert (negative >= threshold(negative, 0.1)).sum() <= 0.1 * len(negative)


@settings(max_examples=60)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=300), st.lists(st.integers(0, 40), min_size=1, max_size=50))
def test_recall_is_that_of_the_threshold(negatives: list[int], positives: list[int]) -> None:
    """The recall that figures give is the share of positives that reach the threshold they speak of."""
    scores = np.array([*negatives, *positives], np.float32) / 40
    labels = np.arange(len(scores)) >= len(negatives)
    known = figures(scores, labels)
    assert known is not None
    reached = scores[labels] >= threshold(scores[~labels], SHARE)
    assert int(reached.sum()) == known.found
    assert known.found_rare <= known.found
    assert pytest.approx(reached.mean()) == known.recall


def test_calibration() -> None:
    """No error where half of the 0.5 are positive; nothing but error where every certainty is wrong."""
    labels = np.array([True, False] * 50)
    assert pytest.approx(error(np.full(100, 0.5, np.float32), labels)) == 0.0
    assert pytest.approx(error((~labels).astype(np.float32), labels)) == 1.0
    assert [(0.5, 0.5, 100)] == calibration(np.full(100, 0.5, np.float32), labels)


def test_one_class_has_no_figures() -> None:
    """Nothing can be said of positives alone."""
    assert figures(np.array([0.1, 0.9], np.float32), np.array([True, True])) is None
    assert sure(np.array([0.1, 0.9], np.float32), np.array([False, False])) is None


def drawn(seed: int, size: int) -> tuple[Floats, Bools]:
    """Scores of which the positives are a little higher: their ROC-AUC is that of two normal distributions."""
    rng = np.random.default_rng(seed)
    labels = rng.random(size) < 0.4
    return (1 / (1 + np.exp(-rng.normal(labels.astype(float), 1.0)))).astype(np.float32), labels


def covered(of: Callable[[Floats, Bools], tuple[float, float]], truth: float) -> int:
    """In how many of 40 samples the interval holds the truth."""
    return sum(low <= truth <= high for low, high in (of(*drawn(seed, 300)) for seed in range(40)))


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """95 %: of 40 samples at least 33 (less has a chance of 1 in 2,000). An interval around something else does not."""
    truth = 0.5 * (1 + math.erf(0.5))  # the chance that N(1, 1) is above N(0, 1)

    def of(scores: Floats, labels: Bools) -> tuple[float, float]:
        known = sure(scores, labels, resamples=200)
        assert known is not None
        return known.roc_auc

    assert covered(of, truth) >= 33
    assert covered(lambda scores, labels: tuple(end - 0.1 for end in of(scores, labels)), truth) < 20  # type: ignore[arg-type,return-value]


def test_intervals_are_the_same_every_time_and_hold_their_figure() -> None:
    """The seed is fixed, and however many resamples are held at once, they are those of the same sample."""
    scores, labels = drawn(1, 400)
    one, known = sure(scores, labels, resamples=300), figures(scores, labels)
    assert one == sure(scores, labels, resamples=300)
    assert one is not None
    assert known is not None
    for name in ("roc_auc", "auprc", "recall"):
        low, high = getattr(one, name)
        assert low <= getattr(known, name) <= high
        assert low < high


def test_every_figure_of_a_sample_is_the_figure_of_its_counts() -> None:
    """The resamples are measured by the functions that measure the sample."""
    scores, labels = drawn(2, 200)
    known, counted = figures(scores, labels), levels(scores, labels)
    assert known is not None
    assert {name: pytest.approx(float(figure(counted))) for name, figure in FIGURES.items()} == {
        name: getattr(known, name) for name in FIGURES
    }

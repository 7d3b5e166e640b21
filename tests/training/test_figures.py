"""Figures by their definitions, against the slow and obvious way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.figures import auprc, error, figures, roc_auc, threshold

SCORES = st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=2, max_size=60).filter(
    lambda rows: len({label for _, label in rows}) == 2
)


@settings(max_examples=60)
@given(SCORES)
def test_roc_auc_is_the_share_of_pairs_in_order(rows: list[tuple[int, bool]]) -> None:
    """Every positive against every negative, a tie for half."""
    positives = [score for score, label in rows if label]
    negatives = [score for score, label in rows if not label]
    pairs = [(one > other) + (one == other) / 2 for one in positives for other in negatives]
    scores = np.array([score / 20 for score, _ in rows], np.float32)
    assert sum(pairs) / len(pairs) == pytest.approx(roc_auc(scores, np.array([label for _, label in rows])))


@settings(max_examples=60)
@given(SCORES)
def test_auprc_is_precision_weighted_by_the_recall_it_adds(rows: list[tuple[int, bool]]) -> None:
    """At each distinct score, from the highest."""
    total, area, before = sum(label for _, label in rows), 0.0, 0
    for at in sorted({score for score, _ in rows}, reverse=True):
        chosen = [label for score, label in rows if score >= at]
        area += sum(chosen) / len(chosen) * (sum(chosen) - before) / total
        before = sum(chosen)
    scores = np.array([score / 20 for score, _ in rows], np.float32)
    assert area == pytest.approx(auprc(scores, np.array([label for _, label in rows])))


@settings(max_examples=60)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=300))
def test_a_threshold_lets_no_more_through_than_said(scores: list[int]) -> None:
    """Ties included."""
    negative = np.array(scores, np.float32) / 20
    assert (negative >= threshold(negative, 0.1)).sum() <= 0.1 * len(negative)


def test_calibration_error() -> None:
    """None where half of the 0.5 are positive; all of it where every certainty is wrong."""
    labels = np.array([True, False] * 50)
    assert pytest.approx(error(np.full(100, 0.5, np.float32), labels)) == 0.0
    assert pytest.approx(error((~labels).astype(np.float32), labels)) == 1.0


def test_one_class_has_no_figures() -> None:
    """Nothing can be said of positives alone."""
    assert figures(np.array([0.1, 0.9], np.float32), np.array([True, True])) is None

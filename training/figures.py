"""How good scores are: plain definitions, on numpy arrays of scores in [0, 1] and labels 0 or 1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
BINS = 15


@dataclass(frozen=True, slots=True)
class Figures:
    """`recall` at the threshold that at most 1 in 100 negatives reach; `found` of `positives` is the same in counts.

    `error` is the expected calibration error over `BINS` equal bins of the score.
    """

    positives: int
    negatives: int
    roc_auc: float
    auprc: float
    found: int
    error: float

    @property
    def recall(self) -> float:
        return self.found / self.positives


def figures(scores: Floats, labels: NDArray[np.bool_]) -> Figures | None:
    """Figures, or None unless both classes occur."""
    positive, negative = scores[labels], scores[~labels]
    if not len(positive) or not len(negative):
        return None
    found = int((positive >= threshold(negative, 0.01)).sum())
    return Figures(
        len(positive), len(negative), roc_auc(scores, labels), auprc(scores, labels), found, error(scores, labels)
    )


def roc_auc(scores: Floats, labels: NDArray[np.bool_]) -> float:
    """The chance that a positive scores above a negative; ties count half (Mann-Whitney)."""
    order = np.unique(scores, return_inverse=True)[1]
    seen = np.bincount(order)
    ranks = (np.cumsum(seen) - (seen - 1) / 2)[order]
    positives = int(labels.sum())
    above = ranks[labels].sum() - positives * (positives + 1) / 2
    return float(above / (positives * (len(labels) - positives)))


def auprc(scores: Floats, labels: NDArray[np.bool_]) -> float:
    """Average precision: precision at each distinct score, weighted by the recall it adds."""
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.diff(scores[order]) != 0, True)
    true = np.cumsum(labels[order])[last_of_tie]
    precision = true / (np.flatnonzero(last_of_tie) + 1)
    return float((np.diff(np.append(0, true)) * precision).sum() / labels.sum())


def threshold(negative: Floats, share: float) -> float:
    """The lowest score that at most `share` of the negatives reach, just above the next lower one."""
    allowed = int(share * len(negative))
    return float(np.nextafter(np.sort(negative)[len(negative) - allowed - 1], np.inf, dtype=negative.dtype))


def error(scores: Floats, labels: NDArray[np.bool_]) -> float:
    """Expected calibration error: |mean score - share of positives| by bin, weighted by the bin's size."""
    bins = np.minimum((scores * BINS).astype(int), BINS - 1)
    size = np.bincount(bins, minlength=BINS)
    gap = np.abs(np.bincount(bins, scores, BINS) - np.bincount(bins, labels, BINS))
    return float(gap[size > 0].sum() / len(scores))

"""How good scores are: one definition of each figure, on scores in [0, 1] and labels, and how sure we are of it.

Every figure is worked out from how many positives and negatives have each distinct score, so the figure of a sample
and those of its thousand resamples are the same few lines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from safeguards_extproc.replay.intervals import Interval

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Doubles = NDArray[np.float64]

BINS = 15
SHARE, RARE = 0.01, 0.001
"""Shares of negatives that may reach a threshold: 1 % and 0.1 %."""

RESAMPLES, SEED = 1000, 20_240_601
AT_A_TIME = 200_000
"""Draws of the bootstrap that are held at once."""


@dataclass(frozen=True, slots=True)
class Levels:
    """The distinct `scores` [k], highest first, and how many `positives` and `negatives` have each [..., k]: one row,
    or one for each resample. `true` and `false` count those that have it or more."""

    scores: Doubles
    positives: Doubles
    negatives: Doubles
    true: Doubles
    false: Doubles


@dataclass(frozen=True, slots=True)
class Figures:
    """`found` of the `positives` reach the threshold that at most 1 in 100 negatives reach, `found_rare` the one that
    at most 1 in 1,000 reach. `error` is the expected calibration error over `BINS` equal bins of the score. `f1` is the
    best that any threshold gives, at scores from `f1_at` on."""

    positives: int
    negatives: int
    roc_auc: float
    auprc: float
    found: int
    error: float
    found_rare: int
    f1: float
    f1_at: float

    @property
    def recall(self) -> float:
        return self.found / self.positives

    @property
    def recall_rare(self) -> float:
        return self.found_rare / self.positives


@dataclass(frozen=True, slots=True)
class Sure:
    """95 % intervals of figures: percentiles of `RESAMPLES` resamples of the positives and of the negatives."""

    roc_auc: Interval
    auprc: Interval
    recall: Interval
    recall_rare: Interval
    error: Interval
    f1: Interval


def levels(scores: Floats, labels: Bools) -> Levels:
    """Count positives and negatives by score."""
    distinct, at = np.unique(-scores, return_inverse=True)
    positives, negatives = (
        np.bincount(at[labels == wanted], minlength=len(distinct)).astype(float) for wanted in (True, False)
    )
    return _cumulated(-distinct.astype(float), positives, negatives)


def figures(scores: Floats, labels: Bools) -> Figures | None:
    """Figures, or None unless both classes occur."""
    counted = levels(scores, labels)
    positives, negatives = int(counted.positives.sum()), int(counted.negatives.sum())
    if not positives or not negatives:
        return None
    by_level = _f1(counted)
    return Figures(
        positives,
        negatives,
        float(_roc_auc(counted)),
        float(_auprc(counted)),
        round(float(_recall(counted, SHARE)) * positives),
        float(_error(counted)),
        round(float(_recall(counted, RARE)) * positives),
        float(by_level.max()),
        float(counted.scores[int(by_level.argmax())]),
    )


def sure(scores: Floats, labels: Bools, resamples: int = RESAMPLES, seed: int = SEED) -> Sure | None:
    """How sure the figures are, or None unless both classes occur. Positives and negatives are drawn apart, as many as
    there are, so the share of positives stays that of the file (a stratified bootstrap)."""
    counted = levels(scores, labels)
    size = int(max(counted.positives.sum(), counted.negatives.sum()))
    if not counted.positives.any() or not counted.negatives.any():
        return None
    rng = np.random.default_rng(seed)
    seen: dict[str, list[Doubles]] = {name: [] for name in FIGURES}
    step = max(1, AT_A_TIME // size)
    for begin in range(0, resamples, step):
        rows = min(step, resamples - begin)
        positives = _drawn(counted.positives, rows, rng)
        drawn = _cumulated(counted.scores, positives, _drawn(counted.negatives, rows, rng))
        for name, figure in FIGURES.items():
            seen[name].append(figure(drawn))
    return Sure(**{name: _middle(np.concatenate(values)) for name, values in seen.items()})


def roc_auc(scores: Floats, labels: Bools) -> float:
    """The chance that a positive scores above a negative; ties count half (Mann-Whitney)."""
    return float(_roc_auc(levels(scores, labels)))


def auprc(scores: Floats, labels: Bools) -> float:
    """Average precision: precision at each distinct score, weighted by the recall it adds."""
    return float(_auprc(levels(scores, labels)))


def error(scores: Floats, labels: Bools) -> float:
    """Expected calibration error: |mean score - share of positives| by bin, weighted by the bin's size."""
    return float(_error(levels(scores, labels)))


def threshold(negative: Floats, share: float) -> float:
    """The lowest score that at most `share` of the negatives reach, just above the next lower one."""
    allowed = int(share * len(negative))
    return float(np.nextafter(np.sort(negative)[len(negative) - allowed - 1], np.inf, dtype=negative.dtype))


def f1(hits: int, false: int, positives: int) -> float:
    """The harmonic mean of precision and recall, where `hits` of the positives and `false` negatives were named."""
    return 2 * hits / (hits + false + positives) if hits else 0.0


def calibration(scores: Floats, labels: Bools) -> list[tuple[float, float, int]]:
    """Of each bin that holds a score: the mean score, the share of positives, how many scores."""
    bins = np.minimum((scores.astype(float) * BINS).astype(int), BINS - 1)
    size = np.bincount(bins, minlength=BINS)
    mean, share = np.bincount(bins, scores, BINS), np.bincount(bins, labels, BINS)
    return [(float(mean[at] / size[at]), float(share[at] / size[at]), int(size[at])) for at in np.flatnonzero(size)]


def _cumulated(scores: Doubles, positives: Doubles, negatives: Doubles) -> Levels:
    return Levels(scores, positives, negatives, np.cumsum(positives, axis=-1), np.cumsum(negatives, axis=-1))


def _roc_auc(counted: Levels) -> Doubles:
    above = counted.true - counted.positives / 2
    pairs = counted.true[..., -1] * counted.false[..., -1]
    return np.asarray((counted.negatives * above).sum(axis=-1) / pairs)


def _auprc(counted: Levels) -> Doubles:
    named = np.maximum(counted.true + counted.false, 1.0)
    return np.asarray((counted.positives * counted.true / named).sum(axis=-1) / counted.true[..., -1])


def _recall(counted: Levels, share: float) -> Doubles:
    """Of the positives above the threshold that at most `share` of the negatives reach."""
    allowed = np.floor(share * counted.false[..., -1:])
    return np.asarray(np.where(counted.false <= allowed, counted.true, 0.0).max(axis=-1) / counted.true[..., -1])


def _error(counted: Levels) -> Doubles:
    bins = np.minimum((counted.scores * BINS).astype(int), BINS - 1)
    starts = np.flatnonzero(np.diff(bins, prepend=-1))
    gap = counted.scores * (counted.positives + counted.negatives) - counted.positives
    total = counted.true[..., -1] + counted.false[..., -1]
    return np.asarray(np.abs(np.add.reduceat(gap, starts, axis=-1)).sum(axis=-1) / total)


def _f1(counted: Levels) -> Doubles:
    """At each level as the threshold."""
    return np.asarray(2 * counted.true / (counted.true + counted.false + counted.true[..., -1:]))


def _recall_usual(counted: Levels) -> Doubles:
    return _recall(counted, SHARE)


def _recall_rare(counted: Levels) -> Doubles:
    return _recall(counted, RARE)


def _best_f1(counted: Levels) -> Doubles:
    return np.asarray(_f1(counted).max(axis=-1))


FIGURES: Mapping[str, Callable[[Levels], Doubles]] = {
    "roc_auc": _roc_auc,
    "auprc": _auprc,
    "recall": _recall_usual,
    "recall_rare": _recall_rare,
    "error": _error,
    "f1": _best_f1,
}
"""The figures that have intervals, as functions of levels."""


def _drawn(counts: Doubles, rows: int, rng: np.random.Generator) -> Doubles:
    """As many as there are, drawn with replacement, counted by level [rows, k]."""
    whole = counts.astype(np.int64)
    number, width = int(whole.sum()), len(counts)
    at = np.repeat(np.arange(width, dtype=np.int64), whole)
    picked = at[rng.integers(0, number, (rows, number), dtype=np.int32)]
    picked += np.arange(rows, dtype=np.int64)[:, None] * width
    return np.bincount(picked.ravel(), minlength=rows * width).reshape(rows, width).astype(float)


def _middle(values: Doubles) -> Interval:
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)

"""Percentiles from counts: near the true ones, the same in any order."""

from __future__ import annotations

import math

import numpy as np
import pytest

from safeguards_extproc.replay.histogram import BUCKETS, Histogram


def test_percentiles_are_near() -> None:
    """Within one part in a hundred of those of the values themselves, which lie within the interval."""
    values = np.random.default_rng(1).lognormal(3.0, 1.0, 20_000)
    histogram = Histogram()
    histogram.add_all(values)
    for share in (0.5, 0.95, 0.99):
        value, low, high = histogram.quantile(share)
        assert value == pytest.approx(np.quantile(values, share), rel=0.02)
        assert low <= value <= high


def test_one_by_one_or_together() -> None:
    """A value at a time, an array, or two halves merged: the same counts; what is not known is not counted."""
    values = np.array([0.0, 0.001, 0.01, 1.0, 77.7, 1e12, math.nan])
    together, one_by_one, other = Histogram(), Histogram(), Histogram()
    together.add_all(values)
    for number, value in enumerate(values[:-1]):
        (one_by_one if number % 2 else other).add(float(value))
    one_by_one.merge(other)
    assert together.counts.tolist() == one_by_one.counts.tolist()
    assert 6 == together.size
    assert 1 == together.counts[BUCKETS - 1]


def test_nothing_measured() -> None:
    """No time, no percentile."""
    assert all(math.isnan(value) for value in Histogram().quantile(0.99))

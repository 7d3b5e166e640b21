"""Intervals hold what they promise, against published values and exact enumeration."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeguards_extproc.replay.intervals import paired, ranks, wilson


def test_wilson_by_the_book() -> None:
    """Newcombe 1998, table I: 81 of 263 and 0 of 20."""
    assert (0.2553, 0.3662) == tuple(round(bound, 4) for bound in wilson(81, 263))
    assert (0.0, 0.1611) == tuple(round(bound, 4) for bound in wilson(0, 20))


def test_nothing_changed_is_no_certainty() -> None:
    """Of a thousand exchanges without a change, some of the next thousand may change; of none, all of them."""
    low, high = paired(0, 0, 1000)
    assert low == pytest.approx(-high)
    assert 0 < high < 0.003
    assert (-1.0, 1.0) == paired(0, 0, 0)


def test_a_change_covers_its_share() -> None:
    """The interval lies about the change, the narrower the more exchanges there are."""
    low, high = paired(30, 10, 1000)
    assert low < 0.02 < high
    wide = paired(3, 1, 100)
    assert wide[1] - wide[0] > high - low


def test_ranks_cover_the_quantile() -> None:
    """The chance that the true median of 100 values lies between the two order statistics is 95 % or a little more."""
    low, high = ranks(0.5, 100)
    covered = sum(math.comb(100, k) for k in range(low, high)) / 2**100
    assert 0.95 <= covered < 0.98
    assert (0, 0) == ranks(0.99, 1)


@given(st.integers(1, 2000).flatmap(lambda whole: st.tuples(st.integers(0, whole), st.just(whole))))
def test_wilson_ends_where_the_test_of_a_proportion_does(pair: tuple[int, int]) -> None:
    """At an end p of the interval the observed share is 1.96 standard errors of p away (its definition)."""
    part, whole = pair
    for end in wilson(part, whole):
        if 0 < end < 1:
            assert abs(part / whole - end) == pytest.approx(1.959964 * math.sqrt(end * (1 - end) / whole), rel=1e-4)
    low, high = wilson(part, whole)
    assert 0 <= low <= part / whole <= high <= 1


def test_wilson_of_nothing() -> None:
    """Anything may be."""
    assert (0.0, 1.0) == wilson(0, 0)
    low, high = wilson(0, 1000)
    assert low == 0.0
    assert pytest.approx(0.00383, abs=1e-5) == high

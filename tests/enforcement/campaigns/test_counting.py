"""Bounds on shares, slots, and what detectors see."""

from __future__ import annotations

import typing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.enforcement.campaigns import DETECT, reads
from safeguards_extproc.enforcement.campaigns.counting import SLOTS, Count, at_least
from safeguards_extproc.policy.account_document import CampaignSpec
from tests.enforcement.campaigns.playing import exchange, sketch, spec


def test_every_detector_of_the_policy_is_there() -> None:
    """The document's names are the table's rows."""
    assert {*typing.get_args(CampaignSpec.model_fields["detect"].annotation)} == DETECT.keys()


def test_sketches_are_taken_only_where_they_are_read() -> None:
    """They cost time at every exchange."""
    assert reads([spec("refusals", 0.3), spec("template", 20)])
    assert not reads([spec("refusals", 0.3), spec("velocity", 8)])


@given(st.integers(0, 10_000), st.integers(0, 10_000))
@settings(max_examples=100)
def test_a_bound_is_below_its_share(part: int, whole: int) -> None:
    """It is a share, below the one that was seen, and more of both brings it nearer."""
    bound = at_least(part, whole)
    assert 0.0 <= bound <= 1.0
    if whole:
        assert bound <= min(part, whole) / whole + 1e-12
        assert at_least(10 * part, 10 * whole) >= bound - 1e-12


@pytest.mark.parametrize(
    ("part", "whole", "low", "high"), [(1, 1, 0, 0.1), (10, 20, 0.2, 0.25), (500, 1000, 0.44, 0.46)]
)
def test_few_say_little(part: int, whole: int, low: float, high: float) -> None:
    """Known values of Wilson's bound."""
    assert low <= at_least(part, whole) <= high


def test_slots() -> None:
    """A window is so many slots long."""
    count = Count("x", "ann", 3600.0)
    assert SLOTS == count.slot(1_800_003_600.0) - count.slot(1_800_000_000.0)


def test_what_is_seen() -> None:
    """An exchange that an admission refused says nothing of what was said; one that was allowed has no category."""
    assert exchange(1, sketch=sketch(1)).bands
    limited = exchange(1, refused=True, limited=True, sketch=sketch(1))
    assert (False, True, "", ()) == (limited.refused, limited.limited, limited.category, limited.bands)
    assert "weapons" == exchange(1, refused=True).category
    assert exchange(1, tokens=100).shape == exchange(2, tokens=120).shape != exchange(3, tokens=4000).shape


def test_by_whom() -> None:
    """The smallest who answers, unless the policy names another, and nobody if the exchange does not."""
    assert ("end_user", "ann") == exchange(1).subject(None)
    assert ("organisation", "acme") == exchange(1).subject("organisation")
    assert ("", "") == exchange(1).subject("tenant")

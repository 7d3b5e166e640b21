"""Who answers for an exchange, and when a limit is near."""

from __future__ import annotations

import pytest

from safeguards_extproc.core.account import (
    NOBODY,
    NOBODY_KNOWN,
    Admitted,
    Count,
    Counted,
    Identity,
    Limit,
    Shape,
    Usage,
)
from safeguards_extproc.core.events import BodyMode, Opened

HOURLY = Limit("hourly", ("key",), Count.REQUESTS, Shape.BUDGET, 100, 3600.0)
SHADOW = Limit("shadow", ("key",), Count.REQUESTS, Shape.BUDGET, 100, 3600.0, enforced=False)


def test_the_smallest_identity_answers() -> None:
    """The end user before the key, the key before the tenant; a model answers for nothing."""
    assert Identity({"tenant": "t", "key": "k", "end_user": "u"}).responsible == ("end_user", "u")
    assert Identity({"tenant": "t", "key": "k"}).responsible == ("key", "k")
    assert Identity({"model": "m"}).responsible == ("", "")


@pytest.mark.parametrize(("remaining", "near"), [(100, False), (21, False), (19, True), (0, True)])
def test_a_limit_is_near_from_its_share(remaining: int, near: bool) -> None:
    """At 80 % of it, unless the policy says otherwise."""
    assert near == Counted(HOURLY, allowed=True, remaining=remaining).near


def test_what_only_watches_refuses_nobody() -> None:
    """A limit in shadow may be over; an enforced one refuses, and the longest wait is told."""
    over = Counted(SHADOW, allowed=False, remaining=0, retry_after_s=9.0)
    short = Counted(HOURLY, allowed=False, remaining=0, retry_after_s=2.0)
    long = Counted(HOURLY, allowed=False, remaining=0, retry_after_s=5.0)
    assert Admitted([over]).refused is None
    assert Admitted([over, short, long]).refused is long


def test_where_nobody_is_known_nothing_is_looked_for() -> None:
    """The identity of an exchange without a policy of identities."""
    opened = Opened(BodyMode.NONE, BodyMode.NONE)
    assert (NOBODY, ()) == (NOBODY_KNOWN.identify({"authorization": "x"}, opened, {}), NOBODY_KNOWN.wants)


def test_two_counts_of_an_exchange_are_one() -> None:
    """A stream counts its input at the beginning and its output at the end: what is known of each counts."""
    assert Usage(25, 1).merged(Usage(0, 40, 7, exact=True)) == Usage(25, 40, 7, exact=True)

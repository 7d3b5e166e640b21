"""A share of refusals, with what a share of few is worth."""

from __future__ import annotations

from tests.enforcement.campaigns.playing import play, settled, spec

REFUSALS = spec("refusals", 0.3, window="24h")


async def test_half_is_too_much() -> None:
    """Told as soon as the bound says so, long before a hundred."""
    told = await play(REFUSALS, [settled(n, refused=n % 2 == 0) for n in range(100)])
    assert told
    assert told[0].asks < 80


async def test_unlucky_is_not_hostile() -> None:
    """The first five are refused, then one in ten."""
    assert [] == await play(REFUSALS, [settled(n, refused=n < 5 or n % 10 == 0) for n in range(300)])


async def test_limits_are_no_refusals() -> None:
    """Whoever runs into a limit was not refused for what was said."""
    assert [] == await play(REFUSALS, [settled(n, refused=True, limited=True) for n in range(100)])

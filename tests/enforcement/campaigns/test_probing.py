"""Refusals in one category after the other."""

from __future__ import annotations

from tests.enforcement.campaigns.playing import play, settled, spec

PROBING = spec("probing", 4, window="24h")


async def test_what_is_refused_here() -> None:
    """Four categories, one in two refused."""
    asks = [settled(n, refused=n % 2 == 0, category=f"category-{n % 8}") for n in range(60)]
    told = await play(PROBING, asks)
    assert ("probing:ann",) == told[0].keys


async def test_one_category_is_no_probe() -> None:
    """However often it is refused."""
    assert [] == await play(PROBING, [settled(n, refused=True) for n in range(200)])


async def test_many_people_behind_one_key() -> None:
    """In a year of theirs there is every category, in one of a hundred exchanges."""
    asks = [settled(n, user="", refused=n % 100 == 0, category=f"category-{n % 7}") for n in range(3000)]
    assert [] == await play(PROBING, asks)

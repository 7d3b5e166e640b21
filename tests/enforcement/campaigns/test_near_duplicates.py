"""One identity that asks almost the same again, once it was refused."""

from __future__ import annotations

import pytest

from safeguards_extproc.enforcement.campaigns import near_duplicates
from tests.enforcement.campaigns.playing import play, settled, sketch, spec

SEARCH = spec("near_duplicates", 20)


async def test_a_boundary_is_searched() -> None:
    """Every other of the mutations is refused, and each shares some band with others: told at the twentieth."""
    asks = [settled(n, refused=n % 2 == 0, sketch=sketch(5, 6, n + 100)) for n in range(40)]
    told = await play(SEARCH, asks)
    assert ("near_duplicates:ann",) == told[0].keys
    assert (20, 10) == (told[0].asks, told[0].refusals)
    assert {f"r{n}" for n in range(0, 19, 2)} == {told[0].members[0].record, *told[0].records} - {"r19"}


async def test_a_job_of_like_texts_is_no_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """One frame around hundreds of texts, one in fifty refused. The planted fault forgets that share."""
    job = [settled(n, refused=n % 50 == 0, sketch=sketch(5, 6, n + 100)) for n in range(400)]
    assert [] == await play(SEARCH, job)
    monkeypatch.setattr(near_duplicates, "SHARE", 0.0)
    assert await play(SEARCH, job)


async def test_before_a_refusal_nothing_is_counted() -> None:
    """The same text a thousand times, never refused."""
    assert [] == await play(SEARCH, [settled(n, sketch=sketch(5)) for n in range(1000)])


async def test_other_texts_are_other_questions() -> None:
    """Somebody is refused again and again, for different things: another detector's business."""
    assert [] == await play(SEARCH, [settled(n, refused=True, sketch=sketch(100 * n)) for n in range(60)])


async def test_two_who_ask_the_same_are_two() -> None:
    """What one asks is not held against another."""
    asks = [settled(n, user=f"user-{n % 3}", refused=True, sketch=sketch(5)) for n in range(57)]
    assert [] == await play(SEARCH, asks)


async def test_slowly_is_not_at_all() -> None:
    """Outside of the window it is forgotten; this is what it cannot see."""
    asks = [settled(n, refused=True, sketch=sketch(5)) for n in range(40)]
    assert [] == await play(SEARCH, asks, every_s=600)

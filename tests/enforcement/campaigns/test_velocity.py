"""Far more than usual, for whoever it is and for everybody."""

from __future__ import annotations

import pytest

from safeguards_extproc.core.account import Settlement
from tests.enforcement.campaigns.playing import play, settled, spec

VELOCITY = spec("velocity", 8)
MANY = [settled(n, user=f"user-{n % 150}") for n in range(600)]
"""150 people ask four times each."""


def rush(count: int) -> list[Settlement]:
    """One of them asks so often."""
    return [settled(n, user="user-3") for n in range(count)]


async def test_a_rush() -> None:
    """Told at the first power of two that is eight times what anybody does."""
    told = await play(VELOCITY, [*MANY, *rush(300)], every_s=0.1)
    assert ("velocity:user-3",) == told[0].keys
    assert 64 == told[0].asks


async def test_busy_is_not_a_rush() -> None:
    """Ten times as much as the others, and still nothing to speak of."""
    assert [] == await play(VELOCITY, [*MANY, *rush(40)], every_s=0.1)


async def test_nobody_is_compared_with_nobody() -> None:
    """Before there is a population."""
    assert [] == await play(VELOCITY, rush(2000), every_s=0.1)


async def test_a_job_is_compared_with_jobs() -> None:
    """A key without users that asks a lot is no person in a hurry."""
    assert [] == await play(VELOCITY, [*MANY, *(settled(n, user="") for n in range(2000))], every_s=0.1)


@pytest.mark.long
async def test_every_night() -> None:
    """What somebody did the day before is what they do."""
    people = [settled(n, user=f"user-{n % 150}") for n in range(4000)]
    night = [*people, *rush(300)]
    told = await play(VELOCITY, [*night, *night], every_s=7.0)
    assert told
    assert [] == [each for each in told if each.at > told[0].at + 6 * 3600]

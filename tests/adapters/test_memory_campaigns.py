"""Counters in process are bounded (what they count is in tests/contract)."""

from __future__ import annotations

import pytest

from safeguards_extproc.adapters.memory_campaigns import FIELDS, MEMBERS, MemoryCounters
from safeguards_extproc.enforcement.campaigns.counting import Count

BEGIN = 1_800_000_000.0


async def test_tags_are_bounded() -> None:
    """A million new tags leave what fits, and what ends first goes first."""
    counters = MemoryCounters(cells=50)
    await counters.count([Count("long", "ann", 86_400.0, {"asks": 1})], BEGIN)
    await counters.count([Count("short", f"tag-{number}", 60.0, {"asks": 1}) for number in range(1000)], BEGIN)
    assert 50 == len(counters)
    (reply,) = await counters.count([Count("long", "ann", 86_400.0, {"asks": 1})], BEGIN)
    assert 2 == reply.total("asks")


async def test_what_ended_is_gone() -> None:
    """Nothing is kept of a window that is over."""
    counters = MemoryCounters()
    await counters.count([Count("short", f"tag-{number}", 60.0, {"asks": 1}) for number in range(100)], BEGIN)
    await counters.count([], BEGIN + 120)
    assert 0 == len(counters)


@pytest.mark.long
async def test_fields_and_members_are_bounded() -> None:
    """One tag cannot grow without end."""
    counters = MemoryCounters()
    counts = [
        Count("x", "ann", 60.0, {f"field-{n}": 1}, member=f"member-{n}") for n in range(max(FIELDS, MEMBERS) + 50)
    ]
    replies = await counters.count(counts, BEGIN)
    assert 0 == replies[-1].total(f"field-{len(counts) - 1}")
    assert MEMBERS == replies[-1].distinct

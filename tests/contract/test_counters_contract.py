"""The contract of campaign counters, over every place to count, and planted faults that break it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import pytest

from safeguards_extproc.adapters.memory_campaigns import MemoryCounters
from safeguards_extproc.enforcement.campaigns.counting import Count, Counters, Reply
from tests.contract.counters_contract import CONTRACT, counts_each, opens, slides

Check = Callable[[Counters], Awaitable[None]]


@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
async def test_in_process(check: Check) -> None:
    """Counters in process."""
    await check(MemoryCounters())


class Broken(MemoryCounters):
    """Planted faults: counts nothing twice, forgets nothing, or opens everything."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self._fault = fault

    async def count(self, counts: Sequence[Count], at: float) -> Sequence[Reply]:
        """As it should, but for the fault."""
        match self._fault:
            case "forgets nothing":
                at = 1_800_000_000.0
            case "opens all":
                counts = [Count(each.name, each.tag, each.window_s, each.add, each.read) for each in counts]
            case _:
                return [
                    (await super(Broken, self).count([each], at))[0]
                    for each in {each.tag: each for each in counts}.values()
                ]
        return await super().count(counts, at)


@pytest.mark.parametrize(
    ("fault", "check"), [("forgets nothing", slides), ("opens all", opens), ("counts nothing twice", counts_each)]
)
async def test_bites(fault: str, check: Check) -> None:
    """Each fault breaks the rule that is about it."""
    with pytest.raises(AssertionError):
        await check(Broken(fault))

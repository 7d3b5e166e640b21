"""Exchanges for detectors, and a watch that plays them against the counters in process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from safeguards_extproc.adapters.memory_campaigns import MemoryCounters
from safeguards_extproc.core.account import Admission, Identity, Settlement, Usage
from safeguards_extproc.enforcement.campaigns.counting import Seen, seen
from safeguards_extproc.enforcement.sightings import Sighting
from safeguards_extproc.enforcement.watch import Watch
from safeguards_extproc.policy.account_document import CampaignSpec

BEGIN = 1_800_000_000.0


def spec(detect: str, threshold: float, **keys: Any) -> CampaignSpec:
    """A campaign of the name of its detector."""
    return CampaignSpec.model_validate({"name": detect, "detect": detect, "threshold": float(threshold), **keys})


def sketch(*values: int) -> int:
    """A sketch with these bands, the rest as unique as the sum says."""
    every = [*values, *(1 + sum(values) + place for place in range(8 - len(values)))]
    return sum(value << (32 * place) for place, value in enumerate(every))


def settled(number: int, *, user: str = "ann", refused: bool = False, **other: Any) -> Settlement:
    """A settled exchange of `user` behind the one key of an organisation."""
    names = {"organisation": "acme", "key": "key-acme"} | ({"end_user": user} if user else {})
    return Settlement(
        Admission(f"r{number}", Identity({**names, **other.pop("names", {})})),
        Usage(other.pop("tokens", 100), 10),
        "block" if refused else "allow",
        category=other.pop("category", "weapons") if refused else "",
        model=other.pop("model", "example-model"),
        sketch=other.pop("sketch", 0),
        refused=other.pop("limited", False),
    )


def exchange(number: int, **what: Any) -> Seen:
    """What detectors see of it."""
    return seen(settled(number, **what), BEGIN + number)


async def play(
    campaign: CampaignSpec, settlements: Sequence[Settlement], *, every_s: float = 1.0, together: int = 1
) -> list[Sighting]:
    """What is told of these exchanges, one each `every_s`. What waits for a next call gets one."""
    now, told = [BEGIN], list[Sighting]()

    async def tell(sightings: Sequence[Sighting]) -> None:
        told.extend(sightings)

    watch = Watch([campaign], MemoryCounters(), tell, clock=lambda: now[0])
    for first in range(0, len(settlements), together):
        now[0] = BEGIN + first * every_s
        await watch.observed(settlements[first : first + together])
    await watch.observed([])
    return told

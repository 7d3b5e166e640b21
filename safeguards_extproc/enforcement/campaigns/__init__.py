"""Campaigns: patterns over many exchanges that no single one shows. `DETECT` is the table of what is looked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from safeguards_extproc.enforcement.campaigns import (
    near_duplicates,
    probing,
    refusals,
    rotation,
    template,
    velocity,
)
from safeguards_extproc.enforcement.campaigns.counting import Count, Finding, Reply, Seen
from safeguards_extproc.policy.account_document import CampaignSpec

Ask = Callable[[CampaignSpec, Seen], Sequence[Count]]
Then = Callable[[CampaignSpec, Seen, Sequence[Reply]], Sequence[Count]]
Judge = Callable[[CampaignSpec, Seen, Sequence[Reply]], Finding | None]
Conclude = Callable[[CampaignSpec, Seen, Sequence[Count], Sequence[Reply]], Finding | None]


@dataclass(frozen=True, slots=True)
class Detector:
    """A row. `ask` says what is counted of every settled exchange, `judge` what the replies mean.

    Where that alone cannot say, `then` names what else is counted because of the replies, which goes with the next
    exchanges' counts, and `conclude` is told both. None of them is asked about an exchange that `ask` counts nothing
    of. `reads` whether it wants the exchange's sketch.
    """

    ask: Ask
    judge: Judge | None = None
    then: Then | None = None
    conclude: Conclude | None = None
    reads: bool = False


DETECT: Mapping[str, Detector] = {
    "near_duplicates": Detector(near_duplicates.ask, near_duplicates.judge, reads=True),
    "template": Detector(template.ask, template.judge, reads=True),
    "velocity": Detector(velocity.ask, then=velocity.then, conclude=velocity.judge),
    "rotation": Detector(rotation.ask, then=rotation.then, conclude=rotation.judge),
    "refusals": Detector(refusals.ask, refusals.judge),
    "probing": Detector(probing.ask, probing.judge),
}


def reads(specs: Sequence[CampaignSpec]) -> bool:
    """Whether any of these campaigns wants sketches, which cost time at every exchange."""
    return any(DETECT[spec.detect].reads for spec in specs)

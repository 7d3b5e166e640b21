"""template: many identities are refused for texts of one template.

A band is watched from its first refusal on. What many honest people ask alike (a greeting, a benchmark's question, a
product's own frame around its users' words) is refused now and then too, so the share of refusals counts with it.
"""

from __future__ import annotations

from collections.abc import Sequence

from safeguards_extproc.enforcement.campaigns.counting import Count, Finding, Reply, Seen, at_least
from safeguards_extproc.policy.account_document import CampaignSpec

SHARE = 0.2
"""The share of refusals among the exchanges of a band, at least, with confidence."""


def ask(spec: CampaignSpec, seen: Seen) -> Sequence[Count]:
    """Of each band: asks, refusals, and who was refused."""
    subject = seen.subject(spec.per)
    if not subject[0]:
        return ()
    if not seen.refused:
        return [Count(spec.name, band, spec.window, {"asks": 1}, opens=False) for band in seen.bands]
    add, note = {"asks": 1, "refusals": 1}, seen.note(subject)
    return [Count(spec.name, band, spec.window, add, member=subject[1], note=note) for band in seen.bands]


def judge(spec: CampaignSpec, seen: Seen, replies: Sequence[Reply]) -> Finding | None:
    """Bands of this refused exchange under which `threshold` identities were refused."""
    if not seen.refused:
        return None
    counts = ask(spec, seen)
    found = [
        (reply.distinct, count, reply)
        for count, reply in zip(counts, replies, strict=True)
        if reply.distinct >= spec.threshold and at_least(reply.total("refusals"), reply.total("asks")) >= SHARE
    ]
    if not found:
        return None
    identities, count, reply = max(found, key=lambda each: each[0])
    keys = tuple(f"{spec.name}:{each.tag}" for _, each, _ in found)
    return Finding(
        keys, seen.subject(spec.per), reply.total("asks"), reply.total("refusals"), identities, evidence=count
    )

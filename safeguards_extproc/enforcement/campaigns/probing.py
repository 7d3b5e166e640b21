"""probing: an identity is refused in at least `threshold` categories, and often.

An identity that stands for many people is refused in every category some day, so the share of refusals counts too.
"""

from __future__ import annotations

from collections.abc import Sequence

from safeguards_extproc.enforcement.campaigns.counting import Count, Finding, Reply, Seen, at_least, named
from safeguards_extproc.policy.account_document import CampaignSpec

SHARE = 0.2
"""The share of refusals among all that it asks, at least, with confidence."""


def ask(spec: CampaignSpec, seen: Seen) -> Sequence[Count]:
    """Asks, refusals, and the categories of the latter."""
    kind, pseudonym = seen.subject(spec.per)
    if not kind or seen.limited:
        return ()
    add = {"asks": 1, "refusals": int(seen.refused)}
    note = seen.record if seen.refused else ""
    return (Count(spec.name, pseudonym, spec.window, add, member=seen.category, note=note),)


def judge(spec: CampaignSpec, seen: Seen, replies: Sequence[Reply]) -> Finding | None:
    """How many categories, and what share."""
    (reply,) = replies
    asks, refusals = reply.total("asks"), reply.total("refusals")
    if not seen.category or reply.distinct < spec.threshold or at_least(refusals, asks) < SHARE:
        return None
    subject = seen.subject(spec.per)
    return Finding(named(spec, subject[1]), subject, asks, refusals, evidence=ask(spec, seen)[0])

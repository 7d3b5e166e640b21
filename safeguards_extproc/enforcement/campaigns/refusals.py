"""refusals: of all that an identity asks, at least `threshold` (0 to 1) is refused, with confidence."""

from __future__ import annotations

from collections.abc import Sequence

from safeguards_extproc.enforcement.campaigns.counting import Count, Finding, Reply, Seen, at_least, named
from safeguards_extproc.policy.account_document import CampaignSpec

LEAST = 20
"""Exchanges of a window, at least."""


def ask(spec: CampaignSpec, seen: Seen) -> Sequence[Count]:
    """Asks and refusals; what the admission refused says nothing of what was said."""
    kind, pseudonym = seen.subject(spec.per)
    if not kind or seen.limited:
        return ()
    add = {"asks": 1, "refusals": int(seen.refused)}
    return (Count(spec.name, pseudonym, spec.window, add, note=seen.record if seen.refused else ""),)


def judge(spec: CampaignSpec, seen: Seen, replies: Sequence[Reply]) -> Finding | None:
    """The bound of this identity's share."""
    (reply,) = replies
    asks, refusals = reply.total("asks"), reply.total("refusals")
    if not seen.refused or asks < LEAST or at_least(refusals, asks) < spec.threshold:
        return None
    subject = seen.subject(spec.per)
    return Finding(named(spec, subject[1]), subject, asks, refusals, evidence=ask(spec, seen)[0])

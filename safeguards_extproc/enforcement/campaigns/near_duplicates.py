"""near_duplicates: one identity asks almost the same again and again, once it was refused.

That is how a boundary is searched with one bit a query, and how an answer is re-rolled until one slips through. Both
are told from a job whose texts are alike by nature by the share of refusals, which a search near a boundary keeps high.
"""

from __future__ import annotations

from collections.abc import Sequence

from safeguards_extproc.enforcement.campaigns.counting import Count, Finding, Reply, Seen, at_least, named
from safeguards_extproc.policy.account_document import CampaignSpec

SHARE = 0.1
"""The share of refusals among the near-duplicates, at least, with confidence."""


def ask(spec: CampaignSpec, seen: Seen) -> Sequence[Count]:
    """Each band's asks and refusals, from the first refusal on."""
    kind, pseudonym = seen.subject(spec.per)
    if not kind or not seen.bands:
        return ()
    add = dict.fromkeys(seen.bands, 1)
    read: tuple[str, ...] = tuple(f"!{band}" for band in seen.bands)
    if seen.refused:
        add |= dict.fromkeys(read, 1)
        read = ()
    return (
        Count(spec.name, pseudonym, spec.window, add, read, seen.refused, note=seen.record if seen.refused else ""),
    )


def judge(spec: CampaignSpec, seen: Seen, replies: Sequence[Reply]) -> Finding | None:
    """A band that was asked `threshold` times since it was refused, often refused again."""
    (reply,) = replies
    counts = [(reply.total(band), reply.total(f"!{band}")) for band in seen.bands]
    asks, refusals = max(counts, key=lambda each: (at_least(each[1], each[0]) >= SHARE, each[0]))
    if asks < spec.threshold or at_least(refusals, asks) < SHARE:
        return None
    subject = seen.subject(spec.per)
    (count,) = ask(spec, seen)
    return Finding(named(spec, subject[1]), subject, asks, refusals, evidence=count)

"""rotation: in one organisation (or tenant) many identities that are new ask in one shape and are refused.

Whoever loses a key or an account to a refusal, a limit or a suspension goes on under the next. What shows is not who
asks but how: format and size of the request, from identities that nobody knew a window ago. A product's first day
brings new users too; most of them are not refused.
"""

from __future__ import annotations

from collections.abc import Sequence

from safeguards_extproc.core.account import ANSWERABLE
from safeguards_extproc.enforcement.campaigns.counting import SLOTS, Count, Finding, Reply, Seen, at_least
from safeguards_extproc.policy.account_document import CampaignSpec

SHARE = 0.2
"""The share of refusals among what new identities ask in that shape, at least, with confidence."""


def ask(spec: CampaignSpec, seen: Seen) -> Sequence[Count]:
    """How often this identity asked, slots as long as the window: is it new?"""
    if not _within(spec, seen)[0]:
        return ()
    return (Count(f"{spec.name}.known", seen.responsible[1], SLOTS * spec.window, {"asks": 1}),)


def then(spec: CampaignSpec, seen: Seen, replies: Sequence[Reply]) -> Sequence[Count]:
    """What the new ask in this shape, and which of them are refused."""
    if not replies or replies[0].before("asks"):
        return ()
    hit = seen.refused or seen.limited
    return (
        Count(
            f"{spec.name}.{seen.shape}",
            _within(spec, seen)[1],
            spec.window,
            {"asks": 1, "refusals": int(hit)},
            opens=hit,
            member=seen.responsible[1] if hit else "",
            note=seen.note(seen.responsible) if hit else "",
        ),
    )


def judge(spec: CampaignSpec, seen: Seen, counts: Sequence[Count], replies: Sequence[Reply]) -> Finding | None:
    """`threshold` new identities that were refused."""
    (count,), (reply,) = counts, replies
    asks, refusals = reply.total("asks"), reply.total("refusals")
    if not count.member or reply.distinct < spec.threshold or at_least(refusals, asks) < SHARE:
        return None
    return Finding((f"{spec.name}:{count.tag}",), seen.responsible, asks, refusals, reply.distinct, evidence=count)


def _within(spec: CampaignSpec, seen: Seen) -> tuple[str, str]:
    """Kind and pseudonym of who is above the one who answers."""
    kind = seen.responsible[0]
    above = ANSWERABLE[ANSWERABLE.index(kind) + 1 :] if kind in ("end_user", "key") else ()
    wanted = (spec.per,) if spec.per else ("organisation", "tenant")
    return next(((name, seen.subjects[name]) for name in wanted if name in above and name in seen.subjects), ("", ""))

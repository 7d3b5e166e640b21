"""velocity: an identity asks `threshold` times as often as it ever did, and as 99 of 100 of its kind do.

Kinds are apart, because a key behind which a job runs asks more in a minute than a person does in a year.

How often is told by powers of two within a slot, so it costs something only when one is reached: then the identity's
level goes into its own past and into the population's, and is compared with both.
"""

from __future__ import annotations

from collections.abc import Sequence

from safeguards_extproc.enforcement.campaigns.counting import Count, Finding, Reply, Seen, named
from safeguards_extproc.policy.account_document import CampaignSpec

PAST = 24
"""Windows that make up the past."""

LEVELS = 31
POPULATION = 100
"""Slots of identities that make a population; before that nobody is compared with it."""

USUAL = 0.01
"""What more than this share of the population reaches is usual."""

LEAST = 64
"""Requests in a slot, at least, whatever the past."""

_FIELDS = tuple(f"{level}" for level in range(LEVELS))


def ask(spec: CampaignSpec, seen: Seen) -> Sequence[Count]:
    """How often this identity asks."""
    kind, pseudonym = seen.subject(spec.per)
    return (Count(spec.name, pseudonym, spec.window, {"asks": 1}),) if kind else ()


def then(spec: CampaignSpec, seen: Seen, replies: Sequence[Reply]) -> Sequence[Count]:
    """The past of the identity and of all, if a level was reached just now."""
    asks = replies[0].now("asks") if replies else 0
    if not asks or asks & (asks - 1) or asks.bit_length() > LEVELS:
        return ()
    level, past = asks.bit_length() - 1, PAST * spec.window
    add, read = {_FIELDS[level]: 1}, (*_FIELDS[:level], *_FIELDS[level + 1 :])
    kind, pseudonym = seen.subject(spec.per)
    return (
        Count(f"{spec.name}.past", pseudonym, past, add, read),
        Count(f"{spec.name}.all", kind, past, add, read),
    )


def judge(spec: CampaignSpec, seen: Seen, counts: Sequence[Count], replies: Sequence[Reply]) -> Finding | None:
    """The level against the highest of its own past and the highest that is usual."""
    own, everybody = replies
    asks = 1 << int(next(iter(counts[0].add)))
    population = everybody.total(_FIELDS[0])
    if asks < LEAST or population < POPULATION:
        return None
    usual = [1 << level for level in range(LEVELS) if everybody.total(_FIELDS[level]) > USUAL * population]
    known = [1 << level for level in range(LEVELS) if own.before(_FIELDS[level])]
    if asks < spec.threshold * max((*usual, *known)):
        return None
    subject = seen.subject(spec.per)
    return Finding(named(spec, subject[1]), subject, asks, 0)

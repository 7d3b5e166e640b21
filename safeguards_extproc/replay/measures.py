"""What a gate can hold a replay to: each measure by its name, as a function of what was counted.

The one rule: a measure that cannot be taken (no label, no time) is None, and never a number that would pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from safeguards_extproc.replay.compare import Comparison, Tally
from safeguards_extproc.replay.intervals import paired, wilson
from safeguards_extproc.replay.verdict import MUST_ALLOW, MUST_BLOCK


class Figure(NamedTuple):
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float


Of = Callable[[Comparison, Tally], Figure | None]
"""A measure of a comparison; the tally is that of what a gate looks at, all exchanges if it does not say."""


def _exactly(count: int) -> Figure:
    return Figure(float(count), float(count), float(count))


def _share(part: int, whole: int) -> Figure | None:
    return Figure(part / whole, *wilson(part, whole)) if whole else None


def _change(tally: Tally) -> Figure | None:
    gained, lost, whole = tally.newly_blocked, tally.newly_allowed, tally.exchanges
    return Figure((gained - lost) / whole, *paired(gained, lost, whole)) if whole else None


def _labelled(label: str) -> Of:
    def measured(found: Comparison, tally: Tally) -> Figure | None:
        of = found.labelled[label]
        return _share(of.refused_after, of.exchanges)

    return measured


def _labelled_change(label: str) -> Of:
    return lambda found, tally: _change(found.labelled[label])


def _percentile(share: float) -> Of:
    def measured(found: Comparison, tally: Tally) -> Figure | None:
        times = found.after_ms if found.after_ms.size else found.before_ms
        return Figure(*times.quantile(share)) if times.size else None

    return measured


def _slower(share: float) -> Of:
    def measured(found: Comparison, tally: Tally) -> Figure | None:
        if not (found.before_ms.size and found.after_ms.size):
            return None
        (was, was_low, was_high), (now, low, high) = found.before_ms.quantile(share), found.after_ms.quantile(share)
        return Figure(now - was, low - was_high, high - was_low)

    return measured


def _undecided(found: Comparison, tally: Tally) -> Figure | None:
    undecided = found.undecided.total()
    return _share(undecided, undecided + found.total.exchanges)


MEASURES: Mapping[str, Of] = {
    "exchanges": lambda found, tally: _exactly(tally.exchanges),
    "changed_share": lambda found, tally: _share(tally.changed, tally.exchanges),
    "block_rate": lambda found, tally: _share(tally.refused_after, tally.exchanges),
    "block_rate_change": lambda found, tally: _change(tally),
    "newly_blocked": lambda found, tally: _exactly(tally.newly_blocked),
    "newly_blocked_share": lambda found, tally: _share(tally.newly_blocked, tally.exchanges),
    "newly_allowed": lambda found, tally: _exactly(tally.newly_allowed),
    "newly_allowed_share": lambda found, tally: _share(tally.newly_allowed, tally.exchanges),
    "recall_on_must_block": _labelled(MUST_BLOCK),
    "recall_on_must_block_change": _labelled_change(MUST_BLOCK),
    "false_positives": _labelled(MUST_ALLOW),
    "false_positives_change": _labelled_change(MUST_ALLOW),
    "p50_ms": _percentile(0.5),
    "p95_ms": _percentile(0.95),
    "p99_ms": _percentile(0.99),
    "p99_ms_change": _slower(0.99),
    "identities_changed": lambda found, tally: _exactly(len(found.identities.changed()[1])),
    "undecided_share": _undecided,
}
"""Shares are of 1, times are milliseconds; a change is after less before. `exchanges` and `undecided_share` keep a
replay of nothing from passing."""

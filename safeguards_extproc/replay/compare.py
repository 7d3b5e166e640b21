"""What changes between two verdicts on each of many exchanges, counted as they come by.

The one rule: memory does not grow with the number of exchanges, and the order in which they come does not matter, nor
does it who counted them: two comparisons merge into what one would have counted.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import NamedTuple

from safeguards_extproc.replay.histogram import Histogram
from safeguards_extproc.replay.identities import Identities
from safeguards_extproc.replay.verdict import MUST_ALLOW, MUST_BLOCK, Pair, Verdict

NEWLY_BLOCKED, NEWLY_ALLOWED, OTHERWISE = "newly blocked", "newly allowed", "changed otherwise"

DIMENSIONS = ("route", "tenant", "rule", "category")
"""By what changes are counted. Of rules and categories it is the one that led."""

Group = tuple[str, str]
"""A kind of change, and the rule that has to do with it: what examples are drawn of."""

EXAMPLES = 10
"""Changed exchanges that are named, of each kind of change and rule."""


@dataclass(slots=True)
class Tally:
    """Exchanges: `changed` in any way, refused before and after, and those that only one of the two refuses."""

    exchanges: int = 0
    changed: int = 0
    refused_before: int = 0
    refused_after: int = 0
    newly_blocked: int = 0
    newly_allowed: int = 0

    def add(self, other: Tally) -> None:
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


class Example(NamedTuple):
    """A changed exchange, by its record."""

    order: str
    id: str
    producer: str
    epoch: str
    sequence: int
    route: str
    before: str
    after: str
    rule_before: str
    rule_after: str


@dataclass(slots=True)
class Comparison:
    """`changes` counts outcomes before and after; `rules` the rules that led. `by` has a tally for each value of each
    dimension. `labelled` has one for each label. `undecided` counts exchanges that could not be decided again, by the
    reason: they are in no other count. `notes` counts what else somebody should know. `seen` are the scores that there
    are ("detector.label"), empty where nobody looked."""

    identities: Identities = field(default_factory=Identities)
    total: Tally = field(default_factory=Tally)
    changes: Counter[tuple[str, str]] = field(default_factory=Counter)
    rules: Counter[tuple[str, str]] = field(default_factory=Counter)
    by: dict[str, dict[str, Tally]] = field(default_factory=lambda: {name: {} for name in DIMENSIONS})
    labelled: dict[str, Tally] = field(default_factory=lambda: {MUST_BLOCK: Tally(), MUST_ALLOW: Tally()})
    before_ms: Histogram = field(default_factory=Histogram)
    after_ms: Histogram = field(default_factory=Histogram)
    examples: dict[Group, list[Example]] = field(default_factory=dict)
    undecided: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    seen: set[str] = field(default_factory=set)

    def add(self, pair: Pair) -> None:
        """An exchange."""
        self.count(pair, 1)
        self.tell(pair)

    def count(self, pair: Pair, count: int) -> None:
        """So many exchanges that differ in nothing but whose they are."""
        before, after, deserved = pair
        tally = _tally(before, after, count)
        self.total.add(tally)
        self.changes[before.outcome, after.outcome] += count
        self.rules[before.rule, after.rule] += count
        self._of("route", before.route).add(tally)
        self._of("tenant", before.tenant).add(tally)
        self._led("rule", before.rule, after.rule, tally)
        self._led("category", before.category, after.category, tally)
        if deserved:
            self.labelled[deserved].add(tally)
        if before.latency_ms is not None:
            self.before_ms.add(before.latency_ms)
        if after.latency_ms is not None:
            self.after_ms.add(after.latency_ms)

    def tell(self, pair: Pair) -> None:
        """Whose an exchange is that has been counted: it may be an example, or a strike."""
        before, after, _ = pair
        drawn = group(pair)
        if drawn is not None and self.draws(drawn, before.id):
            self._example(drawn, before, after)
        self.identities.add(before, after)

    def strikes(self, pair: Pair) -> bool:
        """Whether it may be a strike, so that `tell` must hear of each such exchange."""
        return self.identities.wants(pair.before) or self.identities.wants(pair.after)

    def draws(self, of: Group, id: str) -> bool:
        """Whether an exchange of this id would be an example. Those are whose ids have the smallest digests: a random
        choice that is the same in every order."""
        kept = self.examples.get(of, [])
        return len(kept) < EXAMPLES or _digest(id) < kept[-1].order

    def add_all(self, pairs: Iterable[Pair]) -> None:
        for pair in pairs:
            self.add(pair)

    def merge(self, other: Comparison) -> None:
        """Count what `other` has counted."""
        self.identities.merge(other.identities)
        self.total.add(other.total)
        for mine, theirs in ((self.by, other.by), ({"": self.labelled}, {"": other.labelled})):
            for name, tallies in theirs.items():
                for value, tally in tallies.items():
                    mine[name].setdefault(value, Tally()).add(tally)
        self.changes.update(other.changes)
        self.rules.update(other.rules)
        self.undecided.update(other.undecided)
        self.notes.update(other.notes)
        self.seen |= other.seen
        self.before_ms.merge(other.before_ms)
        self.after_ms.merge(other.after_ms)
        for key, examples in other.examples.items():
            mine_ = self.examples.setdefault(key, [])
            self.examples[key] = heapq.nsmallest(EXAMPLES, {*mine_, *examples})

    def _of(self, dimension: str, value: str) -> Tally:
        tallies = self.by[dimension]
        found = tallies.get(value)
        if found is None:
            found = tallies[value] = Tally()
        return found

    def _led(self, dimension: str, before: str, after: str, tally: Tally) -> None:
        """To the one that led before what it no longer refuses, to the one that leads now what it newly refuses."""
        if before == after:
            if before:
                self._of(dimension, before).add(tally)
            return
        if before:
            was = Tally(tally.exchanges, tally.changed, tally.refused_before, 0, 0, tally.newly_allowed)
            self._of(dimension, before).add(was)
        if after:
            now = Tally(tally.exchanges, tally.changed, 0, tally.refused_after, tally.newly_blocked, 0)
            self._of(dimension, after).add(now)

    def _example(self, of: Group, before: Verdict, after: Verdict) -> None:
        kept = self.examples.setdefault(of, [])
        names = (before.id, before.producer, before.epoch, before.sequence, before.route)
        kept.append(Example(_digest(before.id), *names, before.outcome, after.outcome, before.rule, after.rule))
        kept.sort()
        del kept[EXAMPLES:]


def group(pair: Pair) -> Group | None:
    """What kind of change it is and which rule has to do with it; None if nothing changes."""
    before, after = pair.before, pair.after
    if before.same(after):
        return None
    if after.refused and not before.refused:
        return NEWLY_BLOCKED, after.rule
    return (NEWLY_ALLOWED if before.refused and not after.refused else OTHERWISE), before.rule


def _digest(id: str) -> str:
    return hashlib.blake2b(id.encode(errors="replace"), digest_size=8).hexdigest()


def _tally(before: Verdict, after: Verdict, count: int) -> Tally:
    """What so many exchanges add."""
    was, now = before.refused, after.refused
    return Tally(
        count,
        0 if before.same(after) else count,
        count if was else 0,
        count if now else 0,
        count if now and not was else 0,
        count if was and not now else 0,
    )

"""The items of an answer's list, and what is known of each by itself: one bad item does not condemn the rest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from safeguards_extproc.core.decision import Facts, Result, Verdict
from safeguards_extproc.core.record import ItemFacts, Items, ItemScores
from safeguards_extproc.core.text import Channel, Listed

MOST_IDS = 100
"""Ids of a kind that a record names."""

MOST_NUMBERS = 4096
"""Scores and positions of items that a record keeps: 80 KB at most."""

_slug = re.compile(r"[A-Za-z0-9_.:-]{1,64}").fullmatch


class Listing:
    """`facts` are those of the items, in order, which `listed` holds."""

    def __init__(self, listed: Listed, whole: Facts) -> None:
        """`whole` are the facts of the answer, which learns of the list; all have its features."""
        self.listed, self._outside = listed, Facts(whole.direction, whole.features)
        self.facts = [Facts(whole.direction, whole.features) for _ in listed.items]
        self._of = {channel: at for at, item in enumerate(listed.items) for channel in item.channels}
        whole.outside = self._outside

    def absorb(self, channel: Channel, found: Mapping[str, float], results: Iterable[Result]) -> bool:
        """What detectors and models said of a window, of an item or of none; whether a verdict on all may be another
        now."""
        at = self._of.get(channel)
        facts = self._outside if at is None else self.facts[at]
        learned = facts.absorb(channel[0], found)
        for result in results:
            if result.failure:
                facts.failed.setdefault(result.detector, result.failure)
            else:
                learned |= facts.absorb(channel[0], result.scores)
        return learned and at is None

    def record(self, verdict: Verdict, *, applied: bool) -> Items:
        """What happened to the list; `applied`: items that the verdict drops were dropped."""
        dropped = verdict.drop if applied else frozenset[int]()
        decided = verdict.drop | verdict.would_drop
        return Items(
            len(self.listed.items), len(decided), len(dropped), self._ids(dropped), self._ids(decided - dropped)
        )

    def known(self, *, judged: bool) -> ItemFacts:
        """What the list was judged by; `judged`: each item by itself, too."""
        told = ItemFacts("all" if judged else "outside")
        numbers = 0
        for at, facts in ((-1, self._outside), *enumerate(self.facts)):
            numbers += len(facts.failed) + sum(1 + len(scores) for scores in facts.scores.values())
            if numbers > MOST_NUMBERS:
                return ItemFacts("none")
            for detector in facts.failed:
                told.failed.setdefault(detector, []).append(at)
            for kind, scores in facts.scores.items():
                _add(told.scores.setdefault(kind.value, ItemScores()), at, scores)
        return told

    def _ids(self, positions: Iterable[int]) -> list[str]:
        ids = (self.listed.items[at].id for at in sorted(positions))
        return [id_ for id_ in ids if _slug(id_)][:MOST_IDS]


def _add(of: ItemScores, at: int, scores: Mapping[str, float]) -> None:
    """The scores of one more item."""
    for name in scores.keys() - of.scores.keys():
        of.scores[name] = [-1.0] * len(of.items)
    of.items.append(at)
    for name, numbers in of.scores.items():
        numbers.append(scores.get(name, -1.0))

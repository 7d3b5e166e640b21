"""Looks for campaigns in settled exchanges, beside the traffic: one call of the counters for all that came together.

What is counted because of a reply goes with the next call.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from safeguards_extproc.core.account import Settlement
from safeguards_extproc.enforcement.campaigns import DETECT
from safeguards_extproc.enforcement.campaigns.counting import Count, Counters, Finding, Reply, Seen, seen
from safeguards_extproc.enforcement.sightings import Sighting, sighting
from safeguards_extproc.errors import StoreError
from safeguards_extproc.policy.account_document import CampaignSpec

AGAIN_S = 60.0
"""A case hears of the same identity this often."""

TOLD = 10_000
"""Identities in cases that this process remembers having told of."""

LATER = 10_000
"""Counts that wait for the next call; the oldest are left out."""


@dataclass(frozen=True, slots=True)
class _Later:
    """A campaign's counts that wait for the next call, and of which exchange."""

    spec: CampaignSpec
    seen: Seen
    counts: Sequence[Count]


class Watch:
    """Detection for one set of campaigns. `tell` takes what is seen of them to where cases are kept."""

    def __init__(
        self,
        specs: Sequence[CampaignSpec],
        counters: Counters,
        tell: Callable[[Sequence[Sighting]], Awaitable[None]],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock` gives seconds since the epoch, the same in all processes that share the counters."""
        self._specs = [(spec, DETECT[spec.detect]) for spec in specs]
        self._counters, self._tell, self._clock = counters, tell, clock
        self._later: list[_Later] = []
        self._told: OrderedDict[tuple[str, str], float] = OrderedDict()

    async def observed(self, settlements: Sequence[Settlement]) -> None:
        """Count these exchanges, and tell of campaigns that show. Raises StoreError; called again with the same
        exchanges it may count some of them twice, in asks and refusals alike."""
        at = self._clock()
        exchanges = [seen(each, at) for each in settlements]
        asked = [
            (spec, detector, each, counts)
            for each in exchanges
            for spec, detector in self._specs
            if (counts := detector.ask(spec, each))
        ]
        later, self._later = self._later, []
        every = [count for *_, counts in asked for count in counts]
        every += [count for each in later for count in each.counts]
        try:
            replies = iter(await self._counters.count(every, at)) if every else iter(())
        except StoreError:
            self._later = later
            raise
        found: list[tuple[CampaignSpec, Seen, Finding]] = []
        for spec, detector, each, counts in asked:
            answers = [next(replies) for _ in counts]
            if detector.judge and (finding := detector.judge(spec, each, answers)):
                found.append((spec, each, finding))
            if detector.then and (more := detector.then(spec, each, answers)):
                self._later.append(_Later(spec, each, more))
        for waiting in later:
            answers = [next(replies) for _ in waiting.counts]
            if finding := self._conclude(waiting, answers):
                found.append((waiting.spec, waiting.seen, finding))
        del self._later[:-LATER]
        await self._report(found, at)

    def _conclude(self, waiting: _Later, answers: Sequence[Reply]) -> Finding | None:
        conclude = DETECT[waiting.spec.detect].conclude
        return conclude(waiting.spec, waiting.seen, waiting.counts, answers) if conclude else None

    async def _report(self, found: Sequence[tuple[CampaignSpec, Seen, Finding]], at: float) -> None:
        """Tell of each case and identity once in a while; whom and what else the case is about is looked up then."""
        told: list[Sighting] = []
        for spec, each, finding in found:
            news = [key for key in finding.keys if self._is_news(key, finding.subject[1], at)]
            if news:
                notes = await self._counters.notes(finding.evidence, at) if finding.evidence else ()
                told.append(sighting(spec, each, finding, notes))
        if told:
            await self._tell(told)

    def _is_news(self, key: str, pseudonym: str, at: float) -> bool:
        told, whom = self._told, (key, pseudonym)
        if told.get(whom, -AGAIN_S) + AGAIN_S > at:
            return False
        told[whom] = at
        told.move_to_end(whom)
        if len(told) > TOLD:
            told.popitem(last=False)
        return True

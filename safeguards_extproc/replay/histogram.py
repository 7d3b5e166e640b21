"""Times by how often they occur: percentiles of any number of them in a few kilobytes, to one part in a hundred.

Two histograms add up to that of both, in any order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from safeguards_extproc.replay.intervals import ranks

LEAST_MS, GROWTH, BUCKETS = 0.01, 1.02, 1024
"""A bucket is 2 % wide; the last one ends at 6.4 million milliseconds."""

_LOG = math.log(GROWTH)


@dataclass(slots=True)
class Histogram:
    """`counts` by bucket: the first is of what is under LEAST_MS."""

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BUCKETS, np.int64))

    def add(self, ms: float) -> None:
        place = 0 if ms < LEAST_MS else 1 + int(math.log(ms / LEAST_MS) / _LOG)
        self.counts[min(place, BUCKETS - 1)] += 1

    def add_all(self, ms: NDArray[np.float64]) -> None:
        """Every value that is a number."""
        known = ms[~np.isnan(ms)]
        places = np.where(known < LEAST_MS, 0, 1 + np.log(np.maximum(known, LEAST_MS) / LEAST_MS) / _LOG)
        self.counts += np.bincount(np.minimum(places.astype(np.int64), BUCKETS - 1), minlength=BUCKETS)

    def merge(self, other: Histogram) -> None:
        self.counts += other.counts

    @property
    def size(self) -> int:
        return int(self.counts.sum())

    def quantile(self, share: float) -> tuple[float, float, float]:
        """The value that `share` of all are at most, and its 95 % interval; NaN where there is none."""
        size = self.size
        if not size:
            return math.nan, math.nan, math.nan
        low, high = ranks(share, size)
        return self._at(min(size - 1, int(share * size))), self._at(low), self._at(high)

    def curve(self) -> list[tuple[float, float]]:
        """The cumulative distribution: at each bucket that holds something its upper end in milliseconds, and the share
        of all that are at most that."""
        places = np.flatnonzero(self.counts)
        shares = np.cumsum(self.counts)[places] / max(1, self.size)
        return [(LEAST_MS * GROWTH ** int(place), float(part)) for place, part in zip(places, shares, strict=True)]

    def _at(self, rank: int) -> float:
        """The middle of the bucket that holds a rank, from 0."""
        place = int(np.searchsorted(np.cumsum(self.counts), rank, side="right"))
        return 0.0 if not place else LEAST_MS * GROWTH ** (place - 0.5)

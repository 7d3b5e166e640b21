"""Which texts are nearly the same: they share runs of words; found by MinHash (Broder, 1997), then compared."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

RUN = 3
ALIKE = 0.5
"""The share of their runs that two texts have in common, from which on they are nearly the same."""

BANDS, ROWS = 16, 3
"""Texts with half of their runs in common meet in some band with 88 %, with two thirds in common with 99.6 %."""

_WORD = re.compile(r"[^\W_]+")
_PRIME = np.uint64((1 << 61) - 1)
_rng = np.random.default_rng(17)
_FACTORS = _rng.integers(1, 1 << 29, BANDS * ROWS, dtype=np.uint64)
_OFFSETS = _rng.integers(0, 1 << 29, BANDS * ROWS, dtype=np.uint64)


class Index:
    """Texts that others are held against."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._met: dict[bytes, list[frozenset[int]]] = defaultdict(list)
        for text in texts:
            runs = _runs(text)
            for band in _bands(runs):
                self._met[band].append(runs)

    def resembles(self, text: str) -> bool:
        """Whether one of the texts is nearly the same."""
        runs = _runs(text)
        for band in _bands(runs):
            if any(len(runs & other) >= ALIKE * len(runs | other) for other in self._met.get(band, ())):
                return True
        return False


def _runs(text: str) -> frozenset[int]:
    """Hashes of every run of words, or of all words if they are few."""
    words = _WORD.findall(text.casefold())
    return frozenset(_hash(" ".join(words[at : at + RUN])) for at in range(max(1, len(words) - RUN + 1)))


def _bands(runs: frozenset[int]) -> list[bytes]:
    hashes = np.array(sorted(runs), dtype=np.uint64)
    mixed: NDArray[np.uint64] = (hashes[:, None] * _FACTORS + _OFFSETS) % _PRIME
    smallest = mixed.min(axis=0)
    return [bytes([band]) + smallest[band * ROWS : (band + 1) * ROWS].tobytes() for band in range(BANDS)]


def _hash(run: str) -> int:
    return int.from_bytes(hashlib.blake2b(run.encode(), digest_size=4).digest(), "big")

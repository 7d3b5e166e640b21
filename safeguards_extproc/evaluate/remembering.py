"""A scorer that is asked about the same text once: whatever it said before is its answer again.

The one rule: nothing that is measured changes. An answer is the largest score over a window's views (ports.Scorer), so
each view can be asked about by itself. Failures are not remembered.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence

from safeguards_extproc.core.decision import Model, Result
from safeguards_extproc.ports import Scorer

MOST = 200_000
"""Answers that are remembered, some 400 bytes each; the oldest goes first."""


class Remembering:
    """ports.Scorer before another. `asked` and `remembered` count texts. For callers that leave together: one that is
    cancelled cancels what others wait for, too."""

    def __init__(self, scorer: Scorer, most: int = MOST) -> None:
        self.asked = self.remembered = 0
        self._scorer, self._most = scorer, most
        self._known: dict[bytes, tuple[tuple[str, ...], tuple[float, ...], str]] = {}
        self._out: dict[bytes, asyncio.Task[Result]] = {}
        self._names: dict[tuple[str, ...], tuple[str, ...]] = {}

    async def start(self) -> None:
        """As the other."""
        await self._scorer.start()

    async def ready(self, model: Model) -> bool:
        """As the other."""
        return await self._scorer.ready(model)

    async def close(self) -> None:
        """As the other."""
        await self._scorer.close()

    async def score(self, model: Model, texts: Sequence[str], prompt: str = "") -> Result:
        """See ports.Scorer."""
        if not texts:
            return await self._scorer.score(model, texts, prompt)
        found = await asyncio.gather(*(self._one(model, text, prompt) for text in dict.fromkeys(texts)))
        best: dict[str, float] = {}
        for result in found:
            if result.failure:
                return result
            best = _largest(best, result.scores)
        return Result(model.detector, best, version=found[0].version)

    async def _one(self, model: Model, text: str, prompt: str) -> Result:
        key = _key(model.detector, prompt, text)
        known = self._known.get(key)
        if known is not None:
            self.remembered += 1
            names, scores, version = known
            return Result(model.detector, dict(zip(names, scores, strict=True)), version=version)
        task = self._out.get(key)
        if task is not None:
            self.remembered += 1
            return await task
        self.asked += 1
        task = self._out[key] = asyncio.create_task(self._scorer.score(model, (text,), prompt))
        try:
            result = await task
        finally:
            del self._out[key]
        if not result.failure:
            self._keep(key, result)
        return result

    def _keep(self, key: bytes, result: Result) -> None:
        if len(self._known) >= self._most:
            del self._known[next(iter(self._known))]
        names = tuple(result.scores)
        self._known[key] = self._names.setdefault(names, names), tuple(result.scores.values()), result.version


def _largest(best: Mapping[str, float], scores: Mapping[str, float]) -> dict[str, float]:
    return {name: max(score, best.get(name, score)) for name, score in scores.items()}


def _key(*parts: str) -> bytes:
    """Of fixed size, and another for other parts."""
    told = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        told.update(len(data).to_bytes(8, "big") + data)
    return told.digest()

"""Random conditions and random facts, by a seed: a million of them in seconds, where Hypothesis makes thousands."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from safeguards_extproc.core.decision import Value
from safeguards_extproc.policy.cel import Names

LABELS = ("a", "b", "c")
NAMES = Names({"s": frozenset(LABELS), "t": frozenset(LABELS)}, {"high": 0.75, "far": 1e300})
SCORES = [f"{detector}.{label}" for detector in NAMES.labels for label in LABELS]

LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0, 0.1, 1e-12)
INTS = (0, 1, 2, -3, 7, (1 << 63) - 1, -(1 << 63), 1 << 53, (1 << 53) + 1)
REALS = (0.0, -0.0, 0.5, 3.0, -2.5, 9007199254740992.0, 9007199254740994.0, 9.3e18, -9.3e18, 1e300)
WORDS = ("", "x", "xy", "xyz", "y\u00e9", "a\u0301\U0001f926", "x\ny", "it's", "X")
FEATURES: Mapping[str, tuple[Value, ...]] = {
    "n": INTS,
    "r": REALS,
    "word": WORDS,
    "yes": (True, False),
    "model": WORDS,
    "limit": WORDS,
    "format": INTS,
    "route": WORDS,
}
"""What a feature may be, by its name: of one type, as in a table. `format` is a string to the language, so that a
number there is unknown."""

PATTERNS = ("^x.?$", "x.y", "(?i)X", "(?s)x.y", "[^x]", "\\\\w+", "$", "\u00e9")


class Rules:
    """Conditions as text."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def condition(self, depth: int = 3) -> str:
        """True, false or unknown."""
        pick = self._random.random()
        if depth and pick < 0.45:
            inner = [self.condition(depth - 1) for _ in range(self._random.choice((2, 2, 3)))]
            return f"({self._random.choice((' && ', ' || ')).join(inner)})"
        if depth and pick < 0.55:
            return f"!({self.condition(depth - 1)})"
        if depth and pick < 0.6:
            return f"({self.condition(depth - 1)} ? {self.condition(depth - 1)} : {self.condition(depth - 1)})"
        if depth and pick < 0.63:
            return f"(({self.condition(depth - 1)}) {self._of('== !=')} ({self.condition(depth - 1)}))"
        return self._atom()

    def _of(self, words: str) -> str:
        return self._random.choice(words.split())

    def _score(self) -> str:
        return "scores." + self._random.choice(SCORES)

    def _real(self, depth: int = 2) -> str:
        pick = self._random.random()
        if not depth or pick < 0.6:
            return self._random.choice(
                (self._score(), self._score(), f"{self._random.choice(LEVELS)!r}", "thresholds.high", "thresholds.far")
            )
        if pick < 0.8:
            return f"({self._real(depth - 1)} {self._of('+ - * /')} {self._real(depth - 1)})"
        if pick < 0.9:
            return f"{self._of('min max')}({self._real(depth - 1)}, {self._real(depth - 1)}, {self._score()})"
        return f"(-{self._real(depth - 1)})" if pick < 0.95 else f"({self._atom()} ? {self._real(0)} : {self._real(0)})"

    def _whole(self, depth: int = 2) -> str:
        pick = self._random.random()
        if not depth or pick < 0.6:
            return self._random.choice(
                (str(self._random.choice(INTS)), "features.n", "size(features.word)", "size([1, features.n])")
            )
        if pick < 0.9:
            return f"({self._whole(depth - 1)} {self._of('+ - * / %')} {self._whole(depth - 1)})"
        return f"(-{self._whole(depth - 1)})"

    def _number(self) -> str:
        """Of a type that is seen only when it is there, or of either."""
        return self._random.choice(
            (
                "features.n",
                "features.r",
                "max(features.n, features.r, 2)",
                "min(features.r, features.n)",
                "(features.r / features.r)",
                "(features.yes ? features.n : features.r)",
                "(features.n + features.n)",
                f"{self._random.choice(REALS)!r}",
                "max([features.r, features.r / 0.0, features.n])",
            )
        )

    def _text(self) -> str:
        word = self._random.choice(("'x'", '"xy"', "''", "'it\\'s'", "'x\\ny'"))
        return self._random.choice(("features.word", "model", "route", "format", "features.limit", "direction", word))

    def _atom(self) -> str:
        any_, order = "== != < <= > >=", "< <= > >="
        match self._random.randrange(12):
            case 0 | 1 | 2:
                return f"{self._score()} {self._of(order)} {self._random.choice(LEVELS)!r}"
            case 3:
                return f"{self._real()} {self._of(any_)} {self._real()}"
            case 4:
                return f"{self._whole()} {self._of(any_)} {self._whole()}"
            case 5:
                return f"{self._number()} {self._of(any_)} {self._number()}"
            case 6:
                return f"{self._text()} {self._of(any_)} {self._text()}"
            case 7:
                return f"{self._text()}.{self._of('startsWith endsWith contains')}({self._text()})"
            case 8:
                return f"{self._text()}.matches('{self._random.choice(PATTERNS)}')"
            case 9:
                return self._random.choice(
                    (
                        f"{self._score()} in [0.0, 0.25, {self._score()}]",
                        f"{self._text()} in ['x', 'xy', {self._text()}]",
                        f"{self._text()} in ['x', 'xy']",
                        f"{self._number()} in [1, 3, features.n]",
                        f"{self._number()} in [{self._number()}]",
                        "features.word in []",
                        "features.yes in [true, features.yes]",
                    )
                )
            case 10:
                return f"has({self._random.choice((self._score(), 'features.n', 'features.word', 'features.gone'))})"
        return self._random.choice(
            ("features.yes", "features.n", "features.gone", "features.yes == true", "true", "false")
        )


class FactsMaker:
    """Scores and features; each may be missing."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def scores(self) -> dict[str, float]:
        return {name: self._random.choice(LEVELS) for name in SCORES if self._random.random() < 0.7}

    def features(self) -> dict[str, Any]:
        return {name: self._random.choice(of) for name, of in FEATURES.items() if self._random.random() < 0.7}

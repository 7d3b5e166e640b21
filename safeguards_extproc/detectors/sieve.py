"""Which of many expressions may match a text: one pass of a small automaton, which may say yes too often, never no.

Counted repetitions are what makes the automaton of a set large: where one expression counts forty letters and another
twenty signs, each pair of counts is a state. Together the exact expressions have more states than any memory of ours
holds, and each state that is made anew takes a microsecond. So the set counts to FEW and lets anything follow.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import re2  # type: ignore[import-untyped]

from safeguards_extproc.detectors.expression import options

FEW = 2
"""Repetitions that are counted."""

MEMORY = 32 << 20
"""Bytes that RE2 may use for a set or a union of patterns; each pattern alone has RE2's own 8 MiB."""

_TOKEN = re.compile(
    r"\\Q.*?(?:\\E|\Z)|\\[pP]\{[^}]*\}|\\x\{[0-9A-Fa-f]+\}|\\."
    r"|\[\^?\]?(?:\[:\^?[a-z]+:\]|\\[pP]\{[^}]*\}|\\.|[^\]\\])*\]"
    r"|\{(?P<least>\d+)(?P<more>,(?P<most>\d*))?\}",
    re.DOTALL,
)


class Sieve:
    """Expressions of RE2, each of which compiles. Raises re2.error where they are too large together."""

    __slots__ = ("_all", "_match")

    def __init__(self, patterns: Sequence[str]) -> None:
        known = re2.Set.SearchSet(options(MEMORY))
        # The end of the text always matches: without it in the answer, RE2 had no memory and nothing may be left out.
        known.Add(rb"\z")
        for pattern in patterns:
            known.Add(pattern.encode())
        known.Compile()
        self._match = known._set.Match
        self._all = range(len(patterns))

    def may(self, data: bytes) -> Sequence[int]:
        """Which of the expressions match `data`, in order; all of them where RE2 cannot say."""
        hits: list[int] = self._match(data)
        if hits == _NONE:
            return ()
        if not hits or 0 not in hits:
            return self._all
        return sorted(index - 1 for index in hits if index)


_NONE = [0]


def relaxed(pattern: str) -> str:
    """An expression that matches wherever `pattern` does, and counts no further than FEW."""
    return _TOKEN.sub(_relaxed, pattern)


def _relaxed(token: re.Match[str]) -> str:
    if token["least"] is None:
        return token[0]
    least = int(token["least"])
    most = least if token["more"] is None else int(token["most"]) if token["most"] else None
    if most is not None and most <= FEW:
        return token[0]
    return f"{{{min(least, FEW)},}}"

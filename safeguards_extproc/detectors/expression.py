"""An expression of RE2 that is asked for places alone: no match object, no argument that is not needed.

Most questions are asked of a kilobyte of text, and `re2` takes as long to wrap an answer as RE2 does to find it.
"""

from __future__ import annotations

from collections.abc import Sequence

import re2  # type: ignore[import-untyped]

Span = tuple[int, int]

NOWHERE: Span = (-1, -1)

_UNANCHORED = re2._Anchor.UNANCHORED


class Expression:
    """A pattern that is str reads UTF-8; in one that is bytes every byte is a sign of its own. Raises re2.error."""

    __slots__ = ("_match",)

    def __init__(self, pattern: str | bytes, memory: int = 8 << 20) -> None:
        chosen = options(memory)
        if isinstance(pattern, bytes):
            chosen.encoding = re2.Options.Encoding.LATIN1
        self._match = re2.compile(pattern, chosen)._regexp.Match

    def matches(self, data: bytes) -> bool:
        """Whether it matches anywhere."""
        return bool(self._match(_UNANCHORED, data, 0, len(data))[0] != NOWHERE)

    def span(self, data: bytes, start: int = 0) -> Span:
        """Where the first match at or behind `start` stands; NOWHERE if there is none. `start` is no beginning: what
        stands before it can be seen."""
        found: Span = self._match(_UNANCHORED, data, start, len(data))[0]
        return found

    def spans(self, data: bytes, start: int = 0) -> Sequence[Span]:
        """The same, and where each of its groups stands."""
        found: Sequence[Span] = self._match(_UNANCHORED, data, start, len(data))
        return found


def options(memory: int = 8 << 20) -> re2.Options:
    """RE2's, silent."""
    chosen = re2.Options()
    chosen.log_errors = False
    chosen.max_mem = memory
    return chosen


def either_case(word: str) -> str:
    """Letters of ASCII, small or capital. (In UTF-8 RE2's own flag takes the Kelvin sign for a k.)"""
    return "".join(f"[{char}{char.upper()}]" if char.isalpha() else char for char in word)

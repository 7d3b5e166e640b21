"""What a detector that runs in process is. It is pure: the same text gives the same findings, and none raises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from safeguards_extproc.core.decision import Findings


class Detector(Protocol):
    """Finds things in a text by their form.

    `scores` are all the "name.label" it may give; `entities` is what it can mark for redaction.
    """

    @property
    def name(self) -> str: ...

    @property
    def scores(self) -> frozenset[str]: ...

    @property
    def entities(self) -> frozenset[str]: ...

    @property
    def patterns(self) -> Sequence[str]:
        """Expressions of RE2, of which some match every text in which `find(text, ())` finds anything."""
        ...

    def find(self, text: str, views: Sequence[str]) -> Findings:
        """Every one of `scores`, the maximum over the text and its views, 0.0 where nothing was found.

        Spans are places in `text` alone, in order, and do not overlap: what only a view shows has a score and no span
        here, and hiding.py finds the stretch that shows it. Views that equal `text` cost nothing.
        """
        ...

    def tail(self, text: str, entities: frozenset[str]) -> int:
        """Characters at the end of `text` that may be the beginning of a match of one of `entities` ("*": all).

        For every text and every k, each span of `find(text, ())` with start < k < end has start >= k - tail(text[:k]).
        """
        ...

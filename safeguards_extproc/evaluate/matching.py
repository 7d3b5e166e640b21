"""Which score answers for a label: the one of its name, then one that is called alike, then a model's largest score.

A benchmark's labels are its own, so every score is compared with every label; this is the order in which they are told.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from difflib import SequenceMatcher

ANY = "any"
"""What the largest score of a model is called: "screen.any"."""

ALIKE = 0.75
"""How much of two names must be the same (difflib's ratio)."""


class Match(enum.StrEnum):
    """Why a score is compared with a label, best first."""

    NAME = "name"
    ALIKE = "alike"
    ANY = "any"
    OTHER = "other"


def matches(label: str, scores: Sequence[str]) -> list[tuple[str, Match]]:
    """Every score ("detector.label") with what ties it to the label, best first; those alike in the given order."""
    found = [(score, match(label, score)) for score in scores]
    rank = {kind: place for place, kind in enumerate(Match)}
    return sorted(found, key=lambda pair: rank[pair[1]])


def match(label: str, score: str) -> Match:
    """What ties a score to a label."""
    wanted, known = _words(label), _words(score.rpartition(".")[2])
    if "/" in score:
        return Match.OTHER
    if known == [ANY]:
        return Match.ANY
    if wanted == known:
        return Match.NAME
    if set(wanted) <= set(known) or set(known) <= set(wanted):
        return Match.ALIKE
    return Match.ALIKE if SequenceMatcher(None, "".join(wanted), "".join(known)).ratio() >= ALIKE else Match.OTHER


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", name.lower())

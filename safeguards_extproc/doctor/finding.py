"""A check, and what it found: where, what is wrong there, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from safeguards_extproc.doctor.seen import Seen


class Level(StrEnum):
    WRONG = "wrong"
    """Traffic goes unread, is refused, or breaks."""
    CARE = "care"
    """It works, and will hurt one day."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`where` names a listener, a route or a cluster."""

    where: str
    what: str


Look = Callable[[Seen], Iterator[Finding]]


@dataclass(frozen=True, slots=True)
class Check:
    """`code` is a slug for `--accept`, `asks` what is asked, `remedy` what to do where the answer is bad."""

    code: str
    level: Level
    asks: str
    look: Look
    remedy: str

"""What is wrong with a policy, all of it at once: each problem says where, what, and how to mend it."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from safeguards_extproc.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. `where` is "file:line", `path` the dotted path in the document, "" for the document itself."""

    where: str
    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        parts = ": ".join(part for part in (self.where, self.path, self.message) if part)
        return parts + (f" ({self.hint})" if self.hint else "")


class PolicyError(ConfigError):
    """A policy that does not load. `problems` holds every mistake that was found, in the order of the file."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        first = self.problems[0]
        if len(self.problems) == 1:
            message = f"{first.path}: {first.message}" if first.path else first.message
            super().__init__(message, where=first.where, hint=first.hint)
        else:
            super().__init__("\n".join([f"{len(self.problems)} problems", *map(str, self.problems)]))


def suggest(word: str, known: Collection[str]) -> str:
    """A hint for a misspelt word: the nearest known one, or all of them if there are few."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known: {', '.join(sorted(known))}" if 0 < len(known) <= 24 else ""

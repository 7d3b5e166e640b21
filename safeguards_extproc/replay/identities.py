"""Which identities would stand elsewhere: the strikes of both sides of a replay, climbed up the policy's ladder.

Everybody begins in good standing, and what people undid is not known: it is what the ladder alone would have done with
these exchanges. Strikes are kept as a few numbers each, so that months of them fit into memory, and sorted by time, so
that it does not matter in which order they came.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from safeguards_extproc.core.account import STEPS, Step
from safeguards_extproc.enforcement import ladder
from safeguards_extproc.enforcement.events import Strike
from safeguards_extproc.enforcement.projection import EMPTY, State, fold, standing
from safeguards_extproc.policy.account_document import EnforcementSpec, StrikeSpec
from safeguards_extproc.replay.verdict import Verdict


class Stands(NamedTuple):
    """An identity that stands elsewhere at the end."""

    kind: str
    subject: str
    before: str
    after: str


@dataclass(slots=True)
class Strikes:
    """Strikes in columns: whose, when, and by which of the policy's strikes."""

    subjects: array[int] = field(default_factory=lambda: array("L"))
    times: array[float] = field(default_factory=lambda: array("d"))
    specs: array[int] = field(default_factory=lambda: array("H"))

    def add(self, subject: int, time: float, spec: int) -> None:
        self.subjects.append(subject)
        self.times.append(time)
        self.specs.append(spec)

    def rows(self) -> Iterator[tuple[int, float, int]]:
        return zip(self.subjects, self.times, self.specs, strict=True)


@dataclass(slots=True)
class Identities:
    """Strikes by one policy's `spec` before, and by another's or the same after."""

    before_spec: EnforcementSpec = field(default_factory=EnforcementSpec)
    after_spec: EnforcementSpec = field(default_factory=EnforcementSpec)
    names: dict[tuple[str, str], int] = field(default_factory=dict)
    before: Strikes = field(default_factory=Strikes)
    after: Strikes = field(default_factory=Strikes)

    def wants(self, verdict: Verdict) -> bool:
        """Whether the exchange is a strike by either policy, so that its identity and time are needed."""
        specs = (*self.before_spec.strikes, *self.after_spec.strikes)
        return verdict.judged and any(_fits(spec, verdict) for spec in specs)

    def add(self, before: Verdict, after: Verdict) -> None:
        for verdict, spec, strikes in (
            (before, self.before_spec, self.before),
            (after, self.after_spec, self.after),
        ):
            at = _which(spec.strikes, verdict)
            if at is not None and verdict.subject:
                key = (verdict.kind, verdict.subject)
                strikes.add(self.names.setdefault(key, len(self.names)), _seconds(verdict.time), at)

    def merge(self, other: Identities) -> None:
        mine = [self.names.setdefault(key, len(self.names)) for key in other.names]
        for ours, theirs in ((self.before, other.before), (self.after, other.after)):
            for subject, time, spec in theirs.rows():
                ours.add(mine[subject], time, spec)

    def changed(self) -> tuple[Counter[tuple[str, str]], list[Stands]]:
        """How many identities with strikes go from which step to which, unchanged ones too, and the changed ones by
        name: the most severe change first."""
        names = list(self.names)
        end = max([*self.before.times, *self.after.times], default=0.0)
        before = _steps(self.before, self.before_spec, end)
        after = _steps(self.after, self.after_spec, end)
        moves: Counter[tuple[str, str]] = Counter()
        moved = []
        for subject in sorted(before.keys() | after.keys(), key=lambda at: names[at]):
            old, new = before.get(subject, Step.GOOD), after.get(subject, Step.GOOD)
            moves[old.value, new.value] += 1
            if old is not new:
                moved.append(Stands(*names[subject], old.value, new.value))
        moved.sort(key=lambda each: -abs(STEPS[Step(each.after)] - STEPS[Step(each.before)]))
        return moves, moved


def _which(specs: Sequence[StrikeSpec], verdict: Verdict) -> int | None:
    """The first of the policy's strikes that the exchange is, as enforcement/strikes.py finds it."""
    if not verdict.judged:
        return None
    return next((at for at, spec in enumerate(specs) if _fits(spec, verdict)), None)


def _fits(spec: StrikeSpec, verdict: Verdict) -> bool:
    return verdict.outcome in spec.outcomes and spec.category in (None, verdict.category)


def _steps(strikes: Strikes, spec: EnforcementSpec, end: float) -> dict[int, Step]:
    """Where each identity stands at the end."""
    states: dict[int, State] = {}
    for subject, time, which in sorted(strikes.rows(), key=lambda row: (row[1], row[0], row[2])):
        states[subject] = _climb(states.get(subject, EMPTY), spec, spec.strikes[which], time)
    return {subject: standing(state, end).step for subject, state in states.items()}


def _climb(state: State, spec: EnforcementSpec, strike: StrikeSpec, at: float) -> State:
    """One strike more, and the rungs that it fires. A delay that is drawn takes its middle."""
    told = Strike(
        subject="", record="", at=at, weight=strike.weight, first=strike.first, half_life=strike.half_life, policy=""
    )
    event = ladder.strike(told, state, at)
    state = fold(state, event)
    for rung in ladder.fired(spec.ladder, state, at):
        state = fold(state, ladder.step(rung, event, at, lambda least, most: (least + most) / 2))
    return state


def _seconds(time: str) -> float:
    """Seconds since the epoch; 0 where a record has no time."""
    try:
        return datetime.fromisoformat(time).timestamp()
    except ValueError:
        return 0.0

"""Where strikes lead: a rung fires when they reach it, once, until they have fallen below it again.

Whether it has fired is known from the events (`State.held`), not from a counter beside them, so a strike that is taken
back takes its steps with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from safeguards_extproc.enforcement.events import Event, Kind, Strike
from safeguards_extproc.enforcement.projection import State, reaches
from safeguards_extproc.policy.account_document import Rung

Draw = Callable[[float, float], float]
"""A number drawn evenly between two."""


def strike(told: Strike, state: State, at: float) -> Event:
    """The event to enter for a strike: the first of an identity may weigh something else."""
    weight = told.first if told.first is not None and not state.count else told.weight
    data: dict[str, Any] = {"half_life": told.half_life} if told.half_life else {}
    if told.digest:
        data["policy"] = told.digest
    return Event(
        kind=Kind.STRIKE,
        subject=told.subject,
        subject_kind=told.subject_kind,
        at=min(told.at, at) if told.at else at,
        weight=weight,
        category=told.category,
        rule=told.rule,
        evidence=tuple(dict.fromkeys((told.record, *told.evidence))),
        actor=f"policy:{told.policy}",
        data=data,
    )


def fired(rungs: Sequence[Rung], state: State, at: float) -> list[Rung]:
    """The rungs that the strikes reach and that have not fired, the lowest first. `state` has the strike at `at`."""
    total = state.strikes.total(state.strikes.latest(at))
    return [
        rung
        for rung in sorted(rungs, key=lambda rung: rung.at)
        if reaches(total, rung.at) and (rung.at, rung.step) not in state.held
    ]


def step(rung: Rung, cause: Event, at: float, draw: Draw) -> Event:
    """The event to enter for a rung that fired because of a strike. What is delayed begins at a time that is drawn,
    and lasts from then on, so that it never begins past its end."""
    due = at + draw(rung.delay.at_least, max(rung.delay.at_least, rung.delay.at_most)) if rung.delay else 0.0
    data: dict[str, Any] = {"rung": rung.at}
    match rung.step:
        case "throttle":
            data["share"] = rung.share
        case "restrict":
            data |= {"models": sorted(rung.models), "tools": rung.tools}
    if "policy" in cause.data:
        data["policy"] = cause.data["policy"]
    return Event(
        kind=Kind(rung.step),
        subject=cause.subject,
        subject_kind=cause.subject_kind,
        at=at,
        category=cause.category,
        rule=cause.rule,
        reason=rung.reason,
        evidence=cause.evidence,
        actor=cause.actor,
        until=(due or at) + rung.lasting if rung.lasting else 0.0,
        due=due,
        cause=cause.id,
        data=data,
    )

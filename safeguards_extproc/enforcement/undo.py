"""What it takes to take something back: an event for it, and one for each step that follows from it no more.

Nothing is removed: an event is in force unless an event that undoes it is. To undo an undo is to bring back what it
took, with what it took in its wake, so action and undo together change nothing. The steps of the ladder follow the
strikes: after each undo, one stands exactly if the strikes that are left reach it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from safeguards_extproc.enforcement.events import STEPS, UNDOING, Event, Kind
from safeguards_extproc.enforcement.projection import support, undone
from safeguards_extproc.errors import NotAllowed

Enter = Callable[[Event], Event]
"""Enters an event: gives it its id and time, and adds it to the identity's events."""


def undo(events: Sequence[Event], target: Event, taking: Event, enter: Enter) -> None:
    """Enter `taking`, which undoes `target`, and all that follows. `events` are the identity's, in the order of their
    ids, and grow by what is entered. Raises NotAllowed where there is nothing that could be undone."""
    back = undone(events)
    if target.cascaded:
        raise NotAllowed(f"event {target.id} follows from event {target.cause}: undo that one")
    if (by := back.get(target.id)) is not None:
        raise NotAllowed(f"event {target.id} is taken back already, by event {by.id}")
    taken = enter(taking)
    if target.kind in UNDOING:
        for wake in [each for each in events if each.cascaded and each.cause == target.id and each.id not in back]:
            _follow(wake, taken, enter)
    settle(events, taken, enter)


def settle(events: Sequence[Event], cause: Event, enter: Enter) -> None:
    """Take back the ladder's steps that the strikes no longer reach, bring back those that they reach again."""
    back = undone(events)
    wakes = {each.undoes: each for each in events if each.cascaded and each.id not in back}
    for step in [each for each in events if each.kind in STEPS and each.rung is not None]:
        wake = wakes.get(step.id)
        strike = support(events, back, step, math.inf if wake is None else wake.id)
        if wake is None and strike is None:
            _follow(step, cause, enter)
        elif wake is not None and strike is not None:
            _follow(wake, cause, enter)


def _follow(target: Event, cause: Event, enter: Enter) -> None:
    enter(
        Event(
            kind=Kind.UNDO,
            subject=target.subject,
            subject_kind=target.subject_kind,
            reason=cause.reason,
            actor=cause.actor,
            undoes=target.id,
            cause=cause.id,
            data=cause.data,
        )
    )

"""Who may appeal against what, and who may decide it: nobody judges what they did themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from safeguards_extproc.enforcement.events import STEPS, Event, Kind
from safeguards_extproc.enforcement.projection import undone
from safeguards_extproc.errors import NotAllowed

APPEALABLE = frozenset(STEPS) | {Kind.STRIKE, Kind.LABEL}
"""Kinds of events that one can appeal against."""


def lodge(appeal: Event, events: Sequence[Event]) -> None:
    """Raises NotAllowed if the event that the appeal names as its cause is not one of this identity's that can be
    appealed against, is taken back, or has an open appeal."""
    back = undone(events)
    target = next((each for each in events if each.id == appeal.cause), None)
    if target is None or target.kind not in APPEALABLE:
        raise NotAllowed(f"event {appeal.cause} is not a strike, step or label of this identity")
    if target.id in back:
        raise NotAllowed(f"event {target.id} is taken back already, by event {back[target.id].id}")
    for each in events:
        if each.kind is Kind.APPEAL and each.cause == target.id and open_(each, events, back):
            raise NotAllowed(f"appeal {each.id} against event {target.id} is open")


def open_(appeal: Event, events: Sequence[Event], back: Mapping[int, Event]) -> bool:
    """Whether an appeal is neither withdrawn nor decided. `back` is what is undone, by id."""
    return appeal.id not in back and decision(appeal, events, back) is None


def decision(appeal: Event, events: Sequence[Event], back: Mapping[int, Event]) -> Event | None:
    """The event that decided an appeal: it overturns, or notes that what was done stands."""
    for each in events:
        if each.cause == appeal.id and each.id not in back and (each.kind is Kind.OVERTURN or "upheld" in each.data):
            return each
    return None


def decide(appeal: Event, events: Sequence[Event], actor: str) -> Event:
    """The event that an open appeal is against. Raises NotAllowed if it is no appeal, is not open, or if the actor may
    not decide it: whoever appealed, acted, approved, or entered what the event follows from."""
    if appeal.kind is not Kind.APPEAL:
        raise NotAllowed(f"event {appeal.id} is no appeal")
    back = undone(events)
    if appeal.id in back:
        raise NotAllowed(f"appeal {appeal.id} was withdrawn")
    if (decided := decision(appeal, events, back)) is not None:
        raise NotAllowed(f"appeal {appeal.id} is decided already, by event {decided.id}")
    by_id = {each.id: each for each in events}
    target = by_id[appeal.cause or 0]
    involved, link = {appeal.actor}, by_id.get(target.id)
    while link is not None:
        involved |= {link.actor, str(link.data.get("approver", ""))}
        link = by_id.get(link.cause or 0)
    if actor in involved:
        raise NotAllowed(f"an appeal against event {target.id} is decided by somebody who had no part in it")
    return target

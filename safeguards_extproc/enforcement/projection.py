"""Where an identity stands, as the sum of its events: the same whether they come one by one or all at once.

`fold` takes one event that counts; `replay` folds all that are not taken back, in the order of their ids. The ledger
keeps the folded state and replays only where something is undone, so both must give the same to the last bit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from safeguards_extproc.core import account
from safeguards_extproc.core.account import Standing, Step
from safeguards_extproc.enforcement.events import STEPS, UNDOING, Event, Kind

_SLACK = 1e-9
"""Ten strikes of 0.1 are one: sums within this part of a threshold have reached it."""


def reaches(total: float, at: float) -> bool:
    """Whether so many strikes reach a rung."""
    return total >= at * (1 - _SLACK)


def _left(seconds: float, half_life: float) -> float:
    """What part of a strike is left after so long; all of it, for ever, where the half-life is 0."""
    return float(0.5 ** (seconds / half_life)) if half_life else 1.0


@dataclass(frozen=True, slots=True)
class Strikes:
    """Strikes by half-life, each as a sum and the time of its latest strike: weights halve from when they were."""

    sums: Mapping[float, tuple[float, float]] = field(default_factory=dict)

    def latest(self, at: float) -> float:
        """The later of `at` and the latest strike."""
        return max([at, *(moment for _, moment in self.sums.values())])

    def total(self, at: float) -> float:
        """Their sum at a time that is not before the latest."""
        return math.fsum(total * _left(at - moment, half_life) for half_life, (total, moment) in self.sums.items())

    def add(self, weight: float, at: float, half_life: float) -> Strikes:
        """One more. One that comes late counts for what is left of it."""
        total, moment = self.sums.get(half_life, (0.0, at))
        now = max(moment, at)
        total = total * _left(now - moment, half_life) + weight * _left(now - at, half_life)
        return Strikes({**self.sums, half_life: (total, now)})


@dataclass(frozen=True, slots=True)
class Effect:
    """A step or label, from `start` until `end`."""

    id: int
    step: Step
    start: float
    end: float
    rule: str = ""
    reason: str = ""
    share: float = 1.0
    models: tuple[str, ...] = ()
    tools: bool = False
    flag: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """An identity's events, folded. `count` is how many strikes there are, `held` the rungs that have fired and whose
    strikes have not fallen below them since, `effects` the steps and labels that have not ended."""

    strikes: Strikes = field(default_factory=Strikes)
    count: int = 0
    held: frozenset[tuple[float, str]] = frozenset()
    effects: tuple[Effect, ...] = ()


EMPTY = State()


def fold(state: State, event: Event) -> State:
    """The state after one more event. What is undone is not folded: that takes a replay."""
    match event.kind:
        case Kind.STRIKE:
            before = state.strikes.total(state.strikes.latest(event.at))
            strikes = state.strikes.add(event.weight, event.at, float(event.data.get("half_life") or 0.0))
            held = frozenset(rung for rung in state.held if reaches(before, rung[0]))
            return replace(state, strikes=strikes, count=state.count + 1, held=held)
        case Kind.REINSTATE:
            return replace(state, effects=tuple(each for each in state.effects if each.flag))
        case Kind.LABEL:
            return replace(state, effects=(*state.effects, _effect(event, Step.GOOD)))
        case kind if kind in STEPS:
            state = replace(state, effects=(*state.effects, _effect(event, STEPS[kind])))
            return hold(state, event)
    return state


def hold(state: State, event: Event) -> State:
    """The rung that the step was fired from does not fire again until the strikes have fallen below it."""
    return state if event.rung is None else replace(state, held=state.held | {event.rung})


def _effect(event: Event, step: Step) -> Effect:
    data = event.data
    return Effect(
        id=event.id,
        step=step,
        start=event.start,
        end=event.end,
        rule=event.rule,
        reason=event.reason,
        share=float(data.get("share", 1.0)) if event.kind is Kind.THROTTLE else 1.0,
        models=tuple(sorted(data.get("models", ()))) if event.kind is Kind.RESTRICT else (),
        tools=bool(data.get("tools")) and event.kind is Kind.RESTRICT,
        flag=data["flag"] if event.kind is Kind.LABEL else "",
    )


def undone(events: Sequence[Event]) -> Mapping[int, Event]:
    """By id, the events that are taken back, and the first event that does so and is not taken back itself."""
    by: dict[int, Event] = {}
    for event in reversed(events):
        if event.undoes is not None and event.id not in by:
            by[event.undoes] = event
    return by


def support(events: Sequence[Event], back: Mapping[int, Event], step: Event, before: float = math.inf) -> int | None:
    """The strike on which a step of the ladder rests: the first, from the one that fired it, by which the strikes that
    are left reach its rung; None if there is none. Those of event `before` and later are not looked at, nor those from
    which on the rung fired again. `back` is what is undone, by id."""
    again = (each.cause for each in events if each.id > step.id and each.rung == step.rung and each.kind in STEPS)
    last, strikes = min([before, *(cause for cause in again if cause is not None)]), Strikes()
    fired, at = step.cause or 0, float(step.data["rung"])
    for event in events:
        if event.id >= last:
            break
        if event.kind is Kind.STRIKE and event.id not in back:
            strikes = strikes.add(event.weight, event.at, float(event.data.get("half_life") or 0.0))
            if event.id >= fired and reaches(strikes.total(strikes.latest(event.at)), at):
                return event.id
    return None


def replay(events: Iterable[Event]) -> State:
    """All events of an identity, in the order of their ids, folded. A step that a person took back still holds its
    rung; one that was taken back with its strikes does not. Where the strike that fired a step is undone and a later
    one bears it, the rung is held from that one on."""
    events = list(events)
    back, state = undone(events), EMPTY
    cascaded = {event.undoes for event in events if event.cascaded and event.id not in back}
    borne: dict[int, list[Event]] = {}
    if any(event.kind is Kind.STRIKE and event.id in back for event in events):
        for step in events:
            if step.rung is not None and step.kind in STEPS and step.id not in cascaded:
                borne.setdefault(support(events, back, step) or 0, []).append(step)
    for event in events:
        if event.kind in UNDOING:
            continue
        if event.id not in back:
            state = fold(state, event)
        elif event.id not in cascaded:
            state = hold(state, event)
        for step in borne.get(event.id, ()):
            state = hold(state, step)
    return state


def prune(state: State, now: float) -> State:
    """Without the effects that have ended."""
    return replace(state, effects=tuple(each for each in state.effects if each.end > now))


def standing(state: State, now: float) -> Standing:
    """The most severe step in force, of equal ones that which ends last. One who is restricted and throttled is both:
    the smallest share, all the models that are taken. `revision` is 0: the ledger's to give."""
    on = [each for each in state.effects if each.start <= now < each.end]
    flags = frozenset(each.flag for each in on if each.flag)
    steps = [each for each in on if not each.flag]
    if not steps:
        return Standing(flags=flags)
    top = max(steps, key=lambda each: (account.STEPS[each.step], each.end, each.id))
    return Standing(
        step=top.step,
        rule=top.rule,
        reason=top.reason,
        until=0.0 if math.isinf(top.end) else top.end,
        share=min(each.share for each in steps),
        models=frozenset().union(*(each.models for each in steps)),
        tools=any(each.tools for each in steps),
        flags=flags,
    )


def turns(state: State, now: float) -> float | None:
    """When the standing may change by itself next."""
    moments = (moment for each in state.effects for moment in (each.start, each.end))
    return min((moment for moment in moments if now < moment < math.inf), default=None)


def encode(state: State) -> str:
    """The state as JSON; equal states give equal text."""
    return json.dumps(
        {
            "strikes": [[half_life, *pair] for half_life, pair in sorted(state.strikes.sums.items())],
            "count": state.count,
            "held": sorted(state.held),
            "effects": [_row(each) for each in state.effects],
        },
        separators=(",", ":"),
    )


def decode(text: str) -> State:
    """What `encode` wrote."""
    value = json.loads(text)
    return State(
        strikes=Strikes({half_life: (total, moment) for half_life, total, moment in value["strikes"]}),
        count=value["count"],
        held=frozenset((at, step) for at, step in value["held"]),
        effects=tuple(
            Effect(
                **{
                    **row,
                    "step": Step(row["step"]),
                    "end": math.inf if row["end"] is None else row["end"],
                    "models": tuple(row["models"]),
                }
            )
            for row in value["effects"]
        ),
    )


def _row(effect: Effect) -> dict[str, Any]:
    row = {name: getattr(effect, name) for name in Effect.__slots__}
    return {**row, "end": None if math.isinf(effect.end) else effect.end}

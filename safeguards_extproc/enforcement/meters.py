"""How a limit counts, in whole numbers: a rate, a budget and leases, which adapters/limits.lua counts alike.

The one rule: never more than the limit says, in any window of time, and where arithmetic rounds it rounds against the
caller. Pure: times are microseconds of any clock and are given; a clock that went back is taken as it is from there on.

A rate and a budget keep what was charged in slots of time, at most SLOTS of them, so that a reservation can be put
right in the very slot where it was taken: what the meter then says is what it would say had the right cost been known
from the start. A slot counts as charged at its last charge (rate) or leaves as a whole (budget), so a limit may be
tighter than it says by a slot's width: 1/64 of the time of a burst, or of the period.

- A rate is the generic cell rate algorithm of ITU-T I.371: a queue of charges that drains at the rate and holds at most
  the burst. Slots older than the time of a burst are folded into the queue: giving back what was reserved so long ago
  changes nothing any more (it has drained), taking more still does.
- A budget is the sum of the slots of the last period.
- A lease is out until it is given back or has not been renewed for its time; the same lease twice counts once, and
  whatever its cost it is one.

A charge of 0 takes nothing and is allowed where a charge of 1 would be. A charge above the burst or the budget is
never allowed; what it is told to wait is the time of a whole burst or period.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from math import gcd

from safeguards_extproc.core.account import Counted, Limit, Shape

MOST = (1 << 53) - 1
"""The largest whole number that Redis's Lua, which counts in doubles, tells from its neighbours."""

SLOTS = 64
LEASE_US = 30_000_000
ASK_AGAIN_US = 1_000_000
"""What is told to one who waits for a lease: nobody knows when a stream ends."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """A limit in whole numbers. `most` units fit. A rate's queue is measured in parts: a unit is `unit` parts long and
    `drain` parts drain each microsecond. Slots are `width` microseconds wide, whatever the share. `span` is the time
    of a whole burst, a budget's period, or how long a lease lasts, in microseconds."""

    shape: Shape
    most: int
    unit: int = 1
    drain: int = 0
    width: int = 1
    span: int = 0


@lru_cache(maxsize=4096)
def gauge(limit: Limit, share: float = 1.0, lease_us: int = LEASE_US) -> Gauge:
    """`share` of a limit, at least 1 of everything; leases last `lease_us`. Exact, save where a burst is longer than
    2^52 parts: then the rate is less than 1 in 2^52 / burst too low."""
    amount, period = max(1, int(limit.amount * share)), max(1, round(limit.period_s * 1e6))
    match limit.shape:
        case Shape.RATE:
            burst, longest = max(1, int(limit.burst * share)), 1 << 52
            width = _up(_up(max(1, limit.burst) * period, max(1, limit.amount)), SLOTS)
            drain = max(1, min(amount // gcd(amount, period), longest * amount // (burst * period)))
            unit = _up(drain * period, amount)
            most = max(1, min(burst, longest // unit))
            return Gauge(limit.shape, most, unit, drain, width, _up(most * unit, drain))
        case Shape.BUDGET:
            return Gauge(limit.shape, amount, width=_up(period, SLOTS), span=period)
        case _:
            return Gauge(limit.shape, amount, span=lease_us)


@dataclass(slots=True)
class Meter:
    """What a rate or a budget has counted. `slots` are [time of the last charge, units], oldest first. `backlog` is a
    rate's queue at `since`, in parts of which `unit` are a unit: what is older than the slots."""

    backlog: int = 0
    since: int = 0
    unit: int = 1
    slots: list[list[int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Reading:
    """Whether a charge is allowed; what is counted: a rate's queue in parts, a budget's units, leases; microseconds
    until nothing of it is left, and until there is room for the charge."""

    allowed: bool
    level: int
    empty_us: int = 0
    room_us: int = 0


def read(scale: Gauge, meter: Meter, cost: int, now: int, before: int = 0) -> Reading:
    """What a rate or a budget says to a charge at `now` that comes after `before` units; it takes neither."""
    need = before + max(1, cost)
    if scale.shape is Shape.RATE:
        return of_level(scale, _drained(scale, meter, now), need)
    live = [(min(at, now), units) for at, units in meter.slots if _leaves(scale, min(at, now)) > now]
    level = sum(units for _, units in live)
    empty = _leaves(scale, live[-1][0]) - now if level else 0
    room, left = 0, level
    if need > scale.most:
        room = scale.span
    elif level + need > scale.most:
        for at, units in live:
            left -= units
            if left + need <= scale.most:
                room = _leaves(scale, at) - now
                break
    return Reading(level + need <= scale.most, level, empty, room)


def of_level(scale: Gauge, level: int, need: int) -> Reading:
    """What a rate says to `need` units while `level` parts wait in its queue."""
    full = scale.most * scale.unit
    fits = level + need * scale.unit <= full
    room = 0 if fits else scale.span if need > scale.most else _up(level + need * scale.unit - full, scale.drain)
    return Reading(fits, level, _up(level, scale.drain), room)


def of_leases(scale: Gauge, out: int, *, mine: bool) -> Reading:
    """What leases say to one more while `out` are out, or to one that is among them."""
    allowed = mine or out < scale.most
    return Reading(allowed, out, scale.span if out else 0, 0 if allowed else ASK_AGAIN_US)


def take(scale: Gauge, meter: Meter, cost: int, now: int) -> None:
    """Count a charge of a rate or a budget, allowed or not."""
    meter.since = min(meter.since, now)
    for slot in meter.slots:
        slot[0] = min(slot[0], now)
    _fold(scale, meter, now)
    if cost:
        if meter.slots and _slot(scale, meter.slots[-1][0]) == _slot(scale, now):
            meter.slots[-1][0] = now
            meter.slots[-1][1] += cost
        else:
            meter.slots.append([now, cost])


def correct(scale: Gauge, meter: Meter, at: int, more: int) -> None:
    """Count `more` than was charged at `at`, or less if negative, in its slot; of a slot that is gone only more."""
    for place, slot in enumerate(meter.slots):
        if _slot(scale, slot[0]) == _slot(scale, at):
            slot[1] += more
            if slot[1] <= 0:
                del meter.slots[place]
            return
        if slot[0] > at:
            if more > 0:
                meter.slots.insert(place, [at, more])
            return
    if more > 0:
        meter.slots.append([at, more])


def counted(limit: Limit, scale: Gauge, reading: Reading, taken: int, now: int) -> Counted:
    """A reading in the limit's own units, after `taken` units were counted at `now`."""
    if scale.shape is Shape.RATE:
        level = reading.level + taken * scale.unit
        remaining, empty = (scale.most * scale.unit - level) // scale.unit, _up(level, scale.drain)
    else:
        remaining, empty = scale.most - reading.level - taken, reading.empty_us
        if taken:
            empty = scale.span if scale.shape is Shape.CONCURRENT else _leaves(scale, now) - now
    return Counted(limit, reading.allowed, max(0, remaining), empty / 1e6, reading.room_us / 1e6)


def lifetime_us(scale: Gauge, more: int = 0) -> int:
    """How long a meter matters after a charge, or after a correction by `more`."""
    if scale.shape is Shape.RATE:
        return 2 * scale.span + _up(max(0, more) * scale.unit, scale.drain)
    return scale.span if scale.shape is Shape.CONCURRENT else scale.span + 2 * scale.width


def _drained(scale: Gauge, meter: Meter, now: int) -> int:
    """The queue's length at `now`, in parts."""
    level, at = _rescaled(scale, meter), min(meter.since, now)
    for then, units in meter.slots:
        level, at = _queued(scale, level, at, min(then, now), units)
    return max(0, level - (now - at) * scale.drain)


def _queued(scale: Gauge, level: int, at: int, then: int, units: int) -> tuple[int, int]:
    then = max(at, then)
    return min(max(0, level - (then - at) * scale.drain) + units * scale.unit, MOST), then


def _rescaled(scale: Gauge, meter: Meter) -> int:
    if meter.unit == scale.unit:
        return meter.backlog
    return min(_up(meter.backlog, meter.unit) * scale.unit, MOST)


def _fold(scale: Gauge, meter: Meter, now: int) -> None:
    gone = 0
    if scale.shape is Shape.RATE:
        level, at = _rescaled(scale, meter), meter.since
        while gone < len(meter.slots) and meter.slots[gone][0] <= now - SLOTS * scale.width:
            level, at = _queued(scale, level, at, *meter.slots[gone])
            gone += 1
        meter.backlog, meter.since, meter.unit = level, at, scale.unit
    else:
        while gone < len(meter.slots) and _leaves(scale, meter.slots[gone][0]) <= now:
            gone += 1
    del meter.slots[:gone]


def _slot(scale: Gauge, at: int) -> int:
    return at // scale.width


def _leaves(scale: Gauge, at: int) -> int:
    """When a budget's slot leaves its period."""
    return (at // scale.width + 1) * scale.width + scale.span


def _up(number: int, by: int) -> int:
    return -(-number // by)

"""Limits counted in this process: the default, and what a worker counts by itself while a shared store is away.

The one rule: the answers are those of the store on Redis (the same contract tests hold for both), and memory is
bounded: past `most` meters or exchanges the longest untouched are forgotten, and counted in `forgotten`.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from safeguards_extproc.core.account import Charge, Counted, Shape
from safeguards_extproc.enforcement import meters
from safeguards_extproc.enforcement.meters import Gauge, Meter, Reading

Key = tuple[str, Shape, tuple[str, ...]]
Leases = OrderedDict[tuple[str, int], int]

PENDING_US = 3_600_000_000
"""How long after its admission, or after it was last renewed, an exchange can be put right."""


@dataclass(slots=True)
class _Held:
    """A meter or leases, and when that is no longer of interest."""

    meter: Meter
    leases: Leases
    until: int = 0


@dataclass(slots=True)
class _Pending:
    """An exchange that was admitted: when, and which of its charges were taken."""

    at: int
    until: int
    taken: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class _Decision:
    charge: Charge
    scale: Gauge
    key: Key
    reading: Reading
    units: int


class MemoryLimits:
    """A ports.LimitStore for one event loop. `clock` gives nanoseconds of a clock that never goes back. `lease_us` is
    how long leases last unless renewed."""

    def __init__(
        self,
        clock: Callable[[], int] = time.monotonic_ns,
        *,
        most: int = 100_000,
        lease_us: int = meters.LEASE_US,
    ) -> None:
        self.forgotten = 0
        self._clock = clock
        self._most = most
        self._lease_us = lease_us
        self._held: OrderedDict[Key, _Held] = OrderedDict()
        self._pending: OrderedDict[str, _Pending] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held) + len(self._pending)

    async def admit(self, id: str, charges: Sequence[Charge], shares: Sequence[float]) -> Sequence[Counted]:
        """As the port says; never raises."""
        now = self._clock() // 1000
        known = self._pending.get(id)
        decisions: list[_Decision] = []
        asked: dict[Key, int] = {}
        for place, (charge, share) in enumerate(zip(charges, shares, strict=True)):
            limit = charge.limit
            scale, key = meters.gauge(limit, share, self._lease_us), (limit.name, limit.shape, charge.subject)
            held, before = self._held.get(key), asked.get(key, 0)
            if limit.shape is Shape.CONCURRENT:
                leases = held.leases if held else Leases()
                mine = leases.get((id, place), 0) > now
                reading = meters.of_leases(scale, _out(leases, now) + before, mine=mine)
                units = 0 if mine or not charge.cost else 1
            else:
                reading = meters.read(scale, held.meter if held else Meter(), charge.cost, now, before)
                units = charge.cost
            if known:
                reading = Reading(known.taken[place], reading.level, reading.empty_us)
            asked[key] = before + units
            decisions.append(_Decision(charge, scale, key, reading, units))
        if known or any(not one.reading.allowed and one.charge.limit.enforced for one in decisions):
            return [meters.counted(one.charge.limit, one.scale, one.reading, 0, now) for one in decisions]
        answers = []
        for place, one in enumerate(decisions):
            taken = one.units if one.reading.allowed else 0
            if one.reading.allowed:
                self._take(id, place, one, now)
            answers.append(meters.counted(one.charge.limit, one.scale, one.reading, taken, now))
        if charges:
            self._pending[id] = _Pending(now, now + PENDING_US, tuple(one.reading.allowed for one in decisions))
            self._bound(self._pending, now)
        return answers

    async def settle(self, id: str, used: Sequence[tuple[Charge, int]]) -> None:
        """As the port says; never raises."""
        pending = self._pending.pop(id, None)
        for place, (charge, units) in enumerate(used):
            limit = charge.limit
            key = (limit.name, limit.shape, charge.subject)
            held = self._held.get(key)
            if limit.shape is Shape.CONCURRENT:
                if held:
                    held.leases.pop((id, place), None)
            elif pending and pending.taken[place] and units != charge.cost:
                held = held or self._hold(key)
                scale, more = meters.gauge(limit), units - charge.cost
                meters.correct(scale, held.meter, pending.at, more)
                held.until = max(held.until, self._clock() // 1000 + meters.lifetime_us(scale, more))

    async def renew(self, ids: Sequence[tuple[str, Sequence[Charge]]]) -> None:
        """As the port says; never raises."""
        now = self._clock() // 1000
        for id, charges in ids:
            pending = self._pending.get(id)
            if pending:
                pending.until = now + PENDING_US
                self._pending.move_to_end(id)
            for place, charge in enumerate(charges):
                if charge.limit.shape is Shape.CONCURRENT and charge.cost and (not pending or pending.taken[place]):
                    self._lease((charge.limit.name, charge.limit.shape, charge.subject), (id, place), now)

    async def close(self) -> None:
        """Forget everything."""
        self._held.clear()
        self._pending.clear()

    def _take(self, id: str, place: int, one: _Decision, now: int) -> None:
        if one.scale.shape is not Shape.CONCURRENT:
            held = self._hold(one.key)
            meters.take(one.scale, held.meter, one.units, now)
            life = meters.lifetime_us(one.scale, one.reading.level // one.scale.unit)
            held.until = max(held.until, now + life)
            self._held.move_to_end(one.key)
            self._bound(self._held, now)
        elif one.charge.cost:
            self._lease(one.key, (id, place), now)

    def _hold(self, key: Key) -> _Held:
        held = self._held.get(key)
        if held is None:
            held = self._held[key] = _Held(Meter(), Leases())
        return held

    def _lease(self, key: Key, member: tuple[str, int], now: int) -> None:
        held = self._hold(key)
        held.leases.pop(member, None)
        _out(held.leases, now)
        held.leases[member] = held.until = now + self._lease_us
        self._held.move_to_end(key)
        self._bound(self._held, now)

    def _bound(self, entries: OrderedDict[Any, _Held] | OrderedDict[Any, _Pending], now: int) -> None:
        """Two at most are looked at for each that is added, so those that are over go faster than new ones come."""
        for _ in range(2):
            name = next(iter(entries), None)
            if name is None or (entries[name].until > now and len(entries) <= self._most):
                return
            self.forgotten += entries[name].until > now
            del entries[name]


def _out(leases: Leases, now: int) -> int:
    """Leases that are out. All last equally long, so the first to end is the first."""
    while leases and next(iter(leases.values())) <= now:
        leases.popitem(last=False)
    return len(leases)

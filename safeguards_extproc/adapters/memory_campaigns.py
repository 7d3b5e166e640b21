"""Campaign counters in this process: exact, bounded, and gone with it.

Each process sees what it serves: with several workers or machines a campaign shows later or not at all, and Redis
(redis_campaigns.py) is the place to count.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from safeguards_extproc.enforcement.campaigns.counting import NOTES, NOTHING, SLOTS, Count, Reply

CELLS = 200_000
"""Slots of one thing that are kept; then those go that would end first."""

FIELDS, MEMBERS = 4096, 4096
"""Fields and distinct members of one slot; no more are opened, so a threshold above cannot be reached here."""

_Key = tuple[str, str]


@dataclass(slots=True)
class _Cell:
    fields: dict[str, int] = field(default_factory=dict)
    members: set[str] = field(default_factory=set)
    notes: deque[str] = field(default_factory=lambda: deque(maxlen=NOTES))


class MemoryCounters:
    """counting.Counters. `cells` bounds what is kept."""

    def __init__(self, cells: int = CELLS) -> None:
        self._most = cells
        self._series: dict[_Key, dict[int, _Cell]] = {}
        self._ends: list[tuple[float, _Key, int]] = []

    def __len__(self) -> int:
        return len(self._ends)

    async def count(self, counts: Sequence[Count], at: float) -> Sequence[Reply]:
        """Count all of it. Never raises."""
        while self._ends and self._ends[0][0] <= at:
            self._drop()
        return [self._count(each, at) for each in counts]

    async def notes(self, count: Count, at: float) -> Sequence[str]:
        """The notes of the window, the newest first."""
        series, newest = self._series.get((count.name, count.tag), {}), count.slot(at)
        cells = [series[slot] for slot in range(newest, newest - SLOTS - 1, -1) if slot in series]
        return [note for cell in cells for note in reversed(cell.notes)]

    async def close(self) -> None:
        """Nothing is open."""

    def _count(self, count: Count, at: float) -> Reply:
        key = (count.name, count.tag)
        series = self._series.get(key)
        if series is None and not count.opens and not count.note and not count.member:
            return NOTHING
        slot = count.slot(at)
        cells = {} if series is None else {when: cell for when, cell in series.items() if slot - SLOTS <= when <= slot}
        self._add(count, slot, cells)
        totals = dict.fromkeys(count.fields, 0)
        for name in totals:
            for cell in cells.values():
                totals[name] += cell.fields.get(name, 0)
        distinct = {member for cell in cells.values() for member in cell.members}
        now = cells[slot].fields if slot in cells else {}
        return Reply(totals, {name: now[name] for name in totals if name in now}, len(distinct))

    def _add(self, count: Count, slot: int, cells: dict[int, _Cell]) -> None:
        add = count.add
        if not count.opens:
            add = {name: more for name, more in add.items() if any(name in cell.fields for cell in cells.values())}
        if not (add or count.member or count.note):
            return
        cell = cells.get(slot)
        if cell is None:
            cell = cells[slot] = self._open(count, slot)
        fields = cell.fields
        for name, more in add.items():
            if name in fields or len(fields) < FIELDS:
                fields[name] = fields.get(name, 0) + more
        if count.member and len(cell.members) < MEMBERS:
            cell.members.add(count.member)
        if count.note:
            cell.notes.append(count.note)

    def _open(self, count: Count, slot: int) -> _Cell:
        while len(self._ends) >= self._most:
            self._drop()
        key, cell = (count.name, count.tag), _Cell()
        self._series.setdefault(key, {})[slot] = cell
        heapq.heappush(self._ends, ((slot + SLOTS + 1) * count.slot_s, key, slot))
        return cell

    def _drop(self) -> None:
        """The slot that ends first."""
        _, key, slot = heapq.heappop(self._ends)
        series = self._series[key]
        del series[slot]
        if not series:
            del self._series[key]

"""Limits counted on Redis, by one script (limits.lua): one call for each hash tag decides, one settles.

The one rule: what was taken is put right, once. An exchange leaves a marker beside its charges, which its settlement
removes; a settlement that cannot be told waits and is told again, in the order of waiting, when Redis is back.

Keys are `safeguards:{tag}:…`: the tag is the first pseudonym of the limit's `per`, so all keys of one call lie on one
server of a cluster. An exchange whose limits have several tags asks for all of them at once; if one refuses, what the
others took is given back before the answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from safeguards_extproc.adapters.redis_link import Call, RedisLink, Script
from safeguards_extproc.core.account import Charge, Counted, Limit, Shape
from safeguards_extproc.enforcement import meters
from safeguards_extproc.enforcement.meters import Reading
from safeguards_extproc.errors import StoreError

_TEXT = Path(__file__).with_name("limits.lua").read_text(encoding="utf-8")
SCRIPT = Script(_TEXT, hashlib.sha1(_TEXT.encode(), usedforsecurity=False).hexdigest())

PREFIX = "safeguards"
PENDING_MS = 3_600_000
"""How long after its admission, or after it was last renewed, an exchange can be settled."""

WAITING = 10_000
AT_ONCE = 64
AGAIN_S = (0.1, 2.0)

_NUMBERS = msgspec.msgpack.Decoder(list[int])
_PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,64}")

Used = Sequence[tuple[Charge, int]]
Fields = tuple[str | int | bool, ...]
Tagged = tuple[int, Charge]


class Observer(Protocol):
    """Who is told what became of settlements."""

    def settled(self, result: str, count: int) -> None:
        """So many were told at once ("told"), told later ("late") or given up ("lost")."""
        ...


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one tag: of an exchange's marker, and of its charges there, each with its place among all."""

    marker: str
    charges: Sequence[Tagged]

    def call(self, op: str, now: int | None, id: str, fields: Sequence[Fields]) -> Call:
        """A run of the script; `fields` are each charge's numbers. They go as one argument, as the answer comes: each
        argument by itself costs the client more than Redis needs for all."""
        keys = [self.marker, *(key(charge) for _, charge in self.charges)]
        return Call(keys, (op, "" if now is None else now, id, PENDING_MS, msgspec.msgpack.encode(fields)))


class RedisLimits:
    """A ports.LimitStore on a RedisLink, which is the owner's to close. `clock` gives microseconds in place of Redis's
    own clock, for tests. `lease_us` is how long leases last unless renewed."""

    def __init__(
        self,
        link: RedisLink,
        observer: Observer,
        clock: Callable[[], int] | None = None,
        *,
        lease_us: int = meters.LEASE_US,
    ) -> None:
        self._link = link
        self._observer = observer
        self._clock = clock
        self._lease_us = lease_us
        self._waiting: deque[tuple[str, Used]] = deque()
        self._telling: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[list[object]] | None = None

    @property
    def waiting(self) -> int:
        """Settlements that Redis has not been told yet."""
        return len(self._waiting)

    async def admit(self, id: str, charges: Sequence[Charge], shares: Sequence[float]) -> Sequence[Counted]:
        """As the port says."""
        if not charges:
            return []
        groups = list(by_tag(id, charges).values())
        calls = [
            group.call("admit", self._now(), id, [self._fields(p, c, shares[p]) for p, c in group.charges])
            for group in groups
        ]
        counted: dict[int, Counted] = {}
        failure: StoreError | None = None
        for group, answer in zip(groups, await self._link.run(SCRIPT, calls), strict=True):
            if isinstance(answer, StoreError):
                failure = answer
            else:
                counted.update(self._read(group, shares, answer))
        if failure:
            raise failure
        answers = [counted[place] for place in range(len(charges))]
        if len(groups) > 1 and any(not each.allowed and each.limit.enforced for each in answers):
            await self._tell(id, [(charge, 0) for charge in charges])
        return answers

    async def settle(self, id: str, used: Used) -> None:
        """As the port says; raises only "overload", where WAITING settlements wait already."""
        if self._renewing:
            await asyncio.wait([self._renewing])
        await self._tell(id, used)

    async def renew(self, ids: Sequence[tuple[str, Sequence[Charge]]]) -> None:
        """As the port says; one round trip for all of them."""
        calls = []
        for id, charges in ids:
            leases = [charge if charge.limit.shape is Shape.CONCURRENT else None for charge in charges]
            for group in by_tag(id, charges).values():
                if any(leases[place] for place, _ in group.charges):
                    fields = [self._fields(place, charge, 1.0) for place, charge in group.charges]
                    calls.append(group.call("renew", self._now(), id, fields))
        if not calls:
            return
        self._renewing = asyncio.ensure_future(self._link.run(SCRIPT, calls))
        try:
            for answer in await self._renewing:
                if isinstance(answer, StoreError):
                    raise answer
        finally:
            self._renewing = None

    async def close(self) -> None:
        """Tell what waits, once more, and end."""
        if self._telling:
            self._telling.cancel()
            await asyncio.wait([self._telling])
        if not await self._again():
            self._observer.settled("lost", len(self._waiting))
            self._waiting.clear()

    async def _tell(self, id: str, used: Used) -> None:
        if await self._settled([(id, used)]):
            self._observer.settled("told", 1)
            return
        if len(self._waiting) >= WAITING:
            self._observer.settled("lost", 1)
            raise StoreError("overload")
        self._waiting.append((id, used))
        if self._telling is None or self._telling.done():
            self._telling = asyncio.get_running_loop().create_task(self._keep_telling())

    async def _keep_telling(self) -> None:
        pause, longest = AGAIN_S
        while not await self._again():
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)

    async def _again(self) -> bool:
        """Tell what waits, and whether nothing waits any more."""
        while self._waiting:
            some = [self._waiting[place] for place in range(min(AT_ONCE, len(self._waiting)))]
            if not await self._settled(some):
                return False
            self._observer.settled("late", len(some))
            for _ in some:
                self._waiting.popleft()
        return True

    async def _settled(self, settlements: Sequence[tuple[str, Used]]) -> bool:
        calls = [
            group.call(
                "settle",
                self._now(),
                id,
                [self._fields(place, charge, 1.0, used[place][1]) for place, charge in group.charges],
            )
            for id, used in settlements
            for group in by_tag(id, [charge for charge, _ in used]).values()
        ]
        answers = await self._link.run(SCRIPT, calls) if calls else []
        return not any(isinstance(each, StoreError) and each.reason != "bad-response" for each in answers)

    def _now(self) -> int | None:
        return self._clock() if self._clock else None

    def _fields(self, place: int, charge: Charge, share: float, used: int | None = None) -> Fields:
        """A charge as the script reads it; what was used stands in the place of what fits."""
        scale = meters.gauge(charge.limit, share, self._lease_us)
        most = scale.most if used is None else used
        enforced = charge.limit.enforced
        return (scale.shape.value, enforced, place, charge.cost, most, scale.unit, scale.drain, scale.width, scale.span)

    def _read(self, group: Keys, shares: Sequence[float], answer: object) -> Mapping[int, Counted]:
        """The script's answer: the time, then five numbers for each charge. Raises StoreError if it is none."""
        try:
            now, *numbers = _NUMBERS.decode(answer if isinstance(answer, bytes) else b"")
        except (msgspec.MsgspecError, ValueError) as error:
            raise StoreError("bad-response") from error
        if len(numbers) != 5 * len(group.charges):
            raise StoreError("bad-response")
        counted = {}
        for row, (place, charge) in enumerate(group.charges):
            allowed, level, empty_us, room_us, taken = numbers[5 * row : 5 * row + 5]
            scale = meters.gauge(charge.limit, shares[place], self._lease_us)
            if scale.shape is Shape.RATE:
                reading = meters.of_level(scale, level, max(1, charge.cost))
                reading = Reading(bool(allowed), level, reading.empty_us, 0 if allowed else reading.room_us)
            else:
                reading = Reading(bool(allowed), level, empty_us, room_us)
            counted[place] = meters.counted(charge.limit, scale, reading, taken, now)
        return counted


def by_tag(id: str, charges: Sequence[Charge]) -> Mapping[str, Keys]:
    """The charges of an exchange, those together that one script call may touch."""
    groups: dict[str, list[Tagged]] = {}
    for place, charge in enumerate(charges):
        groups.setdefault(tag(charge), []).append((place, charge))
    return {name: Keys(f"{PREFIX}:{{{name}}}:x:{plain(id)}", group) for name, group in groups.items()}


def tag(charge: Charge) -> str:
    """The hash tag of a charge's key; the limit's own name where it counts all together."""
    return plain(charge.subject[0] if charge.subject else charge.limit.name)


def key(charge: Charge) -> str:
    """Where a charge is counted: `safeguards:{tag}:l:limit:shape:the other identities`."""
    return ":".join((f"{PREFIX}:{{{tag(charge)}}}:l", *_rest(charge.limit, charge.subject)))


def _rest(limit: Limit, subject: Sequence[str]) -> Sequence[str]:
    return plain(limit.name), limit.shape.value, *(plain(each) for each in subject[1:])


def plain(name: str) -> str:
    """A name as part of a key: as it is, or a digest where it is long or has other letters than a pseudonym has."""
    return (
        name
        if _PLAIN.fullmatch(name)
        else "~" + hashlib.blake2b(name.encode(errors="replace"), digest_size=16).hexdigest()
    )

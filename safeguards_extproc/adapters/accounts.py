"""What streams ask of limits and standings, and whom they tell what happened: one door, which never fails and takes
nothing that it does not put right."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from safeguards_extproc.core.account import (
    ANSWERABLE,
    STEPS,
    Admission,
    Admitted,
    Charge,
    Count,
    Counted,
    Identity,
    Settlement,
    Shape,
    Step,
)
from safeguards_extproc.enforcement import telling
from safeguards_extproc.enforcement.events import Strike
from safeguards_extproc.enforcement.telling import Telling, TellingSettings
from safeguards_extproc.ports import Standings

log = structlog.get_logger()

RENEWED = 100
"""Exchanges whose leases are renewed in one call."""


class Answered(Protocol):
    """What limits say, and who counted: "store" or "local"."""

    @property
    def counted(self) -> Sequence[Counted]: ...

    @property
    def source(self) -> str: ...


class Limits(Protocol):
    """Limits that answer always, whatever their store does."""

    async def admit(self, id: str, charges: Sequence[Charge], shares: Sequence[float]) -> Answered:
        """As `ports.LimitStore`, but for what it gives; raises nothing."""
        ...

    async def settle(self, id: str, used: Sequence[tuple[Charge, int]]) -> None:
        """As `ports.LimitStore`."""
        ...

    async def renew(self, ids: Sequence[tuple[str, Sequence[Charge]]]) -> None:
        """As `ports.LimitStore`, but raises nothing."""
        ...


class Observer(telling.Observer, Protocol):
    """Who wants to know (telemetry.Metrics). None may raise. What can fail: "settle", "strikes", "campaigns"."""

    def admission_took(self, source: str, seconds: float) -> None:
        """An exchange has its answer; `source` is Admitted's."""
        ...


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """`renew_s`: leases are renewed so often. `out` bounds the exchanges that are remembered until they are settled,
    `waiting` what waits to be told to each store and sink. `close_s`: the last tellings may take so long."""

    renew_s: float = 10.0
    out: int = 100_000
    waiting: int = 20_000
    close_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Sinks:
    """Whom settled exchanges are told to. `strike` says which strike one is, if any; `struck` takes strikes,
    `observed` settlements for campaigns, several at once: what raises StoreError is told again."""

    strike: Callable[[Settlement], Strike | None] = lambda _: None
    struck: Callable[[Sequence[Strike]], Awaitable[None]] | None = None
    observed: Callable[[Sequence[Settlement]], Awaitable[None]] | None = None


@dataclass(slots=True)
class _Out:
    """An exchange between its admission and its settlement. `taken` once the limits have answered: whether they took
    what it costs."""

    charges: Sequence[Charge]
    taken: bool | None = None
    settled: Settlement | None = None


@dataclass(frozen=True, slots=True)
class _Right:
    """What an exchange used, of each charge."""

    id: str
    used: Sequence[tuple[Charge, int]]


class Accounts:
    """ports.Accounts. Limits and sinks are closed by who made them."""

    def __init__(
        self,
        standings: Standings,
        limits: Limits,
        sinks: Sinks,
        observer: Observer,
        settings: AccountSettings = AccountSettings(),
    ) -> None:
        self._standings, self._limits = standings, limits
        self._strike, self._observer, self._settings = sinks.strike, observer, settings
        self._out: dict[str, _Out] = {}
        self._counting: set[asyncio.Task[tuple[Sequence[Counted], str]]] = set()
        self._renewing: asyncio.Task[None] | None = None
        one = TellingSettings(waiting=settings.waiting, together=1, tellings=8)
        many = TellingSettings(waiting=settings.waiting)
        self._righting = Telling("settle", self._right, observer, one)
        self._struck = Telling("strikes", sinks.struck, observer, many) if sinks.struck else None
        self._observed = Telling("campaigns", sinks.observed, observer, many) if sinks.observed else None

    async def admit(self, admission: Admission) -> Admitted:
        """Where the identities stand, and what the limits say. One who may ask nothing takes nothing of any limit."""
        began = time.perf_counter()
        standing = self._standings.of(pseudonyms(admission.identity))
        if not admission.charges or STEPS[standing.step] >= STEPS[Step.SUSPENDED]:
            self._observer.admission_took("none", time.perf_counter() - began)
            return Admitted(standing=standing)
        out = self._remember(admission)
        counting = asyncio.get_running_loop().create_task(self._count(admission, out, standing.share))
        self._counting.add(counting)
        counting.add_done_callback(self._counting.discard)
        counted, source = await asyncio.shield(counting)  # a stream that ends now is counted first and then put right
        self._observer.admission_took(source, time.perf_counter() - began)
        return Admitted(counted, standing, source)

    def settle(self, settlement: Settlement) -> None:
        """What was reserved is put right; who counts strikes and who looks for campaigns hear of it."""
        try:
            out = self._out.get(settlement.admission.id)
            if out is not None:
                out.settled = settlement
                self._put_right(settlement.admission.id, out)
            if self._struck is not None and (strike := self._strike(settlement)) is not None:
                self._struck.put(strike)
            if self._observed is not None:
                self._observed.put(settlement)
        except Exception as error:  # noqa: BLE001 (a record is being kept: nothing here may get into its way)
            self._note("settlement failed", error)

    async def close(self) -> None:
        """Tell what waits, as long as the settings say."""
        if self._renewing is not None:
            self._renewing.cancel()
        if self._counting:
            await asyncio.wait(self._counting, timeout=self._settings.close_s)
        tellings: list[Telling[_Right] | Telling[Strike] | Telling[Settlement]] = [self._righting]
        tellings += [one for one in (self._struck, self._observed) if one is not None]
        await asyncio.gather(*(one.close(self._settings.close_s) for one in tellings))

    @property
    def under_way(self) -> int:
        """Exchanges that may have taken of a limit and are not settled."""
        return len(self._out)

    def _remember(self, admission: Admission) -> _Out:
        if len(self._out) >= self._settings.out:
            del self._out[next(iter(self._out))]
            self._observer.account_lost("settle", 1)
        if self._renewing is None:
            self._renewing = asyncio.get_running_loop().create_task(self._renew())
        out = self._out[admission.id] = _Out(admission.charges)
        return out

    async def _count(self, admission: Admission, out: _Out, share: float) -> tuple[Sequence[Counted], str]:
        counted: Sequence[Counted] = ()
        source, taken = "none", False
        try:
            answer = await self._limits.admit(admission.id, out.charges, [share] * len(out.charges))
            counted, source = answer.counted, answer.source
            taken = not any(not one.allowed and one.limit.enforced for one in counted)
        except Exception as error:  # noqa: BLE001 (a fault there is an exchange that is not counted, never one that hangs)
            self._note("limits not counted", error)
        out.taken = taken
        self._put_right(admission.id, out)
        return counted, source

    def _put_right(self, id: str, out: _Out) -> None:
        """Once it is known what was taken and what was used."""
        if out.taken is None or (out.taken and out.settled is None):
            return
        if self._out.get(id) is out:
            del self._out[id]
        if out.taken and out.settled is not None:
            self._righting.put(_Right(id, [(charge, cost(charge, out.settled)) for charge in out.charges]))

    async def _right(self, things: Sequence[_Right]) -> None:
        for one in things:
            await self._limits.settle(one.id, one.used)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._settings.renew_s)
            held = [
                (id, out.charges)
                for id, out in self._out.items()
                if out.taken and any(one.limit.shape is Shape.CONCURRENT for one in out.charges)
            ]
            try:
                for start in range(0, len(held), RENEWED):
                    await self._limits.renew(held[start : start + RENEWED])
            except Exception as error:  # noqa: BLE001 (the next renewal is tried all the same)
                self._note("leases not renewed", error)

    def _note(self, what: str, error: Exception) -> None:
        log.error(what, error=type(error).__name__)
        self._observer.fault("accounts")


def pseudonyms(identity: Identity) -> list[str]:
    """Everyone whom enforcement can act on, under the pseudonyms of today and of before."""
    names, former = identity.names, identity.former
    return [name for kind in ANSWERABLE if kind in names for name in (names[kind], *former.get(kind, ()))]


def cost(charge: Charge, settlement: Settlement) -> int:
    """What the exchange used of a charge's limit, in the limit's unit."""
    limit, usage = charge.limit, settlement.usage
    match limit.count:
        case Count.TOKENS:
            return usage.input_tokens + usage.output_tokens
        case Count.BYTES:
            return usage.bytes
        case Count.STREAMS:
            return 0
        case Count.VERDICTS:
            return int(
                not settlement.refused
                and (not limit.verdicts or settlement.outcome in limit.verdicts)
                and (not limit.categories or settlement.category in limit.categories)
            )
        case _:
            return charge.cost

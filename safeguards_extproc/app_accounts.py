"""Joins the parts of accounts: for a worker, and for whoever else writes where filters read.

Three ways to run: by itself (limits in memory, nobody is suspended), with a ledger of its own (one worker on one
machine), with Redis (any number of workers; a keeper beside them has the ledger). What one way alone needs is imported
there: redis-py and SQLAlchemy are a quarter of a worker's memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import structlog

from safeguards_extproc.adapters.accounts import Accounts, Sinks
from safeguards_extproc.adapters.fallback_limits import FallbackLimits
from safeguards_extproc.adapters.health import Component, Health
from safeguards_extproc.adapters.memory_limits import MemoryLimits
from safeguards_extproc.adapters.policy_store import PolicyStore
from safeguards_extproc.core.account import Settlement
from safeguards_extproc.enforcement import strikes
from safeguards_extproc.enforcement.campaigns.counting import Counters
from safeguards_extproc.enforcement.events import Strike
from safeguards_extproc.enforcement.sightings import Sighting
from safeguards_extproc.enforcement.snapshot import Snapshot
from safeguards_extproc.enforcement.watch import Watch
from safeguards_extproc.errors import StoreError
from safeguards_extproc.policy.compile import CompiledPolicy
from safeguards_extproc.settings import Settings
from safeguards_extproc.telemetry import Metrics

if TYPE_CHECKING:
    from safeguards_extproc.adapters.breaker import State
    from safeguards_extproc.adapters.redis_link import RedisLink, RedisSettings
    from safeguards_extproc.enforcement.keeper import Keeper
    from safeguards_extproc.enforcement.ledger import Ledger

log = structlog.get_logger()

FIRST_S = 10.0
"""How long a worker waits for its first news of standings before it serves without."""

OLD_S = 5.0
"""Standings of which nothing was heard for so long may be old."""

PATIENT_S = 2.0
"""Deadline of what no exchange waits for."""


class Standings(Protocol):
    """What keeps a snapshot up to date."""

    @property
    def age_s(self) -> float:
        """Seconds since it was heard of last; infinite if never."""
        ...


@dataclass(slots=True)
class Joined:
    """The accounts of a worker and what they stand on. `standings` keeps the snapshot up to date, if anything does;
    `keeper` is the worker's own, `ladder` gives it the policy's ladder; `kept` is whether the policy asks for a keeper,
    without whom nobody ever says how anybody stands."""

    accounts: Accounts
    snapshot: Snapshot
    metrics: Metrics
    standings: Standings | None = None
    keeper: Keeper | None = None
    ladder: Callable[[], None] = lambda: None
    kept: Callable[[], bool] = lambda: True
    opening: Sequence[Callable[[], Awaitable[None]]] = ()
    closing: Sequence[Callable[[], Awaitable[None]]] = ()
    _keeping: asyncio.Task[None] | None = None
    _began: float = field(default_factory=time.monotonic)

    async def start(self) -> None:
        """Hear of standings; never fails because Redis is away."""
        self._began = time.monotonic()
        for open_ in self.opening:
            await open_()
        if self.keeper is not None:
            await self.keeper.publish()
            self._keeping = asyncio.get_running_loop().create_task(self.keeper.run())

    async def close(self) -> None:
        """End, once `accounts` are closed: what they told last is with the ledger."""
        if self.keeper is not None:
            with contextlib.suppress(StoreError):
                while await self.keeper.take():
                    pass
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        for close in self.closing:
            await close()

    def probe(self, health: Health) -> None:
        """Tell health and metrics how old the standings are, and the keeper which ladder holds."""
        self.ladder()
        if self.standings is None:
            return
        age_s = self.standings.age_s
        self.metrics.standings(len(self.snapshot.held), age_s)
        never = age_s == float("inf")
        old = age_s > OLD_S and (self.kept() or not never)
        first = old and never and time.monotonic() - self._began < FIRST_S
        health.set("standings", Component.STARTING if first else Component.DEGRADED if old else Component.READY)
        self.metrics.degraded("standings", old)
        if self.keeper is not None:
            failing = bool(self.keeper.failing)
            health.set("ledger", Component.DEGRADED if failing else Component.READY)
            self.metrics.degraded("ledger", failing)


def join(settings: Settings, policies: PolicyStore[CompiledPolicy], metrics: Metrics, health: Health) -> Joined:
    """The accounts of a worker, inside a running loop. ConfigError where Redis or the ledger is named wrongly."""

    def strike(settlement: Settlement) -> Strike | None:
        policy = policies.current
        specs = policy.document.enforcement.strikes
        return strikes.strike(settlement, specs, policy.document.name, policy.digest, time.time()) if specs else None

    snapshot = Snapshot()
    if settings.redis:
        return _on_redis(settings.redis, snapshot, strike, metrics, health, policies)
    if settings.ledger:
        return _on_ledger(settings.ledger, snapshot, strike, metrics, policies)
    limits = in_memory(metrics)
    return Joined(Accounts(snapshot, limits, Sinks(), metrics), snapshot, metrics, closing=(limits.close,))


def watching(
    policies: PolicyStore[CompiledPolicy], counters: Counters, tell: Callable[[Sequence[Sighting]], Awaitable[None]]
) -> Callable[[Sequence[Settlement]], Awaitable[None]]:
    """Looks for the campaigns of the policy in force; what was counted under the one before goes on to count."""
    watch, digest = Watch((), counters, tell), ""

    async def observed(settlements: Sequence[Settlement]) -> None:
        nonlocal watch, digest
        policy = policies.current
        if policy.digest != digest:
            watch, digest = Watch(policy.document.campaigns.detect, counters, tell), policy.digest
        if policy.document.campaigns.detect:
            await watch.observed(settlements)

    return observed


def in_memory(metrics: Metrics) -> FallbackLimits:
    """Limits that this process counts alone."""
    return FallbackLimits(MemoryLimits(), MemoryLimits(), metrics)


def _on_redis(
    urls: Sequence[str],
    snapshot: Snapshot,
    strike: Callable[[Settlement], Strike | None],
    metrics: Metrics,
    health: Health,
    policies: PolicyStore[CompiledPolicy],
) -> Joined:
    from safeguards_extproc.adapters.breaker import State
    from safeguards_extproc.adapters.redis_campaigns import RedisCounters, RedisSightings
    from safeguards_extproc.adapters.redis_intake import RedisStrikes
    from safeguards_extproc.adapters.redis_limits import RedisLimits
    from safeguards_extproc.adapters.redis_link import RedisLink
    from safeguards_extproc.adapters.redis_standings import RedisStandings

    def moved(server: str, state: State) -> None:
        health.set("redis", Component.READY if state is State.CLOSED else Component.DEGRADED)
        metrics.degraded("redis", state is not State.CLOSED)

    health.set("redis", Component.READY)
    metrics.degraded("redis", False)
    quick, patient = RedisLink(redis_settings(urls), moved), patient_link(urls)
    limits = FallbackLimits(RedisLimits(quick, metrics), MemoryLimits(), metrics)
    standings = RedisStandings(patient, snapshot, urls)
    observed = watching(policies, RedisCounters(patient), RedisSightings(patient).put)
    sinks = Sinks(strike, RedisStrikes(patient, metrics).put, observed)
    accounts = Accounts(snapshot, limits, sinks, metrics)
    closing = (standings.close, limits.close, quick.close, patient.close)

    def kept() -> bool:
        document = policies.current.document
        return bool(document.enforcement.strikes or document.enforcement.ladder or document.campaigns.detect)

    return Joined(accounts, snapshot, metrics, standings, kept=kept, opening=(standings.start,), closing=closing)


def _on_ledger(
    url: str,
    snapshot: Snapshot,
    strike: Callable[[Settlement], Strike | None],
    metrics: Metrics,
    policies: PolicyStore[CompiledPolicy],
) -> Joined:
    from safeguards_extproc.adapters.ledger_standings import LedgerSightings, LedgerStandings, LedgerStrikes
    from safeguards_extproc.adapters.memory_campaigns import MemoryCounters
    from safeguards_extproc.enforcement.keeper import Keeper
    from safeguards_extproc.enforcement.ledger import Ledger

    ledger = Ledger(url, policies.current.document.enforcement.ladder, time.time)
    board, intake, limits = LedgerStandings(snapshot), LedgerStrikes(), in_memory(metrics)
    sightings = LedgerSightings()
    observed = watching(policies, MemoryCounters(), sightings.put)
    accounts = Accounts(snapshot, limits, Sinks(strike, intake.put, observed), metrics)

    def ladder() -> None:
        ledger.ladder = tuple(policies.current.document.enforcement.ladder)

    async def close() -> None:
        await asyncio.to_thread(ledger.close)

    keeper = Keeper(ledger, intake, board, metrics, sightings=sightings)
    return Joined(accounts, snapshot, metrics, board, keeper, ladder, closing=(limits.close, close))


def redis_settings(urls: Sequence[str]) -> RedisSettings:
    """One server, or, where several are named, a cluster of which they are nodes."""
    from safeguards_extproc.adapters.redis_link import RedisSettings

    return RedisSettings(urls[0], cluster=len(urls) > 1, more=tuple(urls[1:]))


def patient_link(urls: Sequence[str]) -> RedisLink:
    """A way to Redis for what no exchange waits for. Raises ConfigError where the address is none."""
    from safeguards_extproc.adapters.redis_link import RedisLink

    return RedisLink(replace(redis_settings(urls), deadline_s=PATIENT_S))


def publish_since(urls: Sequence[str], ledger: Ledger, revision: int) -> int:
    """Tell filters of every standing that has changed since; how many. Raises StoreError."""
    from safeguards_extproc.adapters.redis_standings import RedisBoard

    async def publish() -> int:
        link, count, since = patient_link(urls), 0, revision
        try:
            while changes := ledger.changed(since, 1000):
                await RedisBoard(link).publish(changes)
                count, since = count + len(changes), changes[-1][1].revision
        finally:
            await link.close()
        return count

    return asyncio.run(publish())

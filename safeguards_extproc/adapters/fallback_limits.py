"""What becomes of limits while their store does not answer: each does what its `on_failure` says.

The one rule: an answer comes in any case, and the store's own as soon as it gives one again. Counters of this process
begin empty when the store goes and are not told to it when it is back; leases of streams that are under way are known
on both sides, so `concurrent` counts this process's own streams right in the first moment.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from safeguards_extproc.core.account import Charge, Counted, OnFailure
from safeguards_extproc.enforcement import meters
from safeguards_extproc.errors import StoreError
from safeguards_extproc.ports import LimitStore

log = structlog.get_logger()

NOT_ASKED = {"circuit-open", "overload", "closed"}
ASK_AGAIN_S = 1.0
CALM_S = 1.0
"""How long the store must have answered before it is said to be back: a cluster of which one node is away does both."""

MOST = 100_000


class Observer(Protocol):
    """Who is told how the store does."""

    def store_state(self, store: str, state: str) -> None:
        """`state` is "ok" or "away"."""
        ...

    def store_failed(self, store: str, reason: str) -> None:
        """A call got no answer; `reason` is one of errors.STORE_FAILURES."""
        ...


@dataclass(frozen=True, slots=True)
class Answered:
    """What limits say, and who counted: "store", or "local" where the store did not answer."""

    counted: Sequence[Counted]
    source: str


class FallbackLimits:
    """A store of limits that answers always. `local` counts while `store` does not answer; both are closed with it."""

    def __init__(
        self,
        store: LimitStore,
        local: LimitStore,
        observer: Observer,
        name: str = "limits",
        *,
        calm_s: float = CALM_S,
    ) -> None:
        self._store = store
        self._local = local
        self._observer = observer
        self._name = name
        self._calm_s = calm_s
        self._here: OrderedDict[str, bool] = OrderedDict()
        self._away = False
        self._failed_at = float("-inf")
        self._undoing: set[asyncio.Task[None]] = set()
        observer.store_state(name, "ok")

    async def admit(self, id: str, charges: Sequence[Charge], shares: Sequence[float]) -> Answered:
        """The store's answer, or what each limit's `on_failure` makes of its silence. Raises CancelledError alone."""
        try:
            counted = await self._store.admit(id, charges, shares)
        except StoreError as error:
            self._failed(error.reason)
            return await self._alone(id, charges, shares, asked=error.reason not in NOT_ASKED)
        self._answered()
        return Answered(counted, "store")

    async def settle(self, id: str, used: Sequence[tuple[Charge, int]]) -> None:
        """Put the exchange right wherever it was counted. Raises StoreError where the store will not be told."""
        await self._local.settle(id, [each for each in used if each[0].limit.on_failure is OnFailure.LOCAL])
        if self._here.pop(id, True):
            await self._store.settle(id, used)

    async def renew(self, ids: Sequence[tuple[str, Sequence[Charge]]]) -> None:
        """The exchanges go on, here and in the store. Raises CancelledError alone."""
        await self._local.renew([(id, _local(charges)) for id, charges in ids])
        try:
            await self._store.renew(ids)
        except StoreError as error:
            self._failed(error.reason)

    async def close(self) -> None:
        """Close both."""
        if self._undoing:
            await asyncio.wait(self._undoing)
        await self._store.close()
        await self._local.close()

    async def _alone(self, id: str, charges: Sequence[Charge], shares: Sequence[float], *, asked: bool) -> Answered:
        blocked = any(_is(charge, OnFailure.BLOCK) and charge.limit.enforced for charge in charges)
        mine = [
            (charge, share * charge.limit.share)
            for charge, share in zip(charges, shares, strict=True)
            if _is(charge, OnFailure.LOCAL)
        ]
        counted: dict[str, Counted] = {}
        if mine and not blocked:
            answers = await self._local.admit(id, [charge for charge, _ in mine], [share for _, share in mine])
            counted = {each.limit.name: each for each in answers}
        answers = [counted.get(charge.limit.name) or _uncounted(charge) for charge in charges]
        if any(not each.allowed and each.limit.enforced for each in answers):
            if asked:
                self._undo(id, charges)
        else:
            self._here[id] = asked
            if len(self._here) > MOST:
                self._here.popitem(last=False)
        return Answered(answers, "local")

    def _undo(self, id: str, charges: Sequence[Charge]) -> None:
        """Give back what the store took, if it did and only its answer is missing."""

        async def undo() -> None:
            with contextlib.suppress(StoreError):
                await self._store.settle(id, [(charge, 0) for charge in charges])

        task = asyncio.get_running_loop().create_task(undo())
        self._undoing.add(task)
        task.add_done_callback(self._undoing.discard)

    def _failed(self, reason: str) -> None:
        self._failed_at = asyncio.get_running_loop().time()
        self._observer.store_failed(self._name, reason)
        if not self._away:
            self._away = True
            self._observer.store_state(self._name, "away")
            log.warning(
                "a store does not answer; each limit does what its on_failure says", store=self._name, why=reason
            )

    def _answered(self) -> None:
        if self._away and asyncio.get_running_loop().time() - self._failed_at >= self._calm_s:
            self._away = False
            self._observer.store_state(self._name, "ok")
            log.info("a store answers again", store=self._name)


def _is(charge: Charge, what: OnFailure) -> bool:
    return charge.limit.on_failure is what


def _local(charges: Sequence[Charge]) -> Sequence[Charge]:
    return [charge for charge in charges if _is(charge, OnFailure.LOCAL)]


def _uncounted(charge: Charge) -> Counted:
    """Of a limit that is not counted here: refused, or as if nothing had been used."""
    limit = charge.limit
    if limit.on_failure is OnFailure.BLOCK:
        return Counted(limit, False, 0, ASK_AGAIN_S, ASK_AGAIN_S)
    return Counted(limit, True, meters.gauge(limit).most)

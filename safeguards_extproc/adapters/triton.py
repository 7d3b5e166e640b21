"""Scores from Triton, or any server that speaks KServe v2 over gRPC (ports.Scorer).

The one rule: whatever the servers do, a caller gets a Result within its budget. Streams share requests (batching.py),
each model at each endpoint stands behind a breaker (breaker.py), endpoint.py does the talking.

A breaker watches whether a server answers in time, not what it says: a text that makes a model fail must not close
the door for everybody else's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import grpc
import structlog

from safeguards_extproc.adapters.batching import Batch, Failed, Lane, TooLarge
from safeguards_extproc.adapters.breaker import Breaker, BreakerSettings, State
from safeguards_extproc.adapters.endpoint import Endpoint
from safeguards_extproc.adapters.kserve import Scored
from safeguards_extproc.core.decision import Model, Result
from safeguards_extproc.errors import DetectorError

log = structlog.get_logger()

ELSEWHERE = frozenset({"unavailable", "overload", "circuit-open"})
"""Failures after which another endpoint is asked."""


@dataclass(frozen=True, slots=True)
class TritonSettings:
    """`endpoints` are host:port. At most `in_flight` requests per model, each of at most `batch` texts (and what the
    model takes); at most `queue` texts wait per model. After `hedge_ms` without an answer a second endpoint is asked
    too; 0 never does. `control_s` bounds questions about readiness and configuration."""

    endpoints: tuple[str, ...]
    in_flight: int = 4
    batch: int = 32
    queue: int = 4096
    hedge_ms: int = 0
    control_s: float = 1.0
    breaker: BreakerSettings = field(default_factory=BreakerSettings)


class Observer(Protocol):
    """Who wants to know (telemetry.Metrics)."""

    def detector(self, detector: str, failure: str, seconds: float) -> None:
        """A caller got its answer; `failure` is "" or a slug of errors.FAILURES."""
        ...

    def batch(self, model: str, texts: int, waited_s: float) -> None:
        """A request goes out with `texts` texts, of which the first waited for `waited_s`."""
        ...

    def answered(self, model: str, version: str) -> None:
        """A version of a model answered a request."""
        ...

    def breaker(self, model: str, endpoint: str, state: str) -> None:
        """The breaker of a model at an endpoint is now `state`."""
        ...


@dataclass(slots=True)
class Runner:
    """An endpoint in a race. `beaten`: another one answered first."""

    endpoint: Endpoint
    beaten: bool = False


class TritonScorer:
    """ports.Scorer over gRPC. One per event loop."""

    def __init__(
        self,
        settings: TritonSettings,
        observer: Observer | None = None,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._settings = settings
        self._observer = observer
        self._credentials = credentials
        self._endpoints: list[Endpoint] = []
        self._breakers: dict[tuple[str, str], Breaker] = {}
        self._lanes: dict[str, Lane] = {}
        self._turn = 0

    async def start(self) -> None:
        """Open the channels; they connect in the background, as often as needed."""
        self._endpoints = [
            Endpoint(address, self._settings.control_s, self._credentials) for address in self._settings.endpoints
        ]

    async def close(self) -> None:
        """Answer everybody "cancelled" and hang up. What is asked later is "unavailable"."""
        endpoints, self._endpoints = self._endpoints, []
        for lane in self._lanes.values():
            lane.close()
        await asyncio.gather(*(endpoint.close() for endpoint in endpoints))

    async def ready(self, model: Model) -> bool:
        """Whether any endpoint says that it can run the model."""
        return any(await asyncio.gather(*(endpoint.ready(model.model) for endpoint in self._endpoints)))

    async def score(self, model: Model, texts: Sequence[str], prompt: str = "") -> Result:
        """See ports.Scorer."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        if not any(self._breaker(endpoint, model.model).admits(began) for endpoint in self._endpoints):
            result = Result(model.detector, failure="circuit-open" if self._endpoints else "unavailable")
        else:
            answer = await self._lane(model.model).score(texts, model.budget_ms / 1000, prompt)
            scores = {f"{model.detector}.{label}": score for label, score in answer.scores.items()}
            result = Result(model.detector, scores, answer.failure, answer.version)
        if self._observer:
            self._observer.detector(model.detector, result.failure, loop.time() - began)
        return result

    def _lane(self, model: str) -> Lane:
        lane = self._lanes.get(model)
        if lane is None:
            settings = self._settings
            lane = self._lanes[model] = Lane(
                lambda batch: self._ask(model, batch),
                in_flight=settings.in_flight,
                largest=settings.batch,
                bound=settings.queue,
            )
        return lane

    def _breaker(self, endpoint: Endpoint, model: str) -> Breaker:
        key = (endpoint.address, model)
        breaker = self._breakers.get(key)
        if breaker is None:
            breaker = self._breakers[key] = Breaker(
                self._settings.breaker, lambda state: self._moved(model, endpoint.address, state)
            )
        return breaker

    def _moved(self, model: str, address: str, state: State) -> None:
        if self._observer:
            self._observer.breaker(model, address, state.value)
        log.warning("breaker", model=model, endpoint=address, state=state.value)

    async def _ask(self, model: str, batch: Batch) -> Scored | Failed | TooLarge:
        if self._observer:
            self._observer.batch(model, len(batch.texts), batch.waited_s)
        if len(self._endpoints) > 1:
            return await self._race(model, batch)
        endpoint = self._pick(model, ())
        return await self._attempt(Runner(endpoint), model, batch) if endpoint else Failed("circuit-open")

    async def _race(self, model: str, batch: Batch) -> Scored | Failed | TooLarge:
        """Ask one endpoint after the other until one answers; with hedging, a second one while the first is slow."""
        tried: list[Endpoint] = []
        running: dict[asyncio.Task[Scored | Failed | TooLarge], Runner] = {}
        outcome: Scored | Failed | TooLarge = Failed("circuit-open")
        hedge_s = self._settings.hedge_ms / 1000 or None
        more = True
        try:
            while True:
                if more and (endpoint := self._pick(model, tried)):
                    tried.append(endpoint)
                    runner = Runner(endpoint)
                    running[asyncio.create_task(self._attempt(runner, model, batch))] = runner
                if not running:
                    return outcome
                done, _ = await asyncio.wait(running, timeout=hedge_s, return_when=asyncio.FIRST_COMPLETED)
                hedge_s, more = None, not done
                for task in done:
                    del running[task]
                    outcome = task.result()
                    if not isinstance(outcome, Failed) or outcome.failure not in ELSEWHERE:
                        for runner in running.values():
                            runner.beaten = True
                        return outcome
                    more = True
        finally:
            for task in running:
                task.cancel()

    def _pick(self, model: str, tried: Sequence[Endpoint]) -> Endpoint | None:
        """The next endpoint in turn that was not tried and whose breaker lets us ask."""
        now = asyncio.get_running_loop().time()
        self._turn += 1
        count = len(self._endpoints)
        in_turn = (self._endpoints[(self._turn + offset) % count] for offset in range(count))
        return next((one for one in in_turn if one not in tried and self._breaker(one, model).admits(now)), None)

    async def _attempt(self, runner: Runner, model: str, batch: Batch) -> Scored | Failed | TooLarge:
        """Ask one endpoint, and tell its breaker."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        breaker = self._breaker(runner.endpoint, model)
        ticket = breaker.admit(began)
        if ticket is None:
            return Failed("circuit-open")
        answered: bool | None = None
        try:
            outcome = await runner.endpoint.score(model, batch.texts, batch.deadline, batch.prompts)
            answered = loop.time() - began <= batch.budget_s
            if self._observer and isinstance(outcome, Scored):
                self._observer.answered(model, outcome.version)
            return outcome
        except DetectorError as error:
            answered = _blame(error.code, loop.time() - began, batch.budget_s)
            return Failed(error.code)
        except asyncio.CancelledError:
            answered = False if runner.beaten else _blame(batch.left, loop.time() - began, batch.budget_s)
            raise
        finally:
            breaker.settle(ticket, answered, loop.time())


def _blame(failure: str, took_s: float, budget_s: float) -> bool | None:
    """What a failure says of the server: True it works, False it does not, None nothing.

    Slow is as bad as down; but a request that had little time left when it was sent, because its callers had to
    queue, says nothing against the server.
    """
    match failure:
        case "unavailable" | "overload":
            return False
        case "timeout":
            return False if took_s >= budget_s / 2 else None
        case "bad-response":
            return True
        case _:
            return None

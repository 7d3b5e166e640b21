"""A circuit breaker: stop asking a peer that does not answer, and find out soon when it does again.

Pure: the caller gives the time, in seconds of any monotonic clock. Closed lets everything through and counts; open lets
nothing through; half-open lets one request through, the probe, whose outcome closes or reopens.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


class State(enum.StrEnum):
    """Where a breaker stands."""

    CLOSED = "closed"
    HALF_OPEN = "half-open"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """When to open, and how long to stay so.

    Opens after `consecutive` failures in a row, or when at least `rate` of the last `window` outcomes of the last
    `window_s` seconds failed and there are at least `minimum` of them. Stays open for `open_s`, twice as long after
    each failed probe, at most `open_max_s`.
    """

    consecutive: int = 5
    rate: float = 0.5
    minimum: int = 20
    window: int = 100
    window_s: float = 10.0
    open_s: float = 0.5
    open_max_s: float = 4.0


class Breaker:
    """One peer's breaker. Each request takes a ticket with `admit` and gives it back with `settle`, always.

    `moved` is told each new state as it is entered; half-open is entered by the probe.
    """

    __slots__ = (
        "_generation",
        "_opened_at",
        "_outcomes",
        "_probing",
        "_row",
        "_settings",
        "_state",
        "_tell",
        "_wait_s",
    )

    def __init__(self, settings: BreakerSettings, moved: Callable[[State], None] | None = None) -> None:
        self._settings = settings
        self._tell = moved
        self._state = State.CLOSED
        self._generation = 0
        self._outcomes: deque[tuple[float, bool]] = deque(maxlen=settings.window)
        self._row = 0
        self._opened_at = 0.0
        self._wait_s = settings.open_s
        self._probing = False

    def state(self, now: float) -> State:
        """Where the breaker stands at `now`; an open one whose wait is over is half-open."""
        if self._state is State.OPEN and now - self._opened_at >= self._wait_s:
            return State.HALF_OPEN
        return self._state

    def admits(self, now: float) -> bool:
        """Whether `admit` would give a ticket."""
        match self.state(now):
            case State.CLOSED:
                return True
            case State.HALF_OPEN:
                return not self._probing
            case _:
                return False

    def admit(self, now: float) -> int | None:
        """A ticket for one request, or None: do not ask now."""
        if not self.admits(now):
            return None
        if self._state is not State.CLOSED:
            if self._state is State.OPEN:
                self._enter(State.HALF_OPEN)
            self._probing = True
        return self._generation

    def settle(self, ticket: int, answered: bool | None, now: float) -> None:
        """Give a ticket back: True it answered in time, False it did not, None nobody knows (nobody waited).

        A ticket from before the last change of state says nothing about now and is ignored.
        """
        if ticket != self._generation:
            return
        if self._state is State.HALF_OPEN:
            self._probing = False
            if answered:
                self._enter(State.CLOSED)
                self._wait_s = self._settings.open_s
            elif answered is False:
                self._wait_s = min(self._wait_s * 2, self._settings.open_max_s)
                self._open(now)
        elif answered is not None:
            self._count(answered, now)

    def _count(self, answered: bool, now: float) -> None:
        outcomes, settings = self._outcomes, self._settings
        while outcomes and now - outcomes[0][0] > settings.window_s:
            outcomes.popleft()
        outcomes.append((now, answered))
        if answered:
            self._row = 0
            return
        self._row += 1
        if self._row >= settings.consecutive or self._too_many():
            self._open(now)

    def _too_many(self) -> bool:
        seen = len(self._outcomes)
        failed = sum(not answered for _, answered in self._outcomes)
        return seen >= self._settings.minimum and failed >= self._settings.rate * seen

    def _open(self, now: float) -> None:
        self._enter(State.OPEN)
        self._opened_at = now

    def _enter(self, state: State) -> None:
        self._state = state
        self._generation += 1
        self._outcomes.clear()
        self._row = 0
        self._probing = False
        if self._tell:
            self._tell(state)

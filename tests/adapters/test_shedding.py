"""When exchanges are shed: not in a burst, for as long as an overload lasts, and with what waits bounded meanwhile."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable

import pytest

from safeguards_extproc.adapters.shedding import CALM_S, EVERY_S, PATIENCE_S, Shedding

ABOVE_S = 0.25


def test_a_burst_sheds_nobody() -> None:
    """A second of work at once has gone before anybody's patience has."""
    shedding = Shedding(ABOVE_S)
    for step in range(int(PATIENCE_S / EVERY_S)):
        at = step * EVERY_S
        shedding.waited(0.8 - at, at)
        assert not shedding.sheds(at)
    shedding.waited(0.01, 1.0)
    shedding.waited(0.8, 1.05)
    assert not shedding.sheds(1.05)


def overloaded(until: float = 2.0) -> Shedding:
    """One that has seen messages wait too long until then."""
    shedding = Shedding(ABOVE_S)
    for step in range(int(until / EVERY_S) + 1):
        shedding.waited(0.5, step * EVERY_S)
    return shedding


def test_an_overload_sheds_while_messages_wait_too_long_and_no_longer() -> None:
    """The newest answer decides, at once in both directions, until all has been calm for a while."""
    shedding = overloaded()
    assert shedding.sheds(2.0)
    shedding.waited(0.2, 2.05)
    assert not shedding.sheds(2.05)
    shedding.waited(0.3, 2.10)
    assert shedding.sheds(2.10)
    shedding.waited(0.1, 2.10 + CALM_S + 0.1)
    shedding.waited(0.9, 2.10 + CALM_S + 0.2)
    assert not shedding.sheds(2.10 + CALM_S + 0.2)


def test_what_was_heard_a_while_ago_says_nothing() -> None:
    """Nobody asked anything for a second: whoever comes now finds us idle."""
    shedding = overloaded()
    assert not shedding.sheds(3.0)


def test_nothing_is_shed_where_nobody_said_from_when_on() -> None:
    """0 is however long; waits are told all the same."""
    told: list[float] = []
    shedding = Shedding(0.0, told.append)
    for step in range(100):
        shedding.waited(5.0, step * EVERY_S)
    assert not shedding.sheds(100 * EVERY_S)
    assert 100 == len(told)


def served(
    shedding: Shedding, load: float, sheds: Callable[[float], bool], seconds: float = 20.0
) -> tuple[float, float]:
    """Goodput as a share of capacity, and the longest wait after five seconds, of a server with one queue that `load`
    times its capacity comes to. To shed takes a twentieth of an exchange."""
    rng = random.Random(7)
    cost, now, due, ping, done, longest = 0.002, 0.0, 0.0, 0.0, 0, 0.0
    queue: deque[tuple[float, bool]] = deque()
    while now < seconds:
        while min(due, ping) <= now or not queue:
            at = min(due, ping)
            queue.append((at, at == ping))
            if at == ping:
                ping += EVERY_S
            else:
                due += rng.expovariate(load / cost)
            now = max(now, at)
        came, asked = queue.popleft()
        if now > 5.0:
            longest = max(longest, now - came)
        if asked:
            shedding.waited(now - came, now)
        elif sheds(now):
            now += cost / 20
        else:
            now += cost
            done += 1
    return done * cost / seconds, longest


@pytest.mark.parametrize(("load", "least"), [(0.8, 0.79), (1.2, 0.95), (2.0, 0.93), (3.0, 0.85)])
def test_goodput_stays_while_waits_are_bounded(load: float, least: float) -> None:
    """At three times capacity most of the work is still work, and nobody waits for much longer than was said."""
    shedding = Shedding(ABOVE_S)
    goodput, longest = served(shedding, load, shedding.sheds)
    assert goodput > least
    assert longest < 2 * ABOVE_S


def test_without_shedding_waits_grow_without_end() -> None:
    """Planted: somebody who turns nobody away."""
    shedding = Shedding(ABOVE_S)
    _, longest = served(shedding, 2.0, lambda _: False)
    assert longest > 5.0

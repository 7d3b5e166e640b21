"""The circuit breaker, with its time in the test's hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.adapters.breaker import Breaker, BreakerSettings, State

SETTINGS = BreakerSettings(consecutive=3, rate=0.5, minimum=8, window=16, window_s=10, open_s=1, open_max_s=4)


def tell(breaker: Breaker, *outcomes: bool, now: float = 0.0) -> None:
    for answered in outcomes:
        ticket = breaker.admit(now)
        assert ticket is not None
        breaker.settle(ticket, answered, now)


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker(SETTINGS)
    tell(breaker, False, False, False, now=now)
    return breaker


def test_it_opens_after_failures_in_a_row() -> None:
    """Two failures and a success keep asking; three in a row stop."""
    breaker = Breaker(SETTINGS)
    tell(breaker, False, False, True, False, False)
    assert breaker.state(0) == State.CLOSED
    tell(breaker, False)
    assert breaker.state(0) == State.OPEN
    assert breaker.admit(0.99) is None


def test_it_opens_on_a_bad_rate_without_a_long_row() -> None:
    """Half of the outcomes failing is too many, though never three in a row."""
    breaker = Breaker(SETTINGS)
    tell(breaker, True, False, True, False, True, False, True)
    assert breaker.state(0) == State.CLOSED
    tell(breaker, False)
    assert breaker.state(0) == State.OPEN


def test_old_failures_are_forgotten() -> None:
    """Failures older than the window do not count towards the rate."""
    breaker = Breaker(SETTINGS)
    tell(breaker, True, False, True, False, True, False, True, now=0)
    tell(breaker, False, now=11)
    assert breaker.state(11) == State.CLOSED


def test_one_probe_closes_it() -> None:
    """After the wait one request goes through, only one, and its answer opens the way for all."""
    breaker = opened()
    assert breaker.state(1) == State.HALF_OPEN
    probe = breaker.admit(1)
    assert probe is not None
    assert breaker.admit(1) is None
    breaker.settle(probe, True, 1.1)
    assert breaker.state(1.1) == State.CLOSED
    assert breaker.admits(1.1)


def test_failed_probes_wait_longer_up_to_a_bound() -> None:
    """1, 2, 4, 4 seconds; a success starts again at 1."""
    breaker, now, waits = opened(), 0.0, []
    for _ in range(4):
        start = now
        while not breaker.admits(now):
            now += 0.25
        waits.append(now - start)
        tell(breaker, False, now=now)
    assert waits == [1, 2, 4, 4]
    now += 4
    tell(breaker, True, now=now)
    tell(breaker, False, False, False, now=now)
    assert breaker.admits(now + 1)


def test_a_probe_nobody_waited_for_frees_its_place() -> None:
    """A cancelled probe says nothing: the next request is the probe."""
    breaker = opened()
    probe = breaker.admit(1)
    assert probe is not None
    breaker.settle(probe, None, 1)
    assert breaker.state(1) == State.HALF_OPEN
    assert breaker.admits(1)


def test_it_tells_each_state_once() -> None:
    """Who watches sees it open, probe, reopen, probe and close."""
    seen: list[State] = []
    breaker = Breaker(SETTINGS, seen.append)
    tell(breaker, True, False, False, False)
    tell(breaker, False, now=1)
    tell(breaker, True, now=3)
    states = [State.OPEN, State.HALF_OPEN, State.OPEN, State.HALF_OPEN, State.CLOSED]
    assert states == seen


@pytest.mark.parametrize("late", [True, False, None])
def test_a_late_outcome_of_another_time_is_ignored(late: bool | None) -> None:
    """A request from before the breaker opened neither closes nor frees what came after."""
    breaker = Breaker(SETTINGS)
    old = breaker.admit(0)
    assert old is not None
    tell(breaker, False, False, False)
    probe = breaker.admit(1)
    breaker.settle(old, late, 1)
    assert breaker.state(1) == State.HALF_OPEN
    assert breaker.admit(1) is None
    assert probe is not None


class Forgetful(Breaker):
    """A planted fault: takes outcomes of any time for outcomes of now."""

    def settle(self, ticket: int, answered: bool | None, now: float) -> None:
        super().settle(self._generation, answered, now)


Step = tuple[str, float, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["admit", "answered", "failed", "unknown"]), st.sampled_from([0, 0.3, 1, 5]), st.integers(0)
    ),
    max_size=80,
)


def check(kind: type[Breaker], steps: Sequence[Step]) -> None:
    """Nothing passes while open, one at a time while half-open, and only the probe's own answer closes."""
    breaker, now = kind(replace(SETTINGS, minimum=4)), 0.0
    waiting: list[tuple[int, bool]] = []
    for step, passed, pick in steps:
        now += passed
        before = breaker.state(now)
        probes = sum(probe for _, probe in waiting)
        if step == "admit":
            ticket = breaker.admit(now)
            assert before is not State.OPEN or ticket is None
            assert before is not State.CLOSED or ticket is not None
            if ticket is not None:
                assert before is not State.HALF_OPEN or probes == 0
                waiting.append((ticket, before is State.HALF_OPEN))
        elif waiting:
            ticket, probe = waiting.pop(pick % len(waiting))
            breaker.settle(ticket, {"answered": True, "failed": False, "unknown": None}[step], now)
            after = breaker.state(now)
            assert before is State.CLOSED or after is not State.CLOSED or (probe and step == "answered")
            assert before is not State.CLOSED or after is State.CLOSED or step == "failed"


@settings(max_examples=150)
@given(STEPS)
def test_no_order_of_outcomes_misleads_it(steps: Sequence[Step]) -> None:
    """The law holds for every interleaving of requests, outcomes and time."""
    check(Breaker, steps)


def test_the_law_bites() -> None:
    """A breaker that believes late outcomes lets a request from before the opening close it."""
    steps: Sequence[Step] = [("admit", 0, 0)] * 4 + [("failed", 0, 0)] * 3 + [("admit", 1, 0), ("answered", 0, 0)]
    check(Breaker, steps)
    with pytest.raises(AssertionError):
        check(Forgetful, steps)

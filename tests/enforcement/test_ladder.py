"""The ladder against a plain count: each rung fires when the strikes cross it, once, and later than it says never."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.enforcement import ladder, projection
from safeguards_extproc.enforcement.events import Event, Kind
from safeguards_extproc.policy.account_document import Delay, Rung
from tests.enforcement.given import DAY, START, told

RUNGS = [Rung(at=2, step="warn"), Rung(at=3, step="throttle", share=0.5), Rung(at=3, step="restrict", tools=True)]


def climb(rungs, strikes, held=lambda state: state):
    """The rungs that fire at each strike, as the ledger has them fire; `held` may spoil the state between two."""
    state, fires, id = projection.EMPTY, [], 0
    for number, (weight, at, half_life) in enumerate(strikes):
        entered = ladder.strike(told(number, weight=weight, at=at, half_life=half_life), state, START + 1000 * DAY)
        entered = replace(entered, id=(id := id + 1))
        state = held(projection.fold(state, entered))
        fired = ladder.fired(rungs, state, entered.at)
        for rung in fired:
            step = replace(ladder.step(rung, entered, entered.at, max), id=(id := id + 1))
            state = projection.fold(state, step)
        fires.append([(rung.at, rung.step) for rung in fired])
    return fires


def plain(rungs, strikes):
    """The same by a count over all strikes at each: a rung fires where the sum was below it and is not now."""
    fires = []
    for number, (_, _, _) in enumerate(strikes):
        now = max(at for _, at, _ in strikes[: number + 1])

        def total(some, now=now):
            return sum(
                weight * (0.5 ** ((now - at) / half_life) if half_life else 1.0) for weight, at, half_life in some
            )

        before, after = total(strikes[:number]), total(strikes[: number + 1])
        crossed = [rung for rung in rungs if before < rung.at - 1e-6 and after >= rung.at - 1e-6]
        fires.append([(rung.at, rung.step) for rung in sorted(crossed, key=lambda rung: rung.at)])
    return fires


STRIKES = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.5, 1.0, 1.5]),
        st.integers(0, 40).map(lambda days: START + days * DAY),
        st.sampled_from([None, DAY, 7 * DAY]),
    ),
    max_size=12,
)


@pytest.mark.long
@settings(max_examples=150, deadline=None)
@given(STRIKES)
def test_each_rung_fires_once(strikes):
    """Strikes that weigh, decay and come late fire what a plain count of all of them fires."""
    assert plain(RUNGS, strikes) == climb(RUNGS, strikes)


def test_it_bites():
    """A ladder that forgets what has fired fires again at the next strike."""
    strikes = [(1.0, START, None)] * 4
    forgets = climb(RUNGS, strikes, held=lambda state: replace(state, held=frozenset()))

    assert plain(RUNGS, strikes) == climb(RUNGS, strikes) != forgets


def test_the_first_weighs_something_else():
    """A first offence may count for nothing; the second counts in full."""
    first = ladder.strike(told(1, first=0.0), projection.EMPTY, START)
    second = ladder.strike(told(2, first=0.0), projection.fold(projection.EMPTY, first), START)

    assert (0.0, 1.0) == (first.weight, second.weight)


def test_tenths_add_up():
    """Ten strikes of a tenth are one, whatever binary fractions make of them."""
    fires = climb([Rung(at=1, step="warn")], [(0.1, START, None)] * 11)

    assert [*([[]] * 9), [(1.0, "warn")], []] == fires


def test_a_strike_is_not_from_the_future():
    """A clock that is ahead elsewhere does not let a strike outlast its half-life."""
    assert START == ladder.strike(told(1, at=START + 99), projection.EMPTY, START).at


DELAYED = Rung(at=1, step="suspend", lasting=300.0, delay=Delay(at_least=60.0, at_most=660.0))


def test_delays_are_drawn_evenly():
    """Due times are as drawn, from one end of the delay to the other, and a step never begins past its end."""
    cause = Event(kind=Kind.STRIKE, subject="a", id=1)
    share = iter(number / 100 for number in range(101))
    steps = [
        ladder.step(DELAYED, cause, START, lambda least, most: least + next(share) * (most - least)) for _ in range(101)
    ]

    assert [START + 60 + 6 * number for number in range(101)] == [each.due for each in steps]
    assert {300.0} == {each.until - each.due for each in steps}

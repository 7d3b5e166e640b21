"""A standing is the sum of the events: by steps, by time, and the same written down and read again."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from safeguards_extproc.core.account import IN_GOOD_STANDING, Step
from safeguards_extproc.enforcement import projection
from safeguards_extproc.enforcement.events import Event, Kind
from tests.enforcement.given import DAY, START, event


def folded(*events: Event) -> projection.State:
    """The state after these events, numbered and entered at START."""
    return projection.replay([replace(each, id=number, at=START) for number, each in enumerate(events, 1)])


def test_the_most_severe_counts():
    """A ban over a warning; what ends leaves what is beneath; a label is nowhere in the way."""
    state = folded(event(Kind.WARN), event(Kind.BAN, until=START + 10, rule="weapons"), event(Kind.LABEL))

    stands = projection.standing(state, START + 9)
    assert (Step.BANNED, "weapons", START + 10, {"watched"}) == (stands.step, stands.rule, stands.until, stands.flags)
    assert Step.WARNED == projection.standing(state, START + 10).step
    assert START + 10 == projection.turns(state, START)
    assert projection.turns(state, START + 10) is None
    assert 2 == len(projection.prune(state, START + 10).effects)


def test_limits_of_milder_steps_hold_on():
    """Who is restricted and throttled twice has the smaller share and loses the models of both."""
    state = folded(
        event(Kind.THROTTLE, data={"share": 0.5}),
        event(Kind.THROTTLE, data={"share": 0.1}),
        event(Kind.RESTRICT, data={"models": ["b"]}),
        event(Kind.RESTRICT, data={"models": ["a"], "tools": True}),
    )

    stands = projection.standing(state, START)
    assert (Step.RESTRICTED, 0.1, {"a", "b"}, True) == (stands.step, stands.share, stands.models, stands.tools)


def test_reinstated():
    """All steps end, labels stay, and what comes later counts."""
    state = folded(event(Kind.BAN), event(Kind.LABEL), event(Kind.REINSTATE), event(Kind.WARN))

    assert (Step.WARNED, {"watched"}) == (
        projection.standing(state, START).step,
        projection.standing(state, START).flags,
    )


def test_an_undo_of_an_undo():
    """What is undone does not count; what undid it being undone, it does again."""
    ban = event(Kind.BAN)
    taken = Event(kind=Kind.UNDO, subject="a", undoes=1)
    back = Event(kind=Kind.UNDO, subject="a", undoes=2)

    assert IN_GOOD_STANDING == projection.standing(folded(ban, taken), START)
    assert Step.BANNED == projection.standing(folded(ban, taken, back), START).step


EVENTS = st.lists(
    st.one_of(
        st.builds(
            lambda weight, at, half_life: Event(
                kind=Kind.STRIKE, subject="a", weight=weight, at=START + at, data={"half_life": half_life}
            ),
            st.floats(0, 10),
            st.floats(0, 30 * DAY),
            st.sampled_from([0.0, DAY, 0.3 * DAY]),
        ),
        st.builds(
            lambda kind, until: event(kind, at=START, until=until and START + until),
            st.sampled_from([Kind.WARN, Kind.THROTTLE, Kind.RESTRICT, Kind.BAN, Kind.LABEL, Kind.REINSTATE]),
            st.sampled_from([0.0, 5.0, 500.0]),
        ),
    ),
    max_size=10,
)


@given(EVENTS)
def test_it_is_read_as_it_was_written(events):
    """To the last bit, so that a row that was stored goes on as if it had never been."""
    state = projection.replay([replace(each, id=number) for number, each in enumerate(events, 1)])

    assert state == projection.decode(projection.encode(state))

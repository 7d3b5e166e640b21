"""What is split over turns is read as one text, and nothing more than a window's worth is added to a turn."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeguards_extproc.core.text import Channel, Kind
from safeguards_extproc.core.turns import Turns

Said = list[tuple[Channel, str]]


def user(turn: int, part: int = 0) -> Channel:
    return Kind.USER, f"{turn}.{part}"


def read(said: Said, most: int = 40, turns: Callable[[int], Turns] = Turns) -> list[str]:
    memory = turns(most)
    return [memory.join(channel, text) for channel, text in said]


def test_a_question_that_is_cut_into_turns_is_read_whole() -> None:
    """Each turn behind all that came before it; the first has nothing before it."""
    cut = [(user(0), "how do I"), (user(2), "make a"), (user(4), "bomb?")]
    assert ["", "how do I make a", "how do I make a bomb?"] == read(cut)


def test_only_the_user_s_turns_are_joined() -> None:
    """What the assistant says between them, and what tools say, is nobody's question."""
    between: Said = [
        ((Kind.ASSISTANT, "1"), "Please go on."),
        ((Kind.TOOL, "2"), "none"),
        ((Kind.SYSTEM, "0"), "Be kind."),
    ]
    assert ["", "", "", "", "how to fly"] == read([(user(0), "how to"), *between, (user(3), "fly")])


def test_windows_and_parts_of_one_turn_are_read_apart() -> None:
    """They overlap already; what follows the turn is joined to its end."""
    parts = [(user(0), "one"), (user(0), "two"), (user(0, 1), "three"), (user(1), "four")]
    assert ["", "", "", "one two three four"] == read(parts)


def test_of_long_turns_the_end_meets_the_beginning() -> None:
    """At most half of what is read is of the turns before, unless the turn is short."""
    assert ["", "b" * 19 + " " + "c" * 20] == read([(user(0), "a" * 40 + "b" * 40), (user(1), "c" * 100)])
    assert ["", "b" * 36 + " ccc"] == read([(user(0), "a" * 40 + "b" * 40), (user(1), "ccc")])


def test_turns_without_text_say_nothing() -> None:
    """They neither are read nor make what was said a turn older."""
    assert ["", "", "", "a b"] == read([(user(0), " "), (user(1), "a"), (user(2), "\n"), (user(3), "b")])


def check(said: Said, most: int, turns: Callable[[int], Turns]) -> None:
    """Every joined text fits a window, and holds nothing but what the user said, in order."""
    heard = ""
    for (channel, text), joined in zip(said, read(said, most, turns), strict=True):
        heard += "".join(text.split()) if channel[0] is Kind.USER else ""
        assert len(joined) <= most
        if joined:
            before, now = joined[: len(joined) // 2], joined[len(joined) // 2 :]
            assert all(word in heard for word in (*before.split(), *now.split()))


TALK = st.lists(
    st.tuples(
        st.builds(
            lambda kind, turn: (kind, str(turn)), st.sampled_from([Kind.USER, Kind.ASSISTANT]), st.integers(0, 5)
        ),
        st.text("ab \n", max_size=30),
    ),
    max_size=12,
)


@pytest.mark.long
@given(TALK, st.integers(4, 40))
def test_nothing_is_made_up(said: Said, most: int) -> None:
    """Whatever the order of turns and however long they are."""
    check(said, most, Turns)


class Hoarding(Turns):
    """Forgets to cut."""

    __slots__ = ()

    def _end(self, before: str, text: str) -> str:
        return f"{before} {text}"

    def join(self, channel: Channel, text: str) -> str:
        super().join(channel, text)
        return self._before + text


def test_the_law_bites() -> None:
    """One that joins without bound is caught."""
    with pytest.raises(AssertionError):
        check([(user(turn), "a" * 10) for turn in range(9)], 40, Hoarding)


def test_no_text_in_its_repr() -> None:
    """What users say appears in no log."""
    memory = Turns(40)
    memory.join(user(0), "secret")
    memory.join(user(1), "secret")
    assert "Turns(6 chars)" == repr(memory)

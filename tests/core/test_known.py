"""A window that comes again is known by what it says, and by nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from safeguards_extproc.core.decision import Findings, Span
from safeguards_extproc.core.known import FOUND, LEAST, MARKED, Known
from safeguards_extproc.core.text import Kind

TEXT = "The bees of the valley fly when the river is warm, and not before. "
NOTHING = Findings({"pii.email": 0.0})
SEEN = Findings({"pii.email": 1.0}, (Span(4, 8, "email"),))


def marks(known: Known, *texts: str) -> list[bytes]:
    return [known.mark(Kind.USER, text, False) for text in texts]


def test_what_was_kept_is_found_again() -> None:
    """By the same text, read anew."""
    known = Known()
    known.keep(known.mark(Kind.USER, TEXT, False), 7, SEEN)
    assert (7, SEEN) == known.find(known.mark(Kind.USER, "".join(TEXT), False))


def test_another_kind_or_end_is_another_window() -> None:
    """Detectors may read some kinds only, and the end of a text has no tail."""
    known = Known()
    known.keep(known.mark(Kind.USER, TEXT, False), 7, SEEN)
    assert known.find(known.mark(Kind.SYSTEM, TEXT, False)) is None
    assert known.find(known.mark(Kind.USER, TEXT, True)) is None


@given(st.lists(st.tuples(st.sampled_from(Kind), st.text(min_size=LEAST), st.booleans()), unique=True, max_size=8))
def test_different_windows_have_different_marks(windows: list[tuple[Kind, str, bool]]) -> None:
    """Lone surrogates included."""
    known = Known()
    assert len(windows) == len({known.mark(*window) for window in windows})


def test_a_short_window_has_no_mark() -> None:
    """Looking it up would cost what looking at it does."""
    assert b"" == Known().mark(Kind.USER, TEXT[: LEAST - 1], False)


def test_no_text_is_kept() -> None:
    """Nothing of the window can be read in what is remembered."""
    known = Known()
    known.keep(known.mark(Kind.USER, TEXT, False), 0, SEEN)
    assert not any(word in repr(known._found) for word in TEXT.split() if len(word) > 4)


def test_what_was_not_seen_for_longest_is_forgotten() -> None:
    """To be found counts as seen."""
    known = Known(2)
    first, second, third = marks(known, TEXT + "1", TEXT + "2", TEXT + "3")
    known.keep(first, 0, NOTHING)
    known.keep(second, 0, NOTHING)
    assert known.find(first) is not None
    known.keep(third, 0, NOTHING)
    assert [True, False, True] == [known.find(mark) is not None for mark in (first, second, third)]
    assert 2 == len(known)


@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=60))
def test_what_is_remembered_has_a_size(kept: list[tuple[int, bool]]) -> None:
    """Findings of its own are what takes memory, so such a window takes many places. The last one is known."""
    most = 3 * FOUND
    known = Known(most)
    for number, something in kept:
        mark = b"%d %d" % (number, something)
        known.keep(mark, 0, SEEN if something else NOTHING)
        known.keep(mark, 0, SEEN if something else NOTHING)
        assert known.find(mark) is not None
    there = [known.find(b"%d %d" % (number, something)) for number in range(41) for something in (False, True)]
    assert most >= sum(FOUND if found[1] is SEEN else 1 for found in there if found)


def test_where_there_is_no_room_nothing_is_kept() -> None:
    """A policy may ask for very few."""
    known = Known(1)
    known.keep(b"m", 0, SEEN)
    assert 0 == len(known)


def test_a_window_full_of_marks_is_not_kept() -> None:
    """So that what is remembered has a size."""
    known = Known()
    known.keep(b"m", 0, Findings({}, [Span(at, at + 1, "digit") for at in range(MARKED + 1)]))
    assert 0 == len(known)

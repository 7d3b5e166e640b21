"""A window that comes again is known by what it says, and by nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from safeguards_extproc.core.decision import Findings, Span
from safeguards_extproc.core.known import LEAST, MARKED, Known
from safeguards_extproc.core.text import Kind

TEXT = "The bees of the valley fly when the river is warm, and not before. "
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
    known.keep(first, 0, SEEN)
    known.keep(second, 0, SEEN)
    assert known.find(first) is not None
    known.keep(third, 0, SEEN)
    assert [True, False, True] == [known.find(mark) is not None for mark in (first, second, third)]
    assert 2 == len(known)


def test_a_window_full_of_marks_is_not_kept() -> None:
    """So that what is remembered has a size."""
    known = Known()
    known.keep(b"m", 0, Findings({}, [Span(at, at + 1, "digit") for at in range(MARKED + 1)]))
    assert 0 == len(known)

"""An expression says where it matches: in bytes, with what stands before the place from which it looks."""

from __future__ import annotations

import re

import pytest
import re2  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.detectors.expression import NOWHERE, Expression, either_case


@given(st.text("ab é\n"), st.integers(0, 8))
@settings(max_examples=60, deadline=None)
def test_places_are_those_of_re(text: str, start: int) -> None:
    """The leftmost match at or behind a place, and its groups."""
    data = text.encode()
    start = min(start, len(data))
    expression, found = Expression(rb"a+(b?)"), re.compile(rb"a+(b?)").search(data, start)
    assert (found.span() if found else NOWHERE) == expression.span(data, start)
    assert ([found.span(), found.span(1)] if found else [NOWHERE, NOWHERE]) == list(expression.spans(data, start))
    assert (b"a" in data) == expression.matches(data)


def test_where_it_looks_from_is_no_beginning() -> None:
    """What stands before that can be seen, so only the beginning of a text is one."""
    assert [(0, 1), NOWHERE] == [Expression("^a").span(b"aa", start) for start in (0, 1)]


def test_bytes_are_signs_of_their_own() -> None:
    """Half a surrogate is no character, and still stands between two words."""
    data = "\ud800the".encode("utf-8", "surrogatepass")
    assert (2, 6) == Expression(b"[^a-z]the").span(data)
    assert (0, 2) == Expression("[^a-z]").span("é".encode())


def test_what_is_no_expression_is_an_error() -> None:
    """As `re2` says it."""
    with pytest.raises(re2.error):
        Expression("a(")


def test_either_case_is_of_ascii() -> None:
    """The Kelvin sign is no k here, as it is to RE2's own flag."""
    kelvin = "\u212a".encode()
    assert (True, False) == (Expression("(?i)k").matches(kelvin), Expression(either_case("k")).matches(kelvin))
    assert "[kK]-9" == either_case("k-9")

"""CEL's arithmetic and comparisons, with None for whatever CEL calls an error. None of it raises."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.policy.operators import OPERATORS, matcher

MOST = (1 << 63) - 1

CASES = [
    ("/", (5, -2), -2),
    ("/", (-5, 2), -2),
    ("%", (5, -3), 2),
    ("%", (-5, 3), -2),
    ("/", (1, 0), None),
    ("%", (1, 0), None),
    ("/", (1.0, 0.0), math.inf),
    ("/", (-1.0, 0.0), -math.inf),
    ("/", (1.0, -0.0), -math.inf),
    ("%", (1.5, 1.0), None),
    ("+", (MOST, 1), None),
    ("-", (-MOST, 2), None),
    ("*", (MOST, MOST), None),
    ("/", (-MOST - 1, -1), None),
    ("neg", (-MOST - 1,), None),
    ("neg", (True,), None),
    ("+", (1, 1.0), None),
    ("+", (True, True), None),
    ("+", (0.25, 0.5), 0.75),
    ("==", (1, 1.0), True),
    ("==", (1, True), None),
    ("==", ("a", "a"), True),
    ("!=", ("a", 1), None),
    ("==", (True, False), False),
    ("<", (True, False), None),
    ("<", ("a", "b"), True),
    ("<", (1, 1.5), True),
    ("<", (None, 1), None),
    ("in", ("a", ("b", "a")), True),
    ("in", ("a", ("b",)), False),
    ("in", ("a", (1, "a")), True),
    ("in", ("a", (1, "b")), None),
    ("in", ("a", ("a", None)), None),
    ("in", (None, ()), None),
    ("in", (1, ()), False),
    ("size", ("h\u00e9\U0001f600",), 3),
    ("size", ((1, 2),), 2),
    ("size", ((1, None),), None),
    ("size", (5,), None),
    ("max", ((1, 2.5),), 2.5),
    ("min", ((0.5, 0.25, 0.75),), 0.25),
    ("max", ((0.5, None),), None),
    ("max", ((0.5, "a"),), None),
    ("max of known", (0.5, 0.75), 0.75),
    ("min of known", (0.5,), 0.5),
    ("startsWith", ("abc", "a"), True),
    ("endsWith", ("abc", "a"), False),
    ("contains", ("abc", "b"), True),
    ("contains", (None, "b"), None),
    ("truth", (1,), None),
    ("truth", (False,), False),
    ("text", (3,), None),
]


@pytest.mark.parametrize(("name", "operands", "expected"), CASES)
def test_operators(name: str, operands: tuple[object, ...], expected: object) -> None:
    """Whole numbers divide towards zero and stay within 64 bits; types do not mix; what is missing stays missing."""
    got = OPERATORS[name](*operands)
    assert got == expected
    assert type(got) is type(expected)


def test_zero_by_zero_is_no_number() -> None:
    """As IEEE 754 has it."""
    assert math.isnan(OPERATORS["/"](0.0, 0.0))


def test_matches_searches() -> None:
    """As RE2 does, anywhere in the text; an odd byte in a header is no reason to fail."""
    import re

    matches = matcher(re.compile("b").search)
    assert [matches("abc"), matches("xyz"), matches(3), matches("b\udc80")] == [True, False, None, True]


VALUES = st.none() | st.booleans() | st.integers(-(1 << 63), MOST) | st.floats() | st.text(max_size=3)
ARITY = {"size": 1, "neg": 1, "truth": 1, "text": 1, "max": 0, "min": 0, "in": -1}


@given(
    st.sampled_from(sorted(set(OPERATORS) - {"max of known", "min of known"})), st.lists(VALUES, min_size=2, max_size=4)
)
@settings(max_examples=300)
def test_nothing_raises(name: str, values: list[object]) -> None:
    """Whatever the values are."""
    operands = {
        1: (values[0],),
        0: (tuple(values),),
        -1: (values[0], tuple(values[1:])),
        2: (values[0], values[1]),
    }[ARITY.get(name, 2)]
    OPERATORS[name](*operands)

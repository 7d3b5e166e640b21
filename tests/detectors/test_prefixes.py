"""The beginnings of matches, against every prefix of what a pattern matches."""

from __future__ import annotations

import re

import pytest
import re2  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.detectors.prefixes import DEEPEST, beginnings
from safeguards_extproc.errors import ConfigError


def starts(pattern: str, text: str) -> bool:
    begun = beginnings(pattern).pattern
    return begun is not None and re2.fullmatch(begun, text) is not None


@pytest.mark.parametrize(
    ("pattern", "begins", "does_not"),
    [
        ("abc", ["a", "ab"], ["abc", "b", "abd", "ac"]),
        ("ab|cd", ["a", "c"], ["ab", "b", "d", "ad"]),
        ("a{2,3}b", ["a", "aa", "aaa"], ["aaaa", "b"]),
        ("(?:ab)+c", ["a", "ab", "aba", "abab"], ["c", "abc", "b"]),
        ("(?i)Ab", ["a", "A"], ["b"]),
        ("a(?i)b|c", ["a"], ["A", "b"]),
        (r"(?P<n>x)(?:y)?z", ["x", "xy"], ["y", "xyz", "xx"]),
        (r"[]a-c]\dx", ["]", "a", "b1"], ["d", "1"]),
        (r"[[:alpha:]\]]{2}!", ["a", "]", "ab"], ["1", "!"]),
        (r"\Qa.b\E+c", ["a", "a.", "a.b", "a.bb"], ["ab", "axb"]),
        (r"\x41\x{42}\103D", ["A", "AB", "ABC"], ["x", "ABCD"]),
        (r"\pL\p{Greek}\PN", ["x", "xα"], ["1", "xx"]),
        ("a{,2}b", ["a", "a{", "a{,2"], ["aa", "a{,2}b"]),
        ("ab*?c", ["a", "ab", "abb"], ["c"]),
        ("(a(b(c)))d", ["a", "ab", "abc"], ["b"]),
        (r"\bfoo\b bar", ["f", "foo", "foo ", "foo ba"], ["o", "foob"]),
        ("^ab$", ["a"], ["b"]),
        ("a.c", ["a", "ax"], ["a\n"]),
        ("(?s:a.c)", ["a\n"], ["b"]),
    ],
)
def test_what_begins_a_match(pattern: str, begins: list[str], does_not: list[str]) -> None:
    """Every proper prefix of a match, and nothing that no match begins with."""
    assert begins == [text for text in begins if starts(pattern, text)]
    assert [] == [text for text in does_not if starts(pattern, text)]


@pytest.mark.parametrize(
    ("pattern", "longest"),
    [
        ("abc", 3),
        ("a|bcd", 3),
        ("(?:ab){2,5}c?", 11),
        ("a*", None),
        ("a{3,}", None),
        (r"\bx$", 1),
        ("", 0),
        ("x{0}", 0),
    ],
)
def test_the_longest_match(pattern: str, longest: int | None) -> None:
    """Characters of the longest match, or no bound."""
    assert longest == beginnings(pattern).longest


def test_a_single_character_has_no_beginning() -> None:
    """Where a match cannot be split, nothing waits."""
    assert beginnings("[a-z]").pattern is None
    assert beginnings("").pattern is None


def test_many_repetitions_are_not_counted() -> None:
    """Long counts are taken for any number, so that the automaton of a search from the end stays small."""
    assert starts("a{50}b", "a" * 60)
    assert beginnings("a{50}b").longest == 51


@pytest.mark.parametrize("pattern", ["(" * (DEEPEST + 1) + "a" + ")" * (DEEPEST + 1), r"a\Cb"])
def test_what_is_refused(pattern: str) -> None:
    """Too deep for a parser on the stack; bytes, which could split a character."""
    with pytest.raises(ConfigError):
        beginnings(pattern)


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.lists(inner, min_size=2, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"(?:{'|'.join(parts)})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{0,7}", "{2,}"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
    )


PATTERNS = st.recursive(st.sampled_from(["a", "b", "[ab]", "1", r"\d", "é", r"\w"]), _grown, max_leaves=6)


@pytest.mark.long
@given(pattern=PATTERNS, data=st.data())
@settings(max_examples=120, deadline=None)
def test_every_prefix_of_every_match(pattern: str, data: st.DataObject) -> None:
    """Whatever the pattern and whatever it matches, each proper prefix is among the beginnings."""
    match = data.draw(st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True))
    begun = beginnings(pattern)
    assert begun.longest is None or len(match) <= begun.longest
    assert all(starts(pattern, match[:end]) for end in range(1, len(match)))


def test_that_the_law_bites() -> None:
    """The beginnings of another pattern do not pass."""
    begun = beginnings("abd").pattern
    assert begun is not None
    assert re2.fullmatch(begun, "acd"[:2]) is None

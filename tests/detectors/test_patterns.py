"""Lists and expressions that an operator writes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.core.decision import Span
from safeguards_extproc.detectors.patterns import CHUNK, LONGEST, patterns
from safeguards_extproc.detectors.scanner import Scanner
from safeguards_extproc.errors import ConfigError
from tests.contract.detector_contract import tail_is_safe
from tests.detectors.test_prefixes import PATTERNS


def words(*keywords: str, **fields: Any) -> Scanner:
    return patterns("w", {"lists": {"l": {"keywords": list(keywords), **fields}}})


@pytest.mark.parametrize(
    ("keyword", "text", "hit"),
    [
        ("bomb", "a bomb.", True),
        ("bomb", "BOMB", True),
        ("bomb", "bombastic", False),
        ("bomb", "a_bomb", False),
        ("bomb", "bombé", False),
        ("bomb", "ébomb", False),
        ("nerve agent", "nerve \n agent", True),
        ("nerve agent", "nerveagent", False),
        ("бомба", "это БОМБА!", True),
        ("бомба", "бомбардир", False),
        ("炸弹", "做炸弹的方法", True),
        ("c++", "in c++11", True),
        (".net", "the .net", True),
        ("a.b", "axb", False),
    ],
)
def test_whole_words(keyword: str, text: str, hit: bool) -> None:
    """Letters of any script make words; scripts without spaces and signs at an edge need none around them."""
    assert float(hit) == words(keyword).find(text, ()).scores["w.l"]


def test_parts_of_words_and_case() -> None:
    """Both can be switched."""
    assert words("bomb", whole_words=False).find("bombastic", ()).spans == [Span(0, 4, "l")]
    assert words("Bomb", ignore_case=False).find("bomb", ()).scores == {"w.l": 0.0}


def test_of_words_that_begin_alike_the_longer_that_fits_is_marked() -> None:
    """Unless the longer one is cut short by its guard."""
    detector = words("pipe", "pipe bomb", "pipe-bomb")
    assert detector.find("pipe bomb", ()).spans == [Span(0, 9, "l")]
    assert detector.find("pipe-bombs", ()).spans == [Span(0, 4, "l")]


def test_a_list_may_be_written_short() -> None:
    """label: [word, word]"""
    detector = patterns("w", {"lists": {"a": ["x"], "b": {"regex": [r"\d{3}"]}}})
    assert detector.scores == {"w.a", "w.b"}
    assert detector.find("x 123", ()).scores == {"w.a": 1.0, "w.b": 1.0}


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({}, "lists"),
        ({"lists": {}}, "lists"),
        ({"lists": [1]}, "lists"),
        ({"list": {}}, "list"),
        ({"lists": {"a b": ["x"]}}, "lists.a b"),
        ({"lists": {"a": "x"}}, "lists.a"),
        ({"lists": {"a": {}}}, "lists.a"),
        ({"lists": {"a": {"words": ["x"]}}}, "lists.a.words"),
        ({"lists": {"a": {"keywords": "x"}}}, "lists.a.keywords"),
        ({"lists": {"a": {"keywords": [1]}}}, "lists.a.keywords[0]"),
        ({"lists": {"a": {"keywords": ["x", " "]}}}, "lists.a.keywords[1]"),
        ({"lists": {"a": {"keywords": ["\ud800"]}}}, "lists.a.keywords[0]"),
        ({"lists": {"a": {"keywords": ["x"], "whole_words": "yes"}}}, "lists.a.whole_words"),
        ({"lists": {"a": {"keywords": ["x"], "ignore_case": 1}}}, "lists.a.ignore_case"),
        ({"lists": {"a": {"regex": ["x", "(y"]}}}, "lists.a.regex[1]"),
        ({"lists": {"a": {"regex": ["(?<!x)y"]}}}, "lists.a.regex[0]"),
        ({"lists": {"a": {"regex": ["x*"]}}}, "lists.a.regex[0]"),
        ({"lists": {"a": {"regex": [r"\C"]}}}, "lists.a.regex[0]"),
        ({"lists": {"a": {"keywords": ["x", "y" * (LONGEST + 1)]}}}, "lists.a.keywords[1]"),
    ],
)
def test_what_is_refused(options: dict[str, object], where: str) -> None:
    """Each mistake is told with its place and a way out, and without the text of the list."""
    with pytest.raises(ConfigError) as caught:
        patterns("w", options)
    assert where == caught.value.where
    assert caught.value.hint


def test_re2_says_what_is_wrong() -> None:
    """The message is RE2's own."""
    with pytest.raises(ConfigError, match="missing"):
        patterns("w", {"lists": {"a": {"regex": ["(y"]}}})


@given(pattern=PATTERNS, text=st.text("ab1é -", max_size=24))
@settings(max_examples=60, deadline=None)
def test_tails_of_any_expression_are_safe(pattern: str, text: str) -> None:
    """Whatever an operator writes, no match is cut."""
    try:
        detector = patterns("w", {"lists": {"l": {"regex": [pattern]}}})
    except ConfigError:
        assert "*" in pattern or "?" in pattern or "{0" in pattern
        return
    tail_is_safe(detector, text)


def test_a_sentence_holds_nothing_back() -> None:
    """A finished word is no beginning of a keyword."""
    detector = words("pipe bomb", "nerve agent")
    assert detector.tail("the pipe is fine ", frozenset({"l"})) == 0
    assert detector.tail("a pipe", frozenset({"l"})) == len(" pipe")


def test_long_lists() -> None:
    """More words than a row holds are several rows, and still found and held back."""
    detector = words(*(f"word{index}x" for index in range(2 * CHUNK + 1)))
    last = f"word{2 * CHUNK}x"
    assert detector.find(f"a {last} b", ()).spans == [Span(2, 2 + len(last), "l")]
    assert detector.tail(f"a {last[:-1]}", frozenset({"l"})) == len(last)

"""The engine: which candidates are taken, how marks are merged, and offsets in characters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeguards_extproc.core.decision import Span
from safeguards_extproc.detectors.scanner import CACHED, Row, Scanner, compile_row
from safeguards_extproc.errors import ConfigError


def scanner(*rows: Row) -> Scanner:
    return Scanner("d", rows)


def test_a_text_without_a_match_gives_zeros() -> None:
    """What ran and found nothing says so; every such text shares one answer."""
    detector = scanner(Row("a", "x+"), Row("b", "y"))
    assert detector.find("nothing", ()).scores == {"d.a": 0.0, "d.b": 0.0}
    assert detector.find("nothing", ()) is detector.find("none", ("none",))


def test_a_refused_candidate_does_not_hide_another() -> None:
    """The search goes on inside a candidate that the check refuses."""
    detector = scanner(Row("pair", "[0-9]{2}(?: [0-9]{2})?", check=lambda text: len(text) if text[0] == "7" else 0))
    assert detector.find("12 71 99", ()).spans == [Span(3, 8, "pair")]


def test_a_check_may_accept_the_first_part() -> None:
    """The rest of the candidate is searched again."""
    detector = scanner(Row("two", "[é0-9]+", check=lambda text: min(2, len(text))))
    assert detector.find("é1é2é", ()).spans == [Span(0, 2, "two"), Span(2, 4, "two"), Span(4, 5, "two")]


def test_context_is_not_marked() -> None:
    """Only the core is; what stands after one match may stand before the next."""
    detector = scanner(Row("w", "[a-z]+", before="(?:^|,)", after="(?:$|,)"))
    assert detector.find("ab,cd,ef", ()).spans == [Span(0, 2, "w"), Span(3, 5, "w"), Span(6, 8, "w")]


def test_the_longer_mark_wins_and_nothing_marked_is_lost() -> None:
    """Of two that overlap the longer keeps the shared part and the other keeps the rest."""
    detector = scanner(Row("long", "b[a-z]{5}"), Row("short", "ab.{2}"), Row("inner", "d"))
    assert detector.find("abcdefg", ()).spans == [Span(0, 1, "short"), Span(1, 7, "long")]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 12)), max_size=8))
def test_merged_marks_cover_what_was_marked(places: list[tuple[int, int]]) -> None:
    """Whatever overlaps, the union of the spans is the union of the matches, in order and without overlap."""
    text = "".join(chr(0x4E00 + place) for place in range(45))
    rows = [Row(f"e{index}", text[start : start + size]) for index, (start, size) in enumerate(places)]
    spans = scanner(*rows).find(text, ()).spans if rows else ()
    marked = {place for start, size in places for place in range(start, start + size)}
    covered = [place for span in spans for place in range(span.start, span.end)]
    assert sorted(marked) == covered


def test_offsets_count_characters() -> None:
    """Not bytes, and a lone surrogate is one character."""
    detector = scanner(Row("a", "ab"))
    assert detector.find("é😀\ud800ab", ()).spans == [Span(3, 5, "a")]
    assert detector.find("ab é ab", ()).spans == [Span(0, 2, "a"), Span(5, 7, "a")]


def test_views_count_for_the_score_only() -> None:
    """A hit in a view scores; there is no place to mark."""
    findings = scanner(Row("a", "ab", score=0.5)).find("xx", ("xx", "ab"))
    assert findings.scores == {"d.a": 0.5}
    assert findings.spans == []


def test_the_best_row_counts() -> None:
    """Rows of one entity share a score, the highest that hits."""
    detector = scanner(Row("a", "ab", score=0.5), Row("a", "abc", score=0.9))
    assert detector.find("ab", ()).scores == {"d.a": 0.5}
    assert detector.find("ab", ("abc",)).scores == {"d.a": 0.9}


def test_a_refused_hit_in_a_view_does_not_score() -> None:
    """Checks hold for views as well."""
    assert scanner(Row("a", "ab", check=lambda text: 0)).find("x", ("ab",)).scores == {"d.a": 0.0}


def test_empty_text_and_empty_matches() -> None:
    """Nothing is marked in nothing, and an empty match marks nothing."""
    detector = scanner(Row("a", "x*"))
    assert not detector.find("", ()).spans
    assert detector.find("yxy", ()).spans == [Span(1, 2, "a")]


@pytest.mark.parametrize(
    ("text", "tail"),
    [("", 0), ("ab ", 0), ("12", 0), ("x 12-", 4), ("a 12-3", 5), ("é 12-3", 5), ("12-34", 3), ("x12-", 0)],
)
def test_the_tail_is_what_a_match_could_begin_with(text: str, tail: int) -> None:
    """Here with one character of context; words and finished matches hold nothing back."""
    detector = scanner(Row("n", "[0-9]{2}-[0-9]{2}", before=r"[^\w]"))
    assert tail == detector.tail(text, frozenset({"n"}))


def test_a_tail_is_no_longer_than_a_match() -> None:
    """Where a match has a longest length, nothing beyond it waits."""
    assert scanner(Row("n", "[0-9]{10,20}x")).tail("1" * 500, frozenset({"n"})) <= 23
    assert scanner(Row("n", "[0-9]+x")).tail("1" * 500, frozenset({"n"})) == 500


def test_where_a_long_text_is_cut_is_not_its_start() -> None:
    """A word that reaches further back than any match is no beginning of one."""
    detector = scanner(Row("n", "[a-z]{6}x", before="(?:^|[^a-z])"))
    assert detector.tail("abcdef", frozenset({"n"})) == 6
    assert detector.tail("é" + "a" * 60, frozenset({"n"})) == 0


def test_many_sets_of_entities() -> None:
    """The cache of compiled tails is bounded and does not change answers."""
    detector = scanner(Row("n", "ab"))
    asked = [detector.tail("a", frozenset({"n", str(index)})) for index in range(CACHED + 5)]
    assert asked == [1] * (CACHED + 5)


@pytest.mark.parametrize("core", ["(a", "a)(b", "(?=a)", r"\1", "a**"])
def test_a_bad_pattern_is_refused(core: str) -> None:
    """Also one that only the parentheses around it would make well-formed."""
    with pytest.raises(ConfigError, match="RE2"):
        compile_row(Row("a", core))


def test_too_large_together() -> None:
    """A set that RE2 cannot hold does not load."""
    with pytest.raises(ConfigError):
        scanner(*(Row(f"e{index}", rf"(?i)\pL{{{900 + index}}}") for index in range(60)))


def test_its_repr_holds_no_pattern() -> None:
    """What an operator lists may be as private as what users write."""
    assert repr(scanner(Row("a", "hidden"))) == "Scanner(d, 1 rows)"

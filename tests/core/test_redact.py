"""Marks become edits, whichever segments they run across."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeguards_extproc.core.decision import Span
from safeguards_extproc.core.redact import chosen, edits, placeholder, whole_escapes
from safeguards_extproc.core.text import Kind, Segment

CONTENT = (Kind.CONTENT, "0")


def applied(pieces, spans):
    """The text after the edits of each piece."""
    at, result = 0, []
    for piece in pieces:
        text = piece
        for edit in sorted(edits(Segment(CONTENT, piece, ()), at, spans), key=lambda e: -e.start):
            text = text[: edit.start] + edit.replacement + text[edit.end :]
        result.append(text)
        at += len(piece)
    return "".join(result)


@given(st.lists(st.text("abc ", max_size=9), max_size=8), st.data())
def test_pieces_do_not_matter(pieces, data):
    """The redacted text is the same however the text was cut."""
    whole = "".join(pieces)
    points = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    spans = [Span(a, b, "email") for a, b in zip(points[::2], points[1::2], strict=False) if a < b]

    assert applied(pieces, chosen(spans, {"email"})) == applied([whole], chosen(spans, {"email"}))


def test_overlapping_marks_are_one():
    """The first mark names what is removed; the longest decides how much."""
    spans = [Span(5, 9, "phone"), Span(0, 6, "card"), Span(20, 22, "email")]

    assert chosen(spans, {"*"}) == [Span(0, 9, "card"), Span(20, 22, "email")]


def test_only_what_policy_names_is_marked():
    """Other entities stay."""
    assert chosen([Span(0, 4, "email"), Span(6, 9, "card")], {"card"}) == [Span(6, 9, "card")]


def test_a_placeholder_is_safe_in_json():
    """It needs no escape."""
    assert placeholder("email") == "[REDACTED:EMAIL]"


@pytest.mark.parametrize(
    ("text", "found", "whole"),
    [
        (r'{"a": "line\ntom@example.com"}', "ntom@example.com", r"\ntom@example.com"),
        (r'{"a": "\u00e9tom@example.com"}', "u00e9tom@example.com", r"\u00e9tom@example.com"),
        (r'{"a": "\u00e94111 1111"}', "4111 1111", "4111 1111"),
        (r'{"a": "\u00e4111 1111"}', "4111 1111", r"\u00e4111 1111"),
        (r'{"a": "\ud83d\ude00tom@example.com"}', "ude00tom@example.com", r"\ud83d\ude00tom@example.com"),
        (r'{"a": "tom@example.com\ud83d\ude00"}', r"tom@example.com\ud83d", r"tom@example.com\ud83d\ude00"),
        (r'{"a": "tom@example.com\""}', "tom@example.com\\", r"tom@example.com\""),
        (r'{"a": "C:\\ntom@example.com"}', "ntom@example.com", "ntom@example.com"),
        (r'{"a": "tom@example.com"}', "tom@example.com", "tom@example.com"),
        ("\\", "\\", "\\"),
    ],
)
def test_no_half_of_an_escape_is_redacted(text: str, found: str, whole: str) -> None:
    """The letter after a backslash is not the beginning of a word, even where a detector takes it for one."""
    start = text.index(found)
    span = whole_escapes(text, Span(start, start + len(found), "email"))

    assert whole == text[span.start : span.end]

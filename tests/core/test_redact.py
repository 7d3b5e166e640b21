"""Marks become edits, whichever segments they run across."""

from hypothesis import given
from hypothesis import strategies as st

from safeguards_extproc.core.decision import Span
from safeguards_extproc.core.redact import chosen, edits, placeholder
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

"""What a request asks: the user's last turn, no more of it than is told, and what was redacted with a mark."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeguards_extproc.core.decision import Span
from safeguards_extproc.core.question import GAP, HEAD, TAIL, Question
from safeguards_extproc.core.text import Kind, Segment

LONGEST = HEAD + len(GAP) + TAIL


def heard(*said: tuple[str, str] | tuple[str, str, Kind]) -> Question:
    """A question that has heard these texts, each given as (channel, text) or with its kind."""
    question, lengths = Question(lambda text: (text,)), dict[tuple[Kind, str], int]()
    for name, text, *kind in said:
        channel = (kind[0] if kind else Kind.USER, name)
        question.hear(Segment(channel, text, ("text",)), lengths.get(channel, 0))
        lengths[channel] = lengths.get(channel, 0) + len(text)
    return question


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([], ""),
        ([("0", "hello")], "hello"),
        ([("0", "first"), ("1", "answer", Kind.ASSISTANT), ("2", "second"), ("3", "result", Kind.TOOL)], "second"),
        ([("0", "one "), ("0", ""), ("0", "two")], "one two"),
        ([("3.0", "one "), ("3.1", "two")], "one two"),
        ([("2", "now"), ("0", "before")], "now"),
        ([("9", "before"), ("10", "now")], "now"),
        ([("0", "prompt"), ("suffix", "end")], "prompt"),
        ([("input", "text"), ("instructions", "voice")], "voice"),
        ([("9" * 5000, "odd"), ("0", "now")], "now"),
    ],
    ids=["nothing", "one", "last turn", "parts", "channels", "order", "tens", "suffix", "no numbers", "no number"],
)
def test_the_last_turn_counts(said: list[tuple[str, str]], expected: str) -> None:
    """That of the user, wherever it stands."""
    assert expected == heard(*said).text


@given(st.lists(st.integers(0, 900), max_size=12))
def test_no_more_is_kept_than_its_ends(sizes: list[int]) -> None:
    """Whole if it is short; else its beginning, its end and a gap, however it was cut."""
    texts = [
        "".join(chr(0x4E00 + (number * 911 + at) % 9000) for at in range(size)) for number, size in enumerate(sizes)
    ]
    whole = "".join(texts)
    expected = whole if len(whole) <= HEAD + TAIL else whole[:HEAD] + GAP + whole[-TAIL:]
    question = heard(*(("0", text) for text in texts))
    assert expected == question.text
    kept = [len(segment.text) for segment, _ in [*question._head, *question._tail]]
    assert sum(kept) <= HEAD + TAIL


def test_a_megabyte_is_not_kept() -> None:
    """Nor is the piece that it came in."""
    question = heard(*[("0", "x" * 8192)] * 128)
    assert LONGEST == len(question.text)
    assert sum(len(segment.text) for segment, _ in [*question._head, *question._tail]) == HEAD + TAIL


@given(st.integers(0, 3000), st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 40)), max_size=6))
def test_what_is_redacted_is_not_told(size: int, marks: list[tuple[int, int]]) -> None:
    """No character of a mark is left, wherever it stands: within an end, across its border, or in what is not kept."""
    secret = {at for start, length in marks for at in range(start, start + length)}
    text = "".join("S" if at in secret else "." for at in range(size))
    question = heard(*(("0", text[at : at + 700]) for at in range(0, size, 700)))
    spans = [Span(start, min(start + length, size), "x") for start, length in marks if start < size]
    question.redact({(Kind.USER, "0"): spans}, frozenset({"x"}))
    assert "S" not in question.text
    mark = "[REDACTED:X]"
    if any(span.start + len(mark) <= HEAD for span in spans):  # one across the head's end is cut with it
        assert mark in question.text


def test_only_what_is_to_be_redacted_gets_a_mark() -> None:
    """What other rules found stays, and other texts are not touched."""
    question = heard(("0", "mail a@b.c or call 555"))
    question.redact({(Kind.USER, "0"): [Span(5, 10, "email"), Span(19, 22, "phone")]}, frozenset({"email"}))
    assert "mail [REDACTED:EMAIL] or call 555" == question.text
    question.redact({(Kind.USER, "1"): [Span(0, 4, "email")]}, frozenset({"*"}))
    assert "mail [REDACTED:EMAIL] or call 555" == question.text


def test_a_disguised_question_is_read_as_it_is_meant() -> None:
    """The second view is what a reader makes of it, and no longer than any other."""
    question = Question(lambda text: (text, text.upper(), "odd"))
    question.hear(Segment((Kind.USER, "0"), "hello", ("text",)), 0)
    assert "HELLO" == question.text
    long = Question(lambda text: (text, text * 3))
    long.hear(Segment((Kind.USER, "0"), "ab" * 400, ("text",)), 0)
    assert LONGEST == len(long.text)


def test_it_is_not_told_in_its_repr() -> None:
    """Lengths only; and a text that comes later is heard although the question was read."""
    question = heard(("", "secret"))
    assert "Question(6 chars)" == repr(question)
    question.hear(Segment((Kind.USER, ""), " words", ("text",)), 6)
    assert "secret words" == question.text

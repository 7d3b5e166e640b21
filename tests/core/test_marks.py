"""What windows say of what they have in common, and of what is theirs alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeguards_extproc.core.decision import Span
from safeguards_extproc.core.marks import Marks
from safeguards_extproc.core.placeholders import NOTHING, Numbering, Originals
from safeguards_extproc.core.text import Kind
from safeguards_extproc.core.windows import Window

CONTENT, CALL = (Kind.CONTENT, "0"), (Kind.TOOL_CALL, "0.0")


def window(start: int, text: str, *, lead: int = 0, tail: int = 0, channel=CONTENT) -> Window:
    return Window(channel, start, start + len(text) - lead, lead, text, tail)


def found(text: str) -> list[Span]:
    """Every run of x."""
    spans, at = [], 0
    for run in text.split(" "):
        if run and set(run) == {"x"}:
            spans.append(Span(at, at + len(run), "x"))
        at += len(run) + 1
    return spans


def places(marks: Marks) -> list[tuple[int, int]]:
    return [(place.start, place.end) for place in marks.places(CONTENT)]


def test_the_later_window_has_the_last_word_on_what_both_saw() -> None:
    """What waited at the end of the first may be something else with what follows, or nothing."""
    marks = Marks(NOTHING)
    marks.take(window(0, "x xx", tail=2), [Span(0, 1, "x"), Span(2, 4, "x")])
    marks.take(window(4, "xxx", lead=2), [Span(0, 3, "x")])
    assert [Span(0, 1, "x"), Span(2, 5, "x")] == list(marks.spans(CONTENT))
    marks.take(window(5, "xxy", lead=3), [])
    assert [Span(0, 1, "x"), Span(2, 5, "x")] == list(marks.spans(CONTENT))


@pytest.mark.long
@given(st.lists(st.sampled_from(["x", "xx", "ab", "xxxx"]), max_size=30), st.data())
def test_windows_with_a_lead_find_what_one_window_finds(words: list[str], data: st.DataObject) -> None:
    """However the text is cut, where the tail of each holds back the word that has not ended."""
    text = " ".join(words)
    marks, cut, open_ = Marks(NOTHING), 0, 0
    while cut < len(text):
        end = data.draw(st.integers(cut + 1, len(text)))
        said = text[open_:end]
        tail = 0 if end == len(text) else len(said) - said.rfind(" ") - 1
        marks.take(window(cut, said, lead=cut - open_, tail=tail), found(said))
        cut, open_ = end, end - tail
    assert found(text) == list(marks.spans(CONTENT))


def test_what_has_gone_is_forgotten() -> None:
    """An answer full of addresses costs what it is long: no frame looks through the marks of all before it."""
    marks = Marks(NOTHING)
    for at in range(0, 40, 4):
        marks.take(window(at, "x x ", tail=1), [Span(0, 1, "x"), Span(2, 3, "x")])
    assert 20 == len(marks.spans(CONTENT))
    assert [36, 38] == [span.start for span in marks.spans(CONTENT, 35)]
    marks.take(window(40, "xxx", lead=1), [Span(0, 3, "x")])
    assert [36, 38, 39] == [span.start for span in marks.spans(CONTENT)]
    assert [] == list(marks.spans(CALL))


def test_what_is_final_is_not_looked_at_again() -> None:
    """A request full of addresses costs what it is long."""
    marks = Marks(NOTHING)
    for at in range(0, 40, 2):
        marks.take(window(at, "x "), [Span(0, 1, "x")])
    assert (20, 19) == (len(marks.spans(CONTENT)), marks._known[CONTENT].final)


def test_marks_in_a_call_take_whole_escapes() -> None:
    """Its text is JSON as it is written."""
    marks = Marks(NOTHING)
    marks.take(window(0, r'{"a": "\nxx"}', channel=CALL), [Span(8, 11, "x")])
    assert [Span(7, 11, "x")] == list(marks.spans(CALL))


def test_placeholders_are_found_where_they_stand_whole() -> None:
    """One across two windows is found by the second; each once."""
    numbers = Numbering(())
    numbers.placeholder("a", "value", in_json=False, restored=True)
    originals = Originals()
    originals.keep(numbers.originals)
    marks = Marks(originals)
    marks.take(window(0, "<A_1> <A", tail=2), [])
    assert [(0, 5)] == places(marks)
    marks.take(window(8, "<A_1> ", lead=2), [])
    assert [(0, 5), (6, 11)] == places(marks)
    marks.places(CONTENT).popleft()
    marks.take(window(12, "<A_1>", lead=0), [])
    assert [(6, 11), (12, 17)] == places(marks)

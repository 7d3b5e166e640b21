"""What a verdict does to a whole body's texts: the same wherever the texts are."""

from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.core.decision import Action, Placeholder, Span, Verdict
from safeguards_extproc.core.placeholders import Original, Originals, Place
from safeguards_extproc.core.recipes import Mask, Restore, parts_of
from safeguards_extproc.core.redact import chosen, edits
from safeguards_extproc.core.text import Document, Kind, Segment

TEXT, OTHER = (Kind.CONTENT, "0"), (Kind.CONTENT, "1")
REDACTING = frozenset({"name"})


def said(text, channel=TEXT, *path):
    return Segment(channel, text, path or ("text",))


def test_a_segment_begins_where_its_channel_has_come_to():
    """Each channel by itself."""
    document = Document([said("ab"), said("cde", OTHER), said("\n"), said("f"), said("g", OTHER)])
    assert [0, 0, 2, 3, 3] == [start for _, start in parts_of(document)]


def test_a_mask_says_what_is_to_be_restored():
    """The same value has the same number, and the answer's recipe gets it back."""
    verdict = Verdict(Action.REDACT, Action.REDACT, redact=REDACTING, placeholders={"name": Placeholder.RESTORED})
    parts = parts_of(Document([said("Ann and Ann")]))
    found = Mask({TEXT: [Span(0, 3, "name"), Span(8, 11, "name")]}, verdict, numbers=True).changes(parts)

    assert ["<NAME_1>", "<NAME_1>"] == [edit.replacement for edit in found.edits]
    assert {"name": 2} == found.counts
    assert Mask({}, verdict, numbers=True).idle

    originals = Originals()
    originals.keep(found.originals)
    answer = parts_of(Document([said("Hello <NAME_1>!")]))
    places = {TEXT: deque([Place(6, 14, "NAME_1", 0)])}
    back = Restore({}, frozenset(), originals, places, 100)
    assert not back.idle
    result = back.changes(answer)
    assert ["Ann"] == [edit.replacement for edit in result.edits]
    assert {"name": 1} == result.restored


def test_no_more_is_put_back_than_there_is_room_for():
    """A short placeholder may stand for a long text, and be said often."""
    originals = Originals()
    originals.keep({"NAME_1": Original("name", "a" * 60, "a" * 60)})
    places = {TEXT: deque([Place(0, 8, "NAME_1", 0), Place(8, 16, "NAME_1", 0)])}
    result = Restore({}, frozenset(), originals, places, 100).changes(parts_of(Document([said("<NAME_1>" * 2)])))
    assert {"name": 1} == result.restored


spans = st.lists(st.integers(0, 60), min_size=2, max_size=8, unique=True).map(
    lambda ends: [Span(a, b, "name") for a, b in zip(sorted(ends)[::2], sorted(ends)[1::2], strict=False)]
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), spans, spans)
def test_every_mark_is_edited_where_it_lies(sizes, marks, others):
    """Those within a text and those across several, each text by the marks of its own channel alone."""
    document = Document([said("a" * size, (TEXT, OTHER)[n % 2], n) for n, size in enumerate(sizes)])
    by_channel, parts = {TEXT: marks, OTHER: others}, parts_of(document)
    result = Restore(by_channel, REDACTING, Originals()).changes(parts)

    one_by_one = [
        edit
        for segment, start in parts
        for edit in edits(segment, start, chosen(by_channel[segment.channel], REDACTING))
    ]
    assert one_by_one == result.edits

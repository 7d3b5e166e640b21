"""Tasks and outcomes survive the pipe, and no frame is long."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.adapters.reader_frames import BYTES, CHARS, HEAD, ITEMS, Joiner, of_fault, of_outcome, of_task
from safeguards_extproc.core.aside import Outcome, Parse, Parsed, Rewrite, Rewritten, Task
from safeguards_extproc.core.decision import Action, Span, Verdict
from safeguards_extproc.core.placeholders import Original
from safeguards_extproc.core.recipes import Mask
from safeguards_extproc.core.text import Direction, Document, Item, Kind, Listed, Segment
from safeguards_extproc.wire import FORMATS

CHAT = FORMATS["openai_chat"]


def drop(body: bytes, gone: Collection[int]) -> bytes:
    """Of a list that nobody leaves."""
    return body


def joined(frames: Iterable[bytes]) -> object:
    joiner, found = Joiner(), []
    for frame in frames:
        kind, size = HEAD.unpack(frame[: HEAD.size])
        assert size == len(frame) - HEAD.size
        assert size < 2 * 4 * CHARS + 100 * ITEMS
        found.append(joiner.take(kind, frame[HEAD.size :]))
    assert not any(found[:-1])
    return found[-1]


paths = st.lists(st.one_of(st.integers(-9, 9), st.text(max_size=5)), max_size=4).map(tuple)
sizes = st.sampled_from([0, 1, 1, 5, 5, CHARS, CHARS + 1, 3 * CHARS])
segments = st.lists(
    st.builds(
        lambda kind, name, letter, size, path, raw: Segment((kind, name), letter * size, path, raw),
        st.sampled_from(Kind),
        st.text(max_size=3),
        st.sampled_from(["a", "é", "字", "😀"]),
        sizes,
        paths,
        st.booleans(),
    ),
    max_size=4,
)


@settings(max_examples=25, deadline=None)
@given(segments, st.sampled_from([1, ITEMS]), st.frozensets(st.sampled_from(["image", "audio"])))
def test_what_a_body_says_arrives_whole(said: list[Segment], times: int, unread: frozenset[str]) -> None:
    """Segments of every length, in their order; what was only read stays where it was read."""
    listed = Listed([Item(str(n), frozenset({(Kind.CONTENT, str(n))})) for n in range(times)], drop)
    many = [Segment((Kind.USER, "0"), "a", ("b",))] * times
    document = Document([*said, *many], "m", True, {"n": 1}, unread, listed)
    told = {"$.user": "u"}
    parsed = Parsed("", True, 9, document, None, b"plain", told)
    assert joined(of_outcome(parsed)) == Parsed("", True, 9, document, None, told=told)


@pytest.mark.long
@pytest.mark.parametrize("size", [0, 1, BYTES, BYTES + 1, 3 * BYTES])
def test_bodies_and_marks_arrive_whole(size: int) -> None:
    """Of every length, and of none."""
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    spans = {(Kind.USER, str(n % 3)): [Span(i, i + 1, "name") for i in range(size // 100)] for n in range(3)}
    spans = {channel: marks for channel, marks in spans.items() if marks}
    mask = Mask(spans, Verdict(Action.REDACT, Action.REDACT, redact=frozenset({"name"})), numbers=True)
    originals = {f"NAME_{n}": Original("name", str(n), str(n)) for n in range(size // 100)}
    tasks: list[Task] = [
        Parse(Direction.REQUEST, None, body, "gzip", 9, wants=("$.user",)),
        Rewrite(Direction.RESPONSE, CHAT, body, "", 9, 0, mask, "kind"),
    ]
    for task in tasks:
        got = joined(of_task(task))
        assert isinstance(got, Parse | Rewrite)
        assert isinstance(got.format, type(task.format))
        got.format = task.format
        assert got == task
    outcomes: list[Outcome] = [
        Rewritten(body, "", {"name": 1}, originals),
        Rewritten(None),
        Rewritten(reason="malformed"),
    ]
    for outcome in outcomes:
        assert outcome == joined(of_outcome(outcome))


def test_a_fault_is_its_type() -> None:
    """The message stays where it was made."""
    assert joined([of_fault(ValueError("a secret"))]) == "ValueError"
    assert Joiner().take(77, b"") == "unknown"

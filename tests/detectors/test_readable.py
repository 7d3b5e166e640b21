"""Bytes are a text where they read as one, and their beginning never says no to such bytes."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from safeguards_extproc.detectors.readable import as_text, may_begin
from tests.detectors import plain


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"hello", "hello"),
        ("héllo wörld".encode(), "héllo wörld"),
        ("hello".encode("utf-16-le"), "hello"),
        ("hello".encode("utf-16-be"), "hello"),
        (b"ab", None),
        (b"\xff\xfe\xfd\xfc", None),
        (b"a\x00\x01\x02\x03", None),
        (b"!!!???###", None),
    ],
)
def test_what_is_text(data: bytes, text: str | None) -> None:
    """UTF-8 or UTF-16, printable, mostly words."""
    assert text == as_text(data)


@given(st.text(st.sampled_from("ab 1\n\t\x00\x07\x7fé½²—東\u200b😀"), min_size=1, max_size=30))
@settings(max_examples=200, deadline=None)
def test_characters_are_counted_as_one_by_one(text: str) -> None:
    """However they are written, but for what reads as UTF-16."""
    data = text.encode()
    if len(data) < 6 or (any(data[1:8:2]) and any(data[0:8:2])):
        assert plain.reads(data) == (as_text(data) == text)


TEXTS = st.text(min_size=3, max_size=12).flatmap(
    lambda text: st.sampled_from(("utf-8", "utf-16-le", "utf-16-be")).map(lambda name: text.encode(name, "replace"))
)


@given(TEXTS, st.integers(1, 8))
@example("¡000".encode("utf-16-le"), 1)
@settings(max_examples=200, deadline=None)
def test_a_text_begins_as_one(data: bytes, size: int) -> None:
    """Wherever it is cut."""
    if as_text(data) is not None:
        assert may_begin(data[:size])


@pytest.mark.parametrize("head", [b"\x80abc", b"ab\xff\xffcd", b"\xc3a\xc3b"])
def test_what_no_text_begins_with(head: bytes) -> None:
    """A byte that continues nothing, or one that nothing continues."""
    assert not may_begin(head)

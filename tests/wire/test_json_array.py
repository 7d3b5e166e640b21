"""A JSON array that is sent item by item: frames, whatever the chunks."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.wire import json_array

SCALARS = st.none() | st.integers() | st.text('a"\\{[]},é\n', max_size=8)
ITEMS = st.dictionaries(st.text('k"{\\', max_size=3), st.lists(SCALARS, max_size=3) | SCALARS, max_size=3)
SPACES = st.sampled_from(["", " ", "\n", ",\r\n".strip(","), "\t "])


def cut(stream: bytes, sizes: list[int]) -> list[bytes]:
    framer, frames, at = json_array.Framer(), [], 0
    for size in [*sizes, len(stream)]:
        frames += framer.push(stream[at : at + size])
        at += size
        assert framer.held == min(at, len(stream)) - sum(map(len, frames))
    rest = framer.finish()
    assert framer.held == 0
    return [*frames, rest] if rest else frames


@pytest.mark.long
@settings(max_examples=80, deadline=None)
@given(
    items=st.lists(ITEMS, max_size=4),
    space=SPACES,
    indent=st.sampled_from([None, 1]),
    sizes=st.lists(st.integers(1, 9), max_size=30),
    cut_off=st.integers(0, 12),
)
def test_frames_do_not_depend_on_chunks(
    items: list[object], space: str, indent: int | None, sizes: list[int], cut_off: int
) -> None:
    """Law 1: one frame for each item and one for the end, also where the stream breaks off."""
    written = [json.dumps(item, indent=indent, ensure_ascii=False) for item in items]
    stream = (space + "[" + space + ("," + space).join(written) + space + "]" + space).encode()
    whole = cut(stream, [])
    assert len(items) + 1 == len(whole)
    assert items == [json.loads(json_array.split(frame)[1]) for frame in whole[:-1]]
    assert json_array.ends(whole[-1])
    assert whole == cut(stream, sizes) == cut(stream, [1] * len(stream))
    broken = stream[: len(stream) - cut_off]
    assert cut(broken, []) == cut(broken, sizes)
    assert broken == b"".join(cut(broken, sizes))


def test_an_item_leaves_with_its_last_byte() -> None:
    """Nothing waits for the comma after it."""
    framer = json_array.Framer()
    assert framer.push(b'[{"a":"}]') == []
    assert framer.push(b'\\"') == []
    assert framer.push(b'"}') == [b'[{"a":"}]\\""}']
    assert framer.push(b",{") == []
    assert framer.push(b"}\n]") == [b",{}"]
    assert framer.finish() == b"\n]"


@pytest.mark.parametrize("body", [b'{"error":{"code":[1]}}', b"plain [words] {here}", b'"[{}]"', b" \n", b"1,[{}]"])
def test_what_is_no_array_is_one_frame(body: bytes) -> None:
    """An error object comes whole, and so does what is no JSON: its reader says so."""
    assert [body] == cut(body, []) == cut(body, [1] * len(body))


def test_a_long_string_is_looked_at_once() -> None:
    """A megabyte of escapes, byte by byte, is a matter of its length."""
    framer = json_array.Framer()
    framer.push(b'[{"a":"')
    for _ in range(20_000):
        assert framer.push(b"\\") == []
        assert framer.push(b'"') == []
    assert len(framer.push(b'"}')[0]) == 40_009


@pytest.mark.parametrize(
    ("frame", "head", "item"),
    [
        (b'[{"a":1}', b"[", b'{"a":1}'),
        (b" ,\r\n {}", b",", b"{}"),
        (b'{"a":1}', b"", b'{"a":1}'),
        (b"{}{}", b"", b"{}{}"),
        (b"[,{}", b"[", b",{}"),
    ],
)
def test_a_frame_is_split_before_its_item(frame: bytes, head: bytes, item: bytes) -> None:
    """One bracket or comma is punctuation; what else stands there belongs to the item, which is then no JSON."""
    assert (head, item) == json_array.split(frame)


@pytest.mark.parametrize(("frame", "last"), [(b"\n]\n", True), (b"[ ]", True), (b",]", False), (b"[{}]", False)])
def test_only_a_bracket_ends_the_array(frame: bytes, last: bool) -> None:
    """A bracket with a comma or an item before it is no end."""
    assert last is json_array.ends(frame)

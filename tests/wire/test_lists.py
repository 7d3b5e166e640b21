"""Items leave a list, and nothing else changes but the numbers that count them."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import strict_json
from safeguards_extproc.wire.lists import without

BODY = b'{"total": 3, "list": [ "a" , {"b": [1, 2]},\n  "\xc3\xa7" ], "after": 3}'

CASES = [
    ({0}, b'{"total": 2, "list": [ {"b": [1, 2]},\n  "\xc3\xa7" ], "after": 3}'),
    ({1}, b'{"total": 2, "list": [ "a" , "\xc3\xa7" ], "after": 3}'),
    ({2}, b'{"total": 2, "list": [ "a" , {"b": [1, 2]} ], "after": 3}'),
    ({0, 1}, b'{"total": 1, "list": [ "\xc3\xa7" ], "after": 3}'),
    ({1, 2}, b'{"total": 1, "list": [ "a" ], "after": 3}'),
    ({0, 2}, b'{"total": 1, "list": [ {"b": [1, 2]} ], "after": 3}'),
    ({0, 1, 2}, b'{"total": 0, "list": [  ], "after": 3}'),
    (set(), BODY),
]


@pytest.mark.parametrize(("gone", "left"), CASES)
def test_an_item_goes_with_one_comma(gone: set[int], left: bytes) -> None:
    """The space around what stays is that of before."""
    assert left == without(BODY, ("list",), 3, gone, [("total",), ("absent",)])


COUNTS = [
    (b"3", b"1"),
    (b'"3"', b'"1"'),
    (b"1", b"0"),
    (b"0", b"0"),
    (b"123456789012345678", b"123456789012345676"),
    (b"3.5", b"3.5"),
    (b"-3", b"-3"),
    (b'"about 3"', b'"about 3"'),
    (b"null", b"null"),
    (b"[3]", b"[3]"),
]


@pytest.mark.parametrize(("before", "after"), COUNTS)
def test_a_count_is_a_whole_number(before: bytes, after: bytes) -> None:
    """Anything else that stands in its place stays."""
    body = b'{"l":[1,2],"n":%s}'
    assert (body % after).replace(b"[1,2]", b"[]", 1) == without(body % before, ("l",), 2, {0, 1}, [("n",)])


@pytest.mark.parametrize(
    ("body", "gone"),
    [
        (b'{"l":{}}', {0}),
        (b'{"l":[1]}', {1}),
        (b'{"l":[1]}', {-1}),
        (b'{"l":[]}', {0}),
        (b'{"l":[1,2]}', {0}),
        (b"[1]", {0}),
        (b'{"m":[1]}', {0}),
    ],
)
def test_an_item_that_is_not_there_cannot_go(body: bytes, gone: set[int]) -> None:
    """That is said, and nothing is changed."""
    with pytest.raises(MalformedBody, match="shape"):
        without(body, ("l",), 1, gone)


def test_a_list_may_be_the_whole_body() -> None:
    """With space around it."""
    assert b" [2] \n" == without(b" [1,2] \n", (), 2, [0])


Without = Callable[[bytes, tuple[str | int, ...], int, Collection[int], Sequence[tuple[str | int, ...]]], bytes]

space = st.sampled_from([b"", b" ", b"\n  ", b"\t"])
values = st.sampled_from(
    [b"1", b'"x"', b'"a, b"', b"{}", b'{"id": [1,\n2]}', b'"\\"]"', b"null", '"字 😀"'.encode(), b"[[], {}]"]
)


@st.composite
def lists(draw: st.DrawFn) -> tuple[list[bytes], list[bytes], bytes, bytes, set[int]]:
    """Items as written, what stands between them, what stands before and after, and which go."""
    items = draw(st.lists(values, max_size=7))
    gaps = [draw(space) + b"," + draw(space) for _ in items[1:]]
    before = b'{"o": "]",' + draw(space) + b'"n": ' + str(len(items)).encode() + b', "l": [' + draw(space)
    after = draw(space) + b'], "z": ["\xc3\xa9", 3.10]' + draw(space) + b"}"
    gone = draw(st.sets(st.integers(0, len(items) - 1))) if items else set()
    return items, gaps, before, after, gone


def written(items: Sequence[bytes], gaps: Sequence[bytes]) -> bytes:
    return b"".join(part for pair in zip(items, [*gaps, b""], strict=False) for part in pair)


def only_items_go(drop: Without, case: tuple[list[bytes], list[bytes], bytes, bytes, set[int]]) -> None:
    """What stays is as it was, byte for byte: items in order, what stands before and after the list, and of what stood
    between two items a part as it was."""
    items, gaps, before, after, gone = case
    body = before + written(items, gaps) + after
    result = drop(body, ("l",), len(items), gone, [("n",)])
    kept = [item for at, item in enumerate(items) if at not in gone]
    count = b'"n": %d'
    head = before.replace(count % len(items), count % len(kept))
    assert result.startswith(head)
    assert result.endswith(after)
    said = json.loads(body)
    said["l"] = [item for at, item in enumerate(said["l"]) if at not in gone]
    said["n"] = len(kept)
    assert said == strict_json.loads(result)
    rest, left = result[len(head) : len(result) - len(after)], list(gaps)
    for at, item in enumerate(kept):
        assert rest.startswith(item)
        rest = rest[len(item) :]
        if at < len(kept) - 1:
            while not rest.startswith(left[0] + kept[at + 1]):
                del left[0]
            rest = rest[len(left.pop(0)) :]
    assert rest == b""


@given(lists())
@settings(max_examples=150, deadline=None)
def test_only_items_go(case: tuple[list[bytes], list[bytes], bytes, bytes, set[int]]) -> None:
    """Law 10, for any list and any items that go."""
    only_items_go(without, case)


def rewritten(body: bytes, path: tuple[str | int, ...], length: int, gone: Collection[int], counts: object) -> bytes:
    """Right as JSON, with other bytes."""
    value = json.loads(without(body, path, length, gone, [("n",)]))
    return json.dumps(value, ensure_ascii=False).encode()


def uncounted(body: bytes, path: tuple[str | int, ...], length: int, gone: Collection[int], counts: object) -> bytes:
    """Items go and their number stays."""
    return without(body, path, length, gone)


def neighbours(body: bytes, path: tuple[str | int, ...], length: int, gone: Collection[int], counts: object) -> bytes:
    """The wrong item goes."""
    return without(body, path, length, {(at + 1) % length for at in gone}, [("n",)])


@pytest.mark.parametrize("fault", [rewritten, uncounted, neighbours])
def test_the_law_bites(fault: Without) -> None:
    """Planted faults."""
    case = ([b"1", b'"x"', b"{ }"], [b" , ", b","], b'{"o": "]","n": 3, "l": [', b'], "z": ["\xc3\xa9", 3.10]}', {0})
    only_items_go(without, case)
    with pytest.raises((AssertionError, IndexError)):
        only_items_go(fault, case)

"""Edits touch the literals they name, and nothing else."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.core.text import Edit, Path
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import edits
from safeguards_extproc.wire.edits import DECODED
from safeguards_extproc.wire.strict_json import KEY

BODY = '{ "a" : "caf\\u00e9 ☕ 4111" ,\n "b":{"x":[1,  2.50,"\\/"]}, "c" : null}'.encode()


def test_only_the_touched_literal_is_written_anew() -> None:
    """Odd spacing, number forms and escapes elsewhere survive an edit."""
    edited = edits.apply(BODY, [Edit(("a",), 7, 11, "[CARD]")])
    assert '{ "a" : "café ☕ [CARD]" ,\n "b":{"x":[1,  2.50,"\\/"]}, "c" : null}'.encode() == edited


def test_several_edits_of_one_text_count_from_the_text_as_it_was() -> None:
    """Offsets are those of the segment, whatever other edits do."""
    changes = [Edit(("a",), 7, 11, "[CARD]"), Edit(("a",), 0, 4, "tea")]
    assert json.loads(edits.apply(BODY, changes))["a"] == "tea ☕ [CARD]"


def test_an_edit_of_json_applies_to_its_text() -> None:
    """A value that is no string is edited as it is written, spaces and all."""
    assert b'"b":{"x":[7,  2.50,"\\/"]}' in edits.apply(BODY, [Edit(("b",), 6, 7, "7")])


@pytest.mark.parametrize(
    "change", [Edit(("b",), 0, 1, ""), Edit(("b",), 0, 22, "[REDACTED:EMAIL]"), Edit(("b",), 0, 22, "[]")]
)
def test_an_edit_that_leaves_no_json_of_that_kind_is_refused(change: Edit) -> None:
    """A mark that runs across the punctuation of a value cannot be carried out."""
    with pytest.raises(MalformedBody, match="shape"):
        edits.apply(BODY, [change])


@pytest.mark.parametrize(
    "changes",
    [
        [Edit(("nowhere",), 0, 0, "")],
        [Edit(("a",), 0, 99, "")],
        [Edit(("a",), 3, 2, "")],
        [Edit(("a",), -1, 2, "")],
        [Edit(("a",), 0, 4, ""), Edit(("a",), 3, 5, "")],
        [Edit(("b",), 6, 7, "7"), Edit(("b", "x", 2), 0, 1, "")],
        [Edit(("a", DECODED), 0, 1, "")],
    ],
)
def test_edits_that_name_no_place_or_the_same_place_twice_are_refused(changes: list[Edit]) -> None:
    """Better no edit than one in the wrong place."""
    with pytest.raises(MalformedBody, match="shape"):
        edits.apply(BODY, changes)


def test_a_members_name_can_be_edited() -> None:
    """What a caller wrote as a name is text like any other."""
    assert edits.apply(b'{"jane@x":1,"b":2}', [Edit(("jane@x", KEY), 0, 6, "[X]")]) == b'{"[X]":1,"b":2}'


@pytest.mark.parametrize("head", ["", "data:text/plain;base64,", "data:;charset=utf-8;base64,"])
def test_the_text_inside_base64_can_be_edited(head: str) -> None:
    """A file that holds text is redacted inside its encoding."""
    held = head + base64.b64encode("call Zoë now".encode()).decode()
    edited = json.loads(edits.apply(json.dumps({"f": held}).encode(), [Edit(("f", DECODED), 5, 8, "[NAME]")]))["f"]
    assert edited.startswith(head)
    assert base64.b64decode(edited.removeprefix(head)) == b"call [NAME] now"


def test_base64_for_urls_and_without_padding_is_base64() -> None:
    """Protobuf's JSON reads all of these; an edit keeps the alphabet."""
    held = base64.urlsafe_b64encode("¿y Zoë? ÿ".encode()).decode().rstrip("=")
    assert "_" in held or "-" in held
    assert edits.decoded(held) == ("", "¿y Zoë? ÿ")
    edited = json.loads(edits.apply(json.dumps({"f": held}).encode(), [Edit(("f", DECODED), 3, 6, "[N]")]))["f"]
    assert base64.urlsafe_b64decode(edited).decode() == "¿y [N]? ÿ"
    assert {"+", "/"}.isdisjoint(edited)


@pytest.mark.parametrize(
    "data",
    ["not base64", "", "data:image/png;base64,aGVsbG8=", "data:text/plain,hello", "JVBERi0xLjcK", "/wD/", "AAEC"],
)
def test_what_is_no_text_inside_is_not_taken_for_text(data: str) -> None:
    """Pictures, PDFs, binary and plain data URLs are not decoded here."""
    assert edits.decoded(data) is None


def test_a_separator_stands_nowhere() -> None:
    """The reader's own separators are not in the body, so an edit of one changes nothing."""
    assert edits.apply(BODY, [Edit((), 0, 1, "x")]) == BODY


def test_erased_values_become_null() -> None:
    """Copies of an edited text go with it; what is not there needs no erasing."""
    assert edits.apply(b'{"a":"y","b":[1]}', [Edit(("a",), 0, 1, "x")], erase=[("b",), ("c",)]) == b'{"a":"x","b":null}'


def test_items_and_members_are_inserted_first_or_last() -> None:
    """Containers stay valid JSON whether or not they were empty."""
    assert b'{"m":[ 0,1 ]}'.replace(b" 0", b"0") == edits.insert_first(b'{"m":[1 ]}', ("m",), b"0")
    assert edits.insert_first(b'{"m":[ ]}', ("m",), b"0") == b'{"m":[0 ]}'
    assert edits.append_item(b'{"m":[1 ]}', ("m",), b"2") == b'{"m":[1 ,2]}'
    assert edits.append_item(b'{"m":[]}', ("m",), b"2") == b'{"m":[2]}'
    assert edits.insert_first(b' {"m":1}', (), b'"s":0') == b' {"s":0,"m":1}'
    assert edits.replace(b'{"m": null}', ("m",), b'"x"') == b'{"m": "x"}'
    for insert in (edits.insert_first, edits.append_item, edits.replace):
        with pytest.raises(MalformedBody, match="shape"):
            insert(b'{"m":1}', ("n",), b"0")


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.text(max_size=12), min_size=1, max_size=4),
    which=st.integers(0, 3),
    cut=st.tuples(st.integers(0, 12), st.integers(0, 12)),
    replacement=st.text(max_size=6),
    ascii_only=st.booleans(),
)
def test_an_edit_is_what_it_would_be_on_the_value(
    texts: list[str], which: int, cut: tuple[int, int], replacement: str, ascii_only: bool
) -> None:
    """Editing bytes and then parsing gives what parsing and then editing gives."""
    index = which % len(texts)
    path: Path = ("t", index)
    start, end = sorted(min(at, len(texts[index])) for at in cut)
    body = json.dumps({"t": texts}, ensure_ascii=ascii_only).encode()
    texts[index] = texts[index][:start] + replacement + texts[index][end:]
    assert {"t": texts} == json.loads(edits.apply(body, [Edit(path, start, end, replacement)]))

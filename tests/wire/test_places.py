"""Declared places: what is read as what, and that nothing else is passed over."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.core.text import Channel, Kind, Segment
from safeguards_extproc.wire import raw
from safeguards_extproc.wire.json_paths import parse
from safeguards_extproc.wire.leaves import Leaves, identifier
from safeguards_extproc.wire.places import Places, Reader, Text
from tests.contract.wire_contract import texts

OTHER = (Kind.OTHER, "fields")


def read(places: Places, value: Any, within: str = "") -> dict[Channel, str]:
    """Each channel's text."""
    leaves, written = Leaves(), list[Segment]()
    places.read(Reader(leaves, written, within), value)
    raw.fill(json.dumps(value).encode(), written, leaves.segments)
    return texts(leaves.segments)


def text(path: str, kind: Kind = Kind.USER) -> Text:
    return Text(parse(path, "$"), kind)


def test_a_text_is_read_where_it_is_declared() -> None:
    """One place is one text; what a wildcard names stands each alone; what is absent is no error."""
    places = Places([text("$.q"), text("$.docs[*].body", Kind.TOOL), text("$.gone.far[3].away")])
    found = read(places, {"q": "hello", "docs": [{"body": "one"}, {"no": 1}, {"body": "two"}], "gone": 7})
    assert {(Kind.USER, "0"): "hello", (Kind.TOOL, "1"): "one\ntwo\n"} == found


def test_what_is_no_string_is_read_all_the_same() -> None:
    """Numbers as they are written, objects and lists by all that they hold; null and truth values say nothing."""
    places = Places([text("$.q")])
    assert {(Kind.USER, "0"): "4111\n"} == read(places, {"q": 4111})
    assert {(Kind.USER, "0"): "a\nTwo words\nb\n1.5\n"} == read(
        places, {"q": ["a", {"Two words": ["b", 1.5, None, True]}]}
    )
    assert {} == read(places, {"q": None})


def test_no_other_string_is_passed_over() -> None:
    """Values and the names of members that are no identifiers; not the declared name of a member."""
    places = Places([text("$.q"), text("$['my docs'][*].body")])
    value = {"q": "hi", "my docs": [{"body": "x", "page": "y"}], "odd name": {"deep": ["z"]}, "n": 1}
    found = read(places, value)
    assert "my docs\ny\nodd name\nz\n" == found[OTHER]
    assert "x\n" == found[Kind.USER, "1"]


def test_what_is_ignored_is_not_read_but_a_text_in_it_is() -> None:
    """A declared text stands wherever it stands."""
    places = Places([text("$.meta.title")], [parse("$.meta", "$"), parse("$.list[*].url", "$")])
    value = {
        "meta": {"title": "read", "Any name": {"other": "not read"}},
        "list": [{"url": "no", "alt": "yes"}],
        "s": "t",
    }
    assert {(Kind.USER, "0"): "read", OTHER: "yes\nt\n"} == read(places, value)


def test_an_identifier_is_passed_over_while_it_is_one() -> None:
    """A sentence in its place is read."""
    places = Places([], closed=[parse("$.id", "$")])
    assert {} == read(places, {"id": "doc/7"})
    assert {OTHER: "do as I say\n"} == read(places, {"id": "do as I say"})


def test_an_item_has_channels_of_its_own() -> None:
    """One for each kind of its texts, one for what is not declared."""
    places = Places([text("$.title", Kind.CONTENT), text("$.body", Kind.CONTENT), text("$.note", Kind.TOOL)])
    found = read(places, {"title": "a", "body": "b", "note": "c", "link": "d e"}, "items.4")
    channel = "items.4"
    assert {
        (Kind.CONTENT, channel): "a\nb\n",
        (Kind.TOOL, channel): "c\n",
        (Kind.OTHER, channel + ".fields"): "d e\n",
    } == found


def test_media_in_no_declared_place_are_unread() -> None:
    """A picture is not read as the letters of its base64."""
    leaves = Leaves()
    Places([]).read(Reader(leaves, []), {"thumb": "data:image/png;base64,AAAA"})
    assert ([], {"image"}) == (leaves.segments, leaves.unread)


members = st.sampled_from(["a", "b", "c d", "é"])
scalars = st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
bodies = st.recursive(
    st.dictionaries(members, scalars, max_size=3) | st.lists(scalars, max_size=3),
    lambda inner: st.lists(inner | scalars, max_size=3) | st.dictionaries(members, inner | scalars, max_size=3),
    max_leaves=6,
)
paths = st.lists(st.sampled_from(["a", "b", "c d", 0, 1, None]), max_size=3).map(tuple)


def strings(value: Any) -> list[str]:
    """Every string that must be read: values, and names that are no identifiers."""
    match value:
        case str():
            return [value] if value else []
        case list():
            return [said for item in value for said in strings(item)]
        case dict():
            found = [said for item in value.values() for said in strings(item)]
            return found + [name for name in value if not identifier(name)]
    return []


@given(bodies, st.lists(paths, max_size=3, unique=True))
@settings(max_examples=150, deadline=None)
def test_every_string_is_read_whatever_is_declared(value: Any, declared: list[tuple[str | int | None, ...]]) -> None:
    """No field is a blind spot: with nothing ignored, every string is in some text, exactly once, at its place."""
    leaves, written = Leaves(), list[Segment]()
    Places([Text(path, Kind.USER) for path in declared]).read(Reader(leaves, written), value)
    said = [segment.text for segment in leaves.segments if segment.path and not segment.raw]
    assert sorted(strings(value)) == sorted(said)


def test_the_check_bites() -> None:
    """A place that is ignored is a string that is not read."""
    leaves = Leaves()
    Places([], [("a",)]).read(Reader(leaves, []), {"a": "x"})
    assert strings({"a": "x"}) != [segment.text for segment in leaves.segments]

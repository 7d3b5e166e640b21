"""The part of RFC 9535 that an operator may write, and what is said of the rest."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.wire.json_paths import LONGEST, MOST_STEPS, find, parse, singular

RIGHT = [
    ("$", ()),
    ("$.results[*].title", ("results", None, "title")),
    ("$.a.*", ("a", None)),
    ("$[0][12]", (0, 12)),
    ("$['first name']['it\\'s']", ("first name", "it's")),
    ('$["a.b"][ "quo\\"te" ]', ("a.b", 'quo"te')),
    ("$['say \"hi\"']", ('say "hi"',)),
    ("$['caf\\u00e9\\\\'].größe_2", ("café\\", "größe_2")),
    ("$['']", ("",)),
]


@pytest.mark.parametrize(("text", "steps"), RIGHT)
def test_names_positions_and_wildcards(text: str, steps: tuple[str | int | None, ...]) -> None:
    """In the shorthand, in brackets and in both sorts of quotes."""
    assert steps == parse(text, "$")


WRONG = [
    ("results", "$", "must be a path within the body: it begins with $"),
    ("$.title", "@", "must be a path within an item of the list: it begins with @"),
    ("$..title", "$", "'..title' in '$..title': '..' is not supported: name every step of the way"),
    ("$.a[?@.b]", "$", "a filter is not supported: name the place, every element is [*]"),
    ("$.a[-1]", "$", "a position is counted from the start, from 0"),
    ("$.a[1:2]", "$", "a slice is not supported: every element is [*]"),
    ("$.a[1,2]", "$", "one step at a time: write a path for each"),
    ("$['a','b']", "$", "one step at a time: write a path for each"),
    ("$.first-name", "$", "'-name' in '$.first-name': is no step of a path"),
    ("$.1st", "$", "a name with other signs than letters, digits and '_' is written ['so']"),
    ("$.a[01]", "$", "is no step of a path"),
    ("$.a ", "$", "is no step of a path"),
    ("$['a", "$", "is no step of a path"),
    ("$['\\x']", "$", "the name '\\\\x' is not written as JSON writes strings"),
    ("$['\\ud800']", "$", "is not written as JSON writes strings"),
    ("$" + ".a" * LONGEST, "$", f"longer than {LONGEST} characters"),
    ("$" + "[*]" * (MOST_STEPS + 1), "$", f"more than {MOST_STEPS} steps"),
]


@pytest.mark.parametrize(("text", "root", "said"), WRONG)
def test_what_a_path_cannot_be_is_told(text: str, root: str, said: str) -> None:
    """With the place, and what to write instead."""
    with pytest.raises(ValueError) as caught:
        parse(text, root)
    assert said in str(caught.value)


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


@given(st.lists(names | st.integers(0, 99), max_size=4))
@settings(max_examples=100, deadline=None)
def test_every_name_can_be_written(steps: list[str | int]) -> None:
    """As JSON writes strings, within brackets."""
    written = "@" + "".join(f"[{json.dumps(step)}]" for step in steps)
    assert tuple(steps) == parse(written, "@") == singular(parse(written, "@"))


def test_a_place_is_one_value() -> None:
    """A wildcard names several; what is not there is None, whatever stands in the way."""
    assert singular(parse("$.a[*]", "$")) is None
    body = {"a": [{"b": "x"}]}
    assert ["x", None, None, None, body] == [
        find(body, path) for path in (("a", 0, "b"), ("a", 1), ("a", "b"), ("a", 0, "b", 0), ())
    ]

"""One text, one meaning: what two YAML readers could take differently is refused, with its line."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.policy.problems import PolicyError
from safeguards_extproc.policy.source import DEEPEST, LARGEST, dotted, plain, read


def test_values_and_their_lines() -> None:
    """Each path knows its line; an unknown path has the line of what is around it."""
    source = read("a: 1\nb:\n  - x\n  - c: 2.5\n    d: [true, null]\n", "p.yaml")
    assert source.data == {"a": 1, "b": ["x", {"c": 2.5, "d": [True, None]}]}
    assert source.where(("b", 1, "d")) == "p.yaml:5"
    assert source.where(("b", 1, "missing", "deeper")) == "p.yaml:4"
    assert source.where(("nowhere",)) == "p.yaml:1"
    assert dotted(("b", 1, "d")) == "b[1].d"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("yes", "yes"),
        ("no", "no"),
        ("12:30:45", "12:30:45"),
        ("2020-01-01", "2020-01-01"),
        ("1_000", "1_000"),
        ("010", 10),
        ("0x1F", 31),
        ("-7", -7),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1e999", "1e999"),
        (".inf", ".inf"),
        ("9" * 5000, "9" * 5000),
        ("~", None),
        ("TRUE", True),
        ("False", False),
    ],
)
def test_words_and_numbers(text: str, value: object) -> None:
    """YAML 1.2's core schema: no word but true and false is a boolean, no clock is a number."""
    assert plain(text) == value
    assert type(plain(text)) is type(value)


REFUSED = [
    ("a: 1\nb: 2\na: 3", 3, "key 'a' stands twice"),
    ("x:\n  a: 1\n  a: 2", 3, "key 'a' stands twice"),
    ("a: &x 1\nb: 2", 1, "anchors and aliases"),
    ("a: 1\nb: *x", 2, "anchors and aliases"),
    ("a: !!python/object/apply:os.system ['true']", 1, "tags are not allowed"),
    ("a: !!str 1", 1, "tags are not allowed"),
    ("a: 1\n---\nb: 1", 2, "a second document"),
    ("a: 1\n1: 2", 2, "a key must be a string"),
    ("true: 2", 1, "a key must be a string"),
    ("? [a]\n: b", 1, "a key must be a string"),
    ("? {a: 1}\n: b", 1, "a key must be a string"),
    ("a:\n\tb: 1", 2, "indent with spaces, not tabs"),
    ("a: 'b", 1, "not YAML"),
    ("a: 1\nb: \x07", 2, "character #x0007"),
    ("a: 1\nb: x\u2028y", 2, "character #x2028"),
    ("- 1", 1, "a policy is a mapping"),
    ("", 1, "a policy is a mapping"),
    ("a: " + "[" * (DEEPEST + 1), 1, "nested deeper"),
    ("[" * 100_000, 1, "nested deeper"),
]


@pytest.mark.parametrize(("text", "line", "message"), REFUSED)
def test_refuses(text: str, line: int, message: str) -> None:
    """Each of these is refused, at the line where it stands."""
    with pytest.raises(PolicyError) as caught:
        read(text, "p.yaml")
    assert str(caught.value.problems[0]).startswith(f"p.yaml:{line}: ")
    assert message in str(caught.value)


def test_a_billion_laughs() -> None:
    """An alias bomb is refused before anything grows."""
    bomb = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    with pytest.raises(PolicyError, match="anchors and aliases"):
        read(bomb, "p.yaml")


def test_length() -> None:
    """A text beyond the limit is not even parsed."""
    with pytest.raises(PolicyError, match="longer than"):
        read("#" * (LARGEST + 1), "p.yaml")


WORDS = st.text(st.characters(codec="utf-8", max_codepoint=0xFFFF, exclude_characters="\x7f"), max_size=5)
SCALARS = st.none() | st.booleans() | st.integers(-(10**17), 10**17) | WORDS
TREES = st.recursive(SCALARS, lambda t: st.lists(t, max_size=3) | st.dictionaries(WORDS, t, max_size=3), max_leaves=8)


def no_key_twice(reader: Callable[[str], Any]) -> None:
    """The law's checker: a reader refuses a mapping that names a key twice."""
    with pytest.raises(PolicyError):
        reader("a: 1\na: 2")


def test_the_checker_bites() -> None:
    """PyYAML's own loader takes the last of two keys, and the checker sees it."""
    no_key_twice(lambda text: read(text, "p").data)
    with pytest.raises(pytest.fail.Exception):
        no_key_twice(yaml.safe_load)


@given(st.dictionaries(WORDS, TREES, max_size=3))
@settings(max_examples=60, deadline=None)
def test_reads_json(data: dict[str, object]) -> None:
    """JSON is YAML 1.2: any tree of plain values comes back as it was."""
    assert read(json.dumps(data), "p.yaml").data == data

"""JSON that two parsers could read differently is refused; where values stand is told in bytes."""

from __future__ import annotations

import json
from math import inf
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.core.text import Path
from safeguards_extproc.errors import MALFORMED, MalformedBody
from safeguards_extproc.wire import strict_json
from safeguards_extproc.wire.strict_json import KEY, MAX_DEPTH, MAX_VALUES, MOST_VALUES, loads, read_object, spans

AMBIGUOUS = {
    "encoding": [
        b"\xef\xbb\xbf{}",
        b'{"a":"\xff"}',
        b'{"a":"\xc0\xaf"}',
        '{"a":1}'.encode("utf-16"),
        b'"\xed\xa0\x80"',
    ],
    "duplicate-key": [b'{"a":1,"a":2}', b'{"mess\\u0061ges":1,"messages":2}', b'[{"b":{"c":1,"c":1}}]'],
    "surrogate": [b'"\\ud83d"', b'{"\\uDE00":1}', b'["\\ude00\\ud83d"]'],
    "number": [b"NaN", b"[Infinity]", b"-Infinity", b"1e999", b"[-1e400]", b"9" * 400, b"1" * 5000],
    "trailing-data": [b"{}{}", b"[] x", b'{"a":1}\x00', b"1 2"],
    "depth": [b"[" * 101 + b"]" * 101, b'{"a":' * 200 + b"1" + b"}" * 200, b"[" * 100_000],
    "syntax": [
        b"",
        b" ",
        b"{",
        b'{"a":1,}',
        b"[1,]",
        b"{'a':1}",
        b'"\n"',
        b'"\x00"',
        b"// x\n1",
        b"[01]",
        b"tru",
        b'"\\x"',
    ],
}


@pytest.mark.parametrize(
    ("reason", "body"), [(reason, body) for reason, bodies in AMBIGUOUS.items() for body in bodies]
)
def test_ambiguous_json_is_refused_with_its_reason(reason: str, body: bytes) -> None:
    """Law 6, evasions 22 to 26: each reason has bodies that show it."""
    with pytest.raises(MalformedBody) as caught:
        loads(body)
    assert reason == caught.value.reason


def test_every_reason_that_json_can_have_is_shown() -> None:
    """The table of bad bodies leaves out no reason but those of other modules."""
    assert set(MALFORMED) - {"shape", "content-encoding", "framing", "values"} == set(AMBIGUOUS)


VECTOR = ",".join(["-0.0123", "4e-05", "7", "1e+99", "0", "9" * 150] * 400)


@pytest.mark.parametrize(
    "number", ["1e999", "-1E+0400", "9" * 400, "1" * 5000, "9" * 250 + "e99", "NaN", "-Infinity", "01"]
)
@pytest.mark.parametrize("place", [0, len(VECTOR) // 2, len(VECTOR)])
def test_no_number_out_of_range_hides_in_a_vector(number: str, place: int) -> None:
    """What the fast path for many numbers would take for infinite, or not at all, is seen wherever it stands."""
    at = VECTOR.find(",", place) if place < len(VECTOR) else -1
    for exact in (True, False):
        with pytest.raises(MalformedBody, match="syntax" if number == "01" else "number"):
            loads(f"[{VECTOR[:at]},{number}{VECTOR[at:]}]".encode(), exact=exact)


def test_a_vector_is_read_as_any_other_body() -> None:
    """The fast path gives the values that the standard library gives."""
    body = f'{{"data":[{VECTOR},-0.0,0e0001,5E-324]}}'.encode()
    assert repr(json.loads(body)) == repr(loads(body))
    vague = loads(body, exact=False)["data"]
    assert [isinstance(number, float | int) for number in vague] == [True] * len(json.loads(body)["data"])


def test_the_law_bites_in_a_vector() -> None:
    """Planted fault: the shapes of numbers are not looked at."""
    body = f"[{VECTOR},1e999,{VECTOR}]".encode()
    with patch.object(strict_json, "_shape_of_numbers", bytes(256)):
        assert inf in loads(body)


def test_errors_say_where_in_bytes_not_characters() -> None:
    """An offset counts bytes of the body, so that an operator finds the place in a capture."""
    with pytest.raises(MalformedBody) as caught:
        loads('{"ü":1} x'.encode())
    assert caught.value.offset == 9


def test_the_deepest_allowed_value_is_read() -> None:
    """The bound is the documented one, not the interpreter's."""
    body = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert json.loads(body) == loads(body)
    with pytest.raises(MalformedBody):
        loads(body, max_depth=MAX_DEPTH - 1)


@pytest.mark.parametrize(
    "body", [b' \t\r\n{"a": "\\ud83d\\ude00"} \n', b'"\\\\ud83d"', b"1.5e3", b"9" * 300, b'{"A":1,"a":2}']
)
def test_unusual_but_unambiguous_json_is_read(body: bytes) -> None:
    """White space, surrogate pairs, an escaped backslash, long numbers and names that differ in case are no fault."""
    assert json.loads(body) == loads(body)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


def places(value: object, path: Path = ()) -> list[tuple[Path, object]]:
    """Every path of a value and what stands there."""
    found: list[tuple[Path, object]] = [(path, value)]
    if isinstance(value, dict):
        for key, item in value.items():
            found += [((*path, key, KEY), key), *places(item, (*path, key))]
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found += places(item, (*path, index))
    return found


@settings(max_examples=80, deadline=None)
@given(value=VALUES, indent=st.sampled_from([None, 1]), ascii_only=st.booleans())
def test_spans_find_every_value_and_every_name(value: object, indent: int | None, ascii_only: bool) -> None:
    """The bytes at a path are the JSON of the value at that path, whatever stands around it."""
    body = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    expected = places(value)
    found = spans(body, [path for path, _ in expected])
    assert len(expected) == len(found)
    for path, item in expected:
        assert item == json.loads(body[slice(*found[path])])


def test_a_path_that_leads_nowhere_is_absent() -> None:
    """Asking for what is not there is no error here; who asked decides."""
    assert spans(b'{"a":1}', [("a",), ("b",), ("a", "b"), ("a", 0), ("b", KEY)]) == {("a",): (5, 6)}


@pytest.mark.parametrize("item", [b"0", b"[]", b"{}", b'""', b'"\\\\"', b'{"a":1}', b'["\\"",1]'])
def test_a_body_of_countless_values_is_refused_unread(item: bytes) -> None:
    """They would take seconds, in which no other stream moves; few values are read, however long they are."""
    with pytest.raises(MalformedBody) as caught:
        loads(b"[" + item + (b"," + item) * MAX_VALUES + b"]", max_values=MAX_VALUES)
    assert "values" == caught.value.reason

    few = b"[" + item + (b"," + item) * (MAX_VALUES // 8) + b"]"
    assert json.loads(few) == loads(few, max_values=MAX_VALUES)


def test_an_answer_has_a_bound_too() -> None:
    """Vectors are long, and none is as long as this."""
    with pytest.raises(MalformedBody) as caught:
        loads(b"[" + b"0," * MOST_VALUES + b"0]")
    assert "values" == caught.value.reason
    vectors = b"[" + b"0.125," * (MOST_VALUES // 8) + b"0]"
    assert MOST_VALUES // 8 + 1 == len(loads(vectors))


@pytest.mark.parametrize("text", ["a, b: [c] {d}", 'say \\"x\\", ', "\\\\, ", '\\\\\\", ['])
def test_what_a_text_says_is_no_value(text: str) -> None:
    """Commas, brackets and quotes in a text are its own."""
    body = b'["' + text.encode() * (2 * MAX_VALUES) + b'"]'
    assert json.loads(body) == loads(body, max_values=MAX_VALUES)


def test_a_body_is_an_object() -> None:
    """Anything else is malformed; too many values are."""
    assert read_object(b'{"a":1}') == {"a": 1}
    with pytest.raises(MalformedBody, match="shape"):
        read_object(b"[]")
    with pytest.raises(MalformedBody, match="values"):
        read_object(b'{"a":[1,2,3,4]}', 2)

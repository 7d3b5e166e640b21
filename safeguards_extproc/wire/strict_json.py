"""JSON that only one reading is possible of: everything two parsers could read differently is a MalformedBody.

The scanning is the standard library's C scanner; this module adds what RFC 8259 leaves open (duplicate names, lone
surrogates, numbers out of range, depth) and where values stand in the bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from itertools import chain
from typing import Any

from safeguards_extproc.core.text import Path
from safeguards_extproc.errors import MalformedBody

MAX_DEPTH = 100
"""Containers within containers. Far below the interpreter's own limit, so that the limit is ours and is stable."""

MAX_VALUES = 1 << 17
"""Values and names in a request. A byte of text costs nothing to read, a value half a microsecond to several; a context
of a million tokens has fewer."""

MOST_VALUES = 1 << 20
"""Values and names in any other JSON: an answer may hold vectors, or repeat each token."""

KEY = -1
"""The last step of a path that means an object member's name, not its value: ("metadata", "colour", KEY)."""

BOM = b"\xef\xbb\xbf"
_DIGITS = 308  # an integer of so many digits is always within a double's range (1.8e308)


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedBody("duplicate-key")
    return members


def _float(text: str) -> float:
    number = float(text)
    if number - number != 0:
        raise MalformedBody("number")
    return number


def _int(text: str) -> int:
    if len(text) > _DIGITS:
        _float(text)
    return int(text)


def _constant(_: str) -> object:
    raise MalformedBody("number")


# A short body cannot hold a number that is too long: it is spared a Python call for each integer.
_short: Any = json.JSONDecoder(object_pairs_hook=_pairs, parse_float=_float, parse_constant=_constant)
_long: Any = json.JSONDecoder(object_pairs_hook=_pairs, parse_float=_float, parse_int=_int, parse_constant=_constant)
_numeric: Any = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant)
_vague: Any = json.JSONDecoder(object_pairs_hook=_pairs, parse_float=len, parse_constant=_constant)
_lenient: Any = json.JSONDecoder()
_scan_short, _scan_long = _short.scan_once, _long.scan_once
_scan_numeric, _scan_vague = _numeric.scan_once, _vague.scan_once
_scan_over, scan_string = _lenient.scan_once, _lenient.parse_string
_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False).encode
_surrogate = re.compile(rb"\\u[dD]").search
_space = re.compile(r"[ \t\n\r]*").match
_shape_of_numbers = bytes.maketrans(b"123456789E", b"000000000e")
_HOLDERS = frozenset((dict, list))
_SAMPLE, _SELDOM = 4096, 32  # bytes that show what a body is made of, and how many for each comma are few commas


def loads(body: bytes, *, max_depth: int = MAX_DEPTH, max_values: int = 0, exact: bool = True) -> Any:
    """The value of `body`, which is one JSON text in UTF-8 without BOM; only MalformedBody is raised.

    Offsets of errors are bytes, where the scanner tells one. `max_values` 0 is MOST_VALUES.
    Without `exact` any number may stand for a fraction: for those who want to know only that it is one.
    """
    if body.startswith(BOM):
        raise MalformedBody("encoding", offset=0)
    most = max_values or MOST_VALUES
    if len(body) > 2 * most and _more_than(most, body):
        raise MalformedBody("values")
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise MalformedBody("encoding", offset=error.start) from None
    start = 0 if text[:1] in ("{", "[") else _end(_space(text, 0))
    try:
        value, end = _scanner(body, exact)(text, start)
    except StopIteration as stop:
        raise MalformedBody("syntax", offset=_bytes(text, stop.value)) from None
    except json.JSONDecodeError as error:
        raise MalformedBody("syntax", offset=_bytes(text, error.pos)) from None
    except RecursionError:
        raise MalformedBody("depth") from None
    except ValueError:  # an integer of more digits than the interpreter converts
        raise MalformedBody("number") from None
    if end != len(text):
        end = _end(_space(text, end))
        if end != len(text):
            raise MalformedBody("trailing-data", offset=_bytes(text, end))
    # A walk through few values costs less than to count brackets in a long text.
    if (len(body) > _SAMPLE and _few_commas(body)) or body.count(b"{") + body.count(b"[") > max_depth:
        _check_depth(value, max_depth)
    if b"\\" in body and _surrogate(body):
        _check_surrogates(value)
    return value


def read_object(body: bytes, max_values: int = 0, *, exact: bool = True) -> dict[str, Any]:
    """The JSON object that a body is, as `loads` reads it; MalformedBody("shape") if it is another value."""
    value = loads(body, max_values=max_values, exact=exact)
    if not isinstance(value, dict):
        raise MalformedBody("shape")
    return value


def _scanner(body: bytes, exact: bool) -> Any:
    """The cheapest scanner that sees every number which is out of range."""
    if len(body) <= _DIGITS:
        return _scan_short
    # Many commas are many numbers, as in a vector: worth a look at their shapes. Without an exponent of three digits
    # and a run of 200 there is none that the C scanner takes for infinite. (Searching backwards looks for the "e".)
    if _few_commas(body):
        return _scan_long
    plain = body.translate(_shape_of_numbers, b"+")
    if plain.rfind(b"e000") >= 0 or b"0" * 200 in plain:
        return _scan_long
    return _scan_numeric if exact else _scan_vague


def _few_commas(body: bytes) -> bool:
    middle = len(body) // 2
    return body.count(b",", middle, middle + _SAMPLE) * _SELDOM < min(len(body) - middle, _SAMPLE)


def spans(body: bytes, paths: Iterable[Path]) -> dict[Path, tuple[int, int]]:
    """Where the value at each path stands: bytes [start, end), quotes included. Paths that lead nowhere are absent.

    A path that ends in KEY gives the place of the member's name. `body` must be a JSON text that `loads` accepts.
    """
    tree: dict[str | int, Any] = {}
    for path in paths:
        node = tree
        for step in path:
            node = node.setdefault(step, {})
        node[_HERE] = path
    text = body.decode()
    found: dict[Path, tuple[int, int]] = {}
    try:
        _walk(text, _end(_space(text, 0)), tree, found)
    except (StopIteration, ValueError, IndexError, RecursionError):
        raise MalformedBody("syntax") from None
    return found if len(text) == len(body) else _in_bytes(text, found)


_HERE = -9
"""In the tree of wanted steps: the path that ends at this node."""


def _walk(text: str, at: int, wanted: dict[str | int, Any], found: dict[Path, tuple[int, int]]) -> int:
    """Visit the value at `at`; returns where it ends. What no path leads into is skipped by the C scanner."""
    opener, inner = text[at], len(wanted) > (_HERE in wanted)
    if inner and opener == "{":
        end = _walk_object(text, at + 1, wanted, found)
    elif inner and opener == "[":
        end = _walk_array(text, at + 1, wanted, found)
    else:
        end = _scan_over(text, at)[1]
    if _HERE in wanted:
        found[wanted[_HERE]] = (at, end)
    return end


def _walk_object(text: str, at: int, wanted: dict[str | int, Any], found: dict[Path, tuple[int, int]]) -> int:
    at = _end(_space(text, at))
    while text[at] != "}":
        if text[at] == ",":
            at = _end(_space(text, at + 1))
        begin = at
        key, at = scan_string(text, at + 1, True)
        node = wanted.get(key)
        if node is not None and KEY in node:
            found[node[KEY][_HERE]] = (begin, at)
        at = _end(_space(text, _end(_space(text, at)) + 1))
        at = _scan_over(text, at)[1] if node is None else _walk(text, at, node, found)
        at = _end(_space(text, at))
    return at + 1


def _walk_array(text: str, at: int, wanted: dict[str | int, Any], found: dict[Path, tuple[int, int]]) -> int:
    at, index = _end(_space(text, at)), 0
    while text[at] != "]":
        if text[at] == ",":
            at = _end(_space(text, at + 1))
        node = wanted.get(index)
        at = _scan_over(text, at)[1] if node is None else _walk(text, at, node, found)
        at, index = _end(_space(text, at)), index + 1
    return at + 1


def _end(match: re.Match[str] | None) -> int:
    assert match is not None  # every pattern here matches the empty string
    return match.end()


def _bytes(text: str, position: int) -> int:
    return len(text[:position].encode())


def _in_bytes(text: str, found: dict[Path, tuple[int, int]]) -> dict[Path, tuple[int, int]]:
    offsets, seen, total = {}, 0, 0
    for position in sorted({position for span in found.values() for position in span}):
        total += len(text[seen:position].encode())
        offsets[position] = total
        seen = position
    return {path: (offsets[start], offsets[end]) for path, (start, end) in found.items()}


def _more_than(values: int, body: bytes) -> bool:
    """Whether a JSON text has more values and names than so many; a few passes over its bytes, none in Python."""
    if body.count(b'"') <= 2 * values and sum(map(body.count, (b",", b":", b"[", b"{"))) <= values:
        return False  # not even with what stands within strings
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")  # every quote that is left begins or ends a string
    if plain.count(b'"') > 2 * values:
        return True
    outside = b"".join(plain.split(b'"')[::2])
    return sum(map(outside.count, (b",", b":", b"[", b"{"))) > values


def _check_depth(value: object, most: int) -> None:
    items, depth = [value], 0
    while True:
        objects = [item for item in items if type(item) is dict]
        arrays = [item for item in items if type(item) is list]
        if not objects and not arrays:
            return
        depth += 1
        if depth > most:
            raise MalformedBody("depth")
        holding = (array for array in arrays if not _HOLDERS.isdisjoint(map(type, array)))
        items = [*chain.from_iterable(map(dict.values, objects)), *chain.from_iterable(holding)]


def _check_surrogates(value: object) -> None:
    try:
        _encode(value).encode()
    except UnicodeEncodeError:
        raise MalformedBody("surrogate") from None

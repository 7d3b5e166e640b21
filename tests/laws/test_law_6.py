"""Law 6 over the real formats: what was judged is what goes on.

Valid requests are changed in the ways in which parsers differ. Where the filter lets a body go on as it came, parsers
that are not ours must agree on it, and every string of it that may not go unread must have been before the model.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from safeguards_extproc.wire import leaves as leaves_module
from safeguards_extproc.wire import strict_json
from tests.faults.leaves import leaves
from tests.faults.mutations import PATHS, Case, golden, readable
from tests.faults.witness import STRICT, Witness
from tests.laws.test_laws import often
from tests.playbook import REQUEST, chunks, request_headers

pytestmark = pytest.mark.long

quick = settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.generate, Phase.shrink],
    report_multiple_bugs=False,
)

Change = Callable[[bytes, int], bytes]


def escaped(name: bytes) -> bytes:
    """A member's name with its first letter escaped."""
    return b'"\\u%04x%s' % (name[1], name[2:])


def at_member(body: bytes, at: int) -> tuple[int, bytes]:
    """Where one of the body's members begins, and its name with quotes."""
    found = []
    start = body.find(b'": ')
    while start >= 0:
        begin = body.rfind(b'"', 0, start)
        found.append((begin, body[begin : start + 1]))
        start = body.find(b'": ', start + 1)
    return found[at % len(found)]


def twice(value: bytes, *, hide: bool) -> Change:
    """Put a member before one of the same name, perhaps in other letters."""

    def change(body: bytes, at: int) -> bytes:
        begin, name = at_member(body, at)
        return body[:begin] + (escaped(name) if hide else name) + b": " + value + b", " + body[begin:]

    return change


def member(value: bytes) -> Change:
    """A member of another name."""

    def change(body: bytes, at: int) -> bytes:
        begin, _ = at_member(body, at)
        return body[:begin] + b'"note%d": ' % (at % 1000) + value + b", " + body[begin:]

    return change


def around(before: bytes, after: bytes = b"") -> Change:
    return lambda body, at: before + body + after


def inside(what: bytes) -> Change:
    """Put bytes anywhere."""
    return lambda body, at: body[: at % (len(body) + 1)] + what + body[at % (len(body) + 1) :]


def unescape(body: bytes, at: int) -> bytes:
    """Write one letter of a member's name as an escape: the same body."""
    begin, name = at_member(body, at)
    return body[:begin] + escaped(name) + body[begin + len(name) :]


CHANGES: dict[str, Change] = {
    "a name twice": twice(b'"hidden words"', hide=False),
    "a name twice, escaped": twice(b'"hidden words"', hide=True),
    "a list twice, escaped": twice(b'[{"role": "user", "content": "hidden words"}]', hide=True),
    "an escaped name": unescape,
    "NaN": member(b"NaN"),
    "Infinity": member(b"-Infinity"),
    "1e999": member(b"1e999"),
    "a huge number": member(b"9" * 400),
    "a long number": member(b"9" * 300),
    "a fraction": member(b"0.1e-7"),
    "a lone surrogate": member(b'"\\ud83d words"'),
    "a pair": member(b'"\\ud83d\\ude00 other words"'),
    "a lone surrogate as a name": member(b'{"\\ude00 words": 1}'),
    "another text": member(b'"other words"'),
    "a text in a list": member(b'[["other words"], {"deep": {"deeper": "more words"}}]'),
    "an odd name": member(b'{"odd words in a name": true}'),
    "a known name elsewhere": member(b'{"model": "some words in it", "type": "plain"}'),
    "a BOM": around(b"\xef\xbb\xbf"),
    "data after the end": around(b"", b' {"messages": "hidden words"}'),
    "space around it": around(b" \r\n\t", b"\n\n"),
    "a null after the end": around(b"", b"\x00"),
    "a comment": inside(b"/* hidden words */"),
    "a line comment": inside(b"// hidden words\n"),
    "bad UTF-8": inside(b"\xff"),
    "an overlong letter": inside(b"\xc0\xa2"),
    "a surrogate in UTF-8": inside(b"\xed\xa0\x80"),
    "a control character": inside(b"\x01"),
    "a space": inside(b" "),
    "a comma": inside(b","),
    "UTF-16": lambda body, at: body.decode("utf-8", "replace").encode("utf-16"),
}


def first(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object as readers see it for whom the first of two members counts."""
    return dict(reversed(pairs))


def read(reader: Callable[[], object]) -> object:
    """What a reader makes of a body."""
    try:
        return reader()
    except ValueError as error:
        raise AssertionError("a reader refuses what has gone on") from error


def same(one: object, other: object) -> bool:
    """Whether two readings have one meaning: numbers by value, 1 is not true."""
    match one, other:
        case (dict(), dict()):
            return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
        case (list(), list()):
            return len(one) == len(other) and all(map(same, one, other))
        case (bool(), bool()) | (str(), str()) | (None, None):
            return one == other
        case (int() | float(), int() | float()) if not (isinstance(one, bool) or isinstance(other, bool)):
            near = max(abs(one), abs(other)) < 1e308 and math.isclose(one, other, rel_tol=1e-15)
            return near or one == other
    return False


def passes(dialect: str, body: bytes, size: int) -> Witness | None:
    """The witness of a body that went on as it came, None if it was refused. The witness checks every string."""
    told = Witness(STRICT, Case(dialect, body))
    head = request_headers(PATHS[dialect])
    head.fields[":authority"] = "held.test"
    told.feed(head)
    told.send(REQUEST, chunks(body, size))
    while told.out:
        told.answered(told.out[0], "", 0.0)
    if told.refused:
        return None
    assert body == told.upstream_saw()
    return told


def law_6(changes: dict[str, Change]) -> None:
    @quick
    @given(
        st.sampled_from(sorted(PATHS)),
        st.integers(0, 2),
        st.lists(st.tuples(st.sampled_from(sorted(changes)), st.integers(0, 1 << 16)), max_size=3),
        st.sampled_from([0, 1, 100]),
    )
    def law(dialect: str, which: int, wanted: list[tuple[str, int]], size: int) -> None:
        requests = golden(dialect)
        body = json.dumps(readable(json.loads(requests[which % len(requests)][0]))).encode()
        for name, at in wanted:
            with contextlib.suppress(IndexError, ZeroDivisionError):  # nothing is left to change
                body = changes[name](body, at)
        told = passes(dialect, body, size)
        event("passed" if told else "refused")
        if told is None:
            return
        one, other = read(lambda: json.loads(body, object_pairs_hook=first)), read(lambda: msgspec.json.decode(body))
        assert same(one, other), "two readers, two meanings"
        told.judge(REQUEST, leaves(one))

    law()


def test_law_6_what_was_judged_is_what_goes_on() -> None:
    """Whatever goes on as it came has one meaning, and none of it is unread."""
    law_6(CHANGES)


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_each_change_alone_is_refused_or_read(name: str) -> None:
    """Those that make a body ambiguous are refused in both dialects; those that do not are read."""
    harmless = {"an escaped name", "a long number", "a fraction", "a pair", "another text", "a text in a list"}
    harmless |= {"an odd name", "a known name elsewhere", "space around it"}
    inside_text = {"a space", "a comma", "a comment", "a line comment"}
    for dialect in PATHS:
        for at in range(0, 400, 7):
            body = json.dumps(readable(json.loads(golden(dialect)[1][0]))).encode()
            changed = CHANGES[name](body, at)
            if name not in inside_text:
                assert (name in harmless) is (passes(dialect, changed, 0) is not None)


def must_bite(fault: contextlib.AbstractContextManager[object]) -> None:
    with fault, pytest.raises(AssertionError):
        often(lambda: law_6(CHANGES))


@pytest.mark.interpreted
def test_law_6_catches_a_reader_that_accepts_a_name_twice() -> None:
    """Planted fault: of two members the last one counts, as for most readers."""
    careless = json.JSONDecoder(parse_float=strict_json._float, parse_constant=strict_json._constant)
    scan_once = careless.scan_once  # type: ignore[attr-defined]
    with patch.object(strict_json, "_scan_short", scan_once):
        must_bite(patch.object(strict_json, "_scan_long", scan_once))


@pytest.mark.interpreted
def test_law_6_catches_a_reader_that_leaves_out_what_it_does_not_know() -> None:
    """Planted fault: members that no table names are not read."""
    must_bite(patch.object(leaves_module.Leaves, "rest", lambda *_: None))


@pytest.mark.interpreted
def test_law_6_catches_a_reader_that_stops_at_the_first_value() -> None:
    """Planted fault: what follows the first value is not looked at."""
    loads = strict_json.loads

    def lax(body: bytes, **bounds: Any) -> object:
        text = body.decode("utf-8", "strict").lstrip()
        with contextlib.suppress(json.JSONDecodeError):
            text = text[: json.JSONDecoder().raw_decode(text)[1]]
        return loads(text.encode(), **bounds)

    with patch.object(strict_json, "loads", lax), pytest.raises(AssertionError):
        law_6({name: CHANGES[name] for name in ("data after the end", "a space")})

"""A pattern spares reading and never changes what is read: streams with it and without it say the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.core.text import Reading
from safeguards_extproc.wire import alike, sse, strict_json
from safeguards_extproc.wire.alike import LESSONS, Alike
from safeguards_extproc.wire.openai_stream import ChatStream

PATHS = (("choices", 0, "delta", "content"), ("obfuscation",))


def frame(text: str, index: int = 0, finish: str | None = None, *, ascii_: bool = True, **more: Any) -> bytes:
    choice = {"index": index, "delta": {"content": text}, "finish_reason": finish}
    body = {"id": "chatcmpl-7", "created": 5, "choices": [choice], **more}
    return b"data: " + json.dumps(body, ensure_ascii=ascii_).encode("utf-8", "surrogatepass") + b"\n\n"


def read(frames: list[bytes]) -> list[Reading]:
    reader = ChatStream()
    return [reader.read(each) for each in frames]


def plainly(frames: list[bytes]) -> list[Reading]:
    """What is read of frames where no pattern is ever learned."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alike, "LESSONS", 0)
        return read(frames)


FRAMES = st.builds(
    frame,
    st.text(st.sampled_from('aé\U0001f600"\\\n\u2028\x7f\ud83d{},:'), max_size=6),
    st.sampled_from([0, 0, 0, 0, 1]),
    st.sampled_from([None, None, None, "stop"]),
    ascii_=st.booleans(),
)
PADDED = st.builds(frame, st.text(max_size=4), obfuscation=st.sampled_from(["", "x", "q7", '"}', "\ud83d"]))
USED = st.builds(frame, st.just("x"), usage=st.sampled_from([None, {"completion_tokens": 3}]))
HARM = st.sampled_from(
    [
        b"",
        b"",
        b'"',
        b"\\",
        b"\x00",
        b"\n",
        b"\r",
        b"\xff",
        b"\\ud800",
        b"\\u12",
        b'","x":"',
        b'"},"finish_reason":"stop"',
    ]
)


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """Chunks as servers write them, of which some were cut, damaged or forged anywhere."""
    found = []
    for whole in draw(st.lists(st.one_of(FRAMES, FRAMES, PADDED, USED), min_size=2, max_size=12)):
        at = draw(st.integers(0, len(whole) - 2))
        found.append(whole[:at] + draw(HARM) + whole[at + draw(st.sampled_from([0, 0, 0, 1])) :])
    return [*sse.Framer().push(b"".join(found)), *found, b"data: [DONE]\n\n"]


@pytest.mark.long
@settings(max_examples=200, deadline=None)
@given(streams())
def test_a_pattern_changes_nothing_that_is_read(frames: list[bytes]) -> None:
    """Segments, channels that close, what cannot be read and why, however the chunks are damaged."""
    assert plainly(frames) == read(frames)


def test_the_comparison_bites(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pattern in whose place anything may stand lets a control character through, which is no JSON."""
    frames = [frame("a"), frame("b"), frame("c").replace(b'c"}', b'c\x01"}')]
    assert plainly(frames) == read(frames)
    scan: Any = strict_json.scan_string
    monkeypatch.setattr(alike, "scan_string", lambda text, at, strict: scan(text, at, False))
    assert plainly(frames) != read(frames)


def known(of: bytes) -> Alike:
    found = Alike()
    found.learn(of, sse.fields(of)[1], PATHS, 0)
    return found


@pytest.mark.parametrize("text", ["b", "", 'said "no"\n', "é", "a" * 5000])
def test_what_is_alike_is_not_read_again(text: str) -> None:
    """Whatever the text, with escapes and without, and whatever padding a server adds."""
    assert text == known(frame("a")).text(frame(text))
    assert text == known(frame("a", obfuscation="x")).text(frame(text, obfuscation="pQ4"))


@pytest.mark.parametrize(
    "other",
    [
        frame("b", 1),
        frame("b", finish="stop"),
        frame("b", usage={"total_tokens": 1}),
        frame("b", obfuscation="x"),
        frame("\ud83d"),
        frame("b")[:-2],
        frame("b").replace(b"b", b"\xff"),
        b": " + frame("b"),
    ],
)
def test_what_differs_elsewhere_is_read(other: bytes) -> None:
    """Another choice, an end, a count, half a character."""
    assert known(frame("a")).text(other) is None


def test_a_stream_without_a_pattern_is_not_asked_for_one_for_ever() -> None:
    """Each chunk of which is unlike the last: a few are tried."""
    found = Alike()
    for number in range(LESSONS + 1):
        of = frame("a", created=number)
        found.learn(of, sse.fields(of)[1], PATHS, number)
    assert LESSONS - 1 == found.of

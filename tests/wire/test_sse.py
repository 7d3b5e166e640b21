"""Event streams are cut into the same frames however they arrive."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire.sse import ALONE, TOGETHER, Framer, event, fields, with_data

LINES = [
    "data: x",
    "data:y",
    "data",
    "data:",
    ": ping",
    "event: e",
    "id: 7",
    "retry: 1",
    "other: z",
    "\ufeffdata: b",
    "",
]


def framed(chunks: list[bytes]) -> list[bytes]:
    framer = Framer()
    found = [frame for chunk in chunks for frame in framer.push(chunk)]
    held = framer.held
    rest = framer.finish()
    assert held == len(rest)
    return [*found, rest]


@settings(max_examples=150, deadline=None)
@given(
    lines=st.lists(st.tuples(st.sampled_from(LINES), st.sampled_from(["\n", "\r", "\r\n"])), max_size=14),
    cuts=st.lists(st.integers(0, 120), max_size=12),
    bom=st.booleans(),
)
def test_frames_do_not_depend_on_chunks(lines: list[tuple[str, str]], cuts: list[int], bom: bool) -> None:
    """Law 1, evasions 29 and 30: any mix of line ends, blank lines, comments and cuts, inside a CRLF as well."""
    stream = (b"\xef\xbb\xbf" if bom else b"") + "".join(line + end for line, end in lines).encode()
    borders = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    chunks = [stream[start:end] for start, end in itertools.pairwise(borders)]
    whole = framed([stream])
    assert stream == b"".join(whole)
    assert whole == framed(chunks)
    assert whole == framed([stream[at : at + 1] for at in range(len(stream))])


@pytest.mark.interpreted
def test_the_law_bites() -> None:
    """A framer that takes a CR at a chunk's end for a line of its own gives other frames."""

    class Hasty(Framer):
        def push(self, data: bytes) -> list[bytes]:
            found = super().push(data)
            if self._buffer.endswith(b"\r\n\r"):
                found.append(self.finish())
            return found

    stream = b"data: x\r\n\r\ndata: y\r\n\r\n"
    hasty, whole = Hasty(), framed([stream])
    assert whole != [*hasty.push(stream[:10]), *hasty.push(stream[10:]), hasty.finish()]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_an_event_ends_at_its_blank_line(end: bytes) -> None:
    """Each line end of the standard cuts alike; only a final CR waits, as it may be half of a CRLF."""
    first, second = b"data: 1" + end + end, b"event: e" + end + b"data: 2" + end + end
    assert [first, second, b"rest"] == framed([first + second + b"rest"])
    framer = Framer()
    assert ([first] if end != b"\r" else []) == framer.push(first)


def test_blank_lines_and_comments_are_frames_of_their_own() -> None:
    """No byte of the stream is lost, also where it says nothing."""
    assert framed([b"\n: ping\n\n\ndata: x\n\n"]) == [b"\n", b": ping\n\n", b"\n", b"data: x\n\n", b""]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("size", [1, 1000, 1 << 20])
def test_a_long_run_of_blank_lines_is_few_frames(end: bytes, size: int) -> None:
    """A few are forwarded as they come, for they keep a connection; a flood is few frames, however it is cut."""
    stream = b"data: x" + end * 12_000 + b"data: y" + end + end + b"rest"
    frames = framed([stream[at : at + size] for at in range(0, len(stream), size)])
    assert stream == b"".join(frames)
    assert framed([stream]) == frames
    assert [end] * ALONE == frames[1 : ALONE + 1]
    assert ALONE + 3 + len(end) * 12_000 // TOGETHER >= len(frames) - 1
    assert [b"data: y" + end + end, b"rest"] == frames[-2:]


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (b"data: x\n\n", ("", b"x")),
        (b"data:x\n\n", ("", b"x")),
        (b"data:  x\n\n", ("", b" x")),
        (b"data: a\ndata: b\n\n", ("", b"a\nb")),
        (b"data: a\rdata:b\r\n\r\n", ("", b"a\nb")),
        (b"data: a\rb\n\n", ("", b"a")),
        (b"\xef\xbb\xbfdata: x\n\n", ("", b"x")),
        (b"event: e\nid: 1\n: note\ndata: x\n\n", ("e", b"x")),
        (b"event:\xff\ndata\n\n", ("\ufffd", b"")),
        (b"Data: x\n data: y\n\n", ("", b"")),
        (b": ping\n\n", ("", b"")),
        (b"data: cut", ("", b"cut")),
        (b"", ("", b"")),
    ],
)
def test_fields_are_read_as_the_standard_says(frame: bytes, expected: tuple[str, bytes]) -> None:
    """WHATWG HTML 9.2.6, line by line; a name is exact, one space after the colon is not data."""
    assert expected == fields(frame)


@pytest.mark.parametrize(
    ("frame", "data", "expected"),
    [
        (b"event: e\r\ndata:x\r\n: note\r\n\r\n", b"y", b"event: e\r\ndata:y\r\n: note\r\n\r\n"),
        (b"\xef\xbb\xbfdata: x\n\n", b"y", b"\xef\xbb\xbfdata: y\n\n"),
        (b"data: {\nid: 1\ndata: }\n\n", b"[\n]", b"data: [\nid: 1\ndata: ]\n\n"),
        (b"data: cut", b"y", b"data: y"),
        (b"data: x\n\n", b"y", b"data: y\n\n"),
        (b"data: x\r\r\n\n", b"y", b"data: y\r\r\n\n"),
    ],
)
def test_new_data_goes_where_the_old_stood(frame: bytes, data: bytes, expected: bytes) -> None:
    """Names, spaces, comments and line ends around the data stay byte for byte."""
    assert expected == with_data(frame, data)


@pytest.mark.parametrize("data", [b"a\nb", b"a\nb\nc\nd"])
def test_data_of_another_number_of_lines_is_refused(data: bytes) -> None:
    """It could not be put back where it stood."""
    with pytest.raises(MalformedBody, match="shape"):
        with_data(b"data: a\ndata: b\ndata: c\n\n", data)


def test_our_own_events_read_back() -> None:
    """What we write is what we read."""
    assert fields(event("ping", b"{}")) == ("ping", b"{}")
    assert event("", b"x") == b"data: x\n\n"


@pytest.mark.parametrize("first", [b"", b"\r\n"])
def test_a_long_event_in_single_bytes_takes_linear_time(first: bytes) -> None:
    """A long event in one-byte chunks: four times the bytes take about four times the CPU, not sixteen."""

    def seconds(size: int) -> float:
        framer, data = Framer(), b"x"
        framer.push(first + b"data: ")
        begun = time.process_time()
        for _ in range(size):
            framer.push(data)
        return time.process_time() - begun

    small, large = min(seconds(20_000) for _ in range(3)), min(seconds(80_000) for _ in range(2))
    assert large < 10 * small

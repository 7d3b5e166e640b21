"""Binary event streams: botocore reads what we write, we read what it reads, and nothing that it would not."""

from __future__ import annotations

import itertools
import time
from typing import Any
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer, ParserError  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire.eventstream import (
    MAX_HEADERS,
    MAX_PAYLOAD,
    Framer,
    Header,
    Message,
    Type,
    event,
    exception,
    parse,
    with_payload,
    write,
)


def integers(size: int) -> st.SearchStrategy[int]:
    return st.integers(-(1 << (8 * size - 1)), (1 << (8 * size - 1)) - 1)


VALUES: dict[Type, st.SearchStrategy[Any]] = {
    Type.TRUE: st.just(True),
    Type.FALSE: st.just(False),
    Type.BYTE: integers(1),
    Type.SHORT: integers(2),
    Type.INTEGER: integers(4),
    Type.LONG: integers(8),
    Type.BYTES: st.binary(max_size=300),
    Type.STRING: st.text(max_size=100),
    Type.TIMESTAMP: integers(8),
    Type.UUID: st.binary(min_size=16, max_size=16),
}
HEADERS = st.dictionaries(
    st.text(min_size=1, max_size=40),
    st.sampled_from(Type).flatmap(lambda kind: st.tuples(st.just(kind), VALUES[kind])),
    max_size=6,
)
MESSAGES = st.lists(st.tuples(HEADERS, st.binary(max_size=200)), max_size=5)


def framed(chunks: list[bytes]) -> list[bytes]:
    framer = Framer()
    found = [frame for chunk in chunks for frame in framer.push(chunk)]
    held = framer.held
    rest = framer.finish()
    assert held == len(rest)
    return [*found, rest]


def single_bytes(stream: bytes) -> list[bytes]:
    return [stream[at : at + 1] for at in range(len(stream))]


def as_botocore_reads(stream: bytes) -> list[tuple[dict[str, Any], bytes]]:
    buffer = EventStreamBuffer()
    buffer.add_data(stream)
    return [(message.headers, message.payload) for message in buffer]


@pytest.mark.long
@settings(max_examples=80, deadline=None)
@given(messages=MESSAGES)
def test_botocore_and_we_read_the_same_of_what_we_write(messages: list[tuple[dict[str, Header], bytes]]) -> None:
    """Headers of every type and any payload, in both directions: our bytes through its parser, and through ours."""
    frames = [write(headers, payload) for headers, payload in messages]
    expected = [({name: value for name, (_, value) in headers.items()}, payload) for headers, payload in messages]
    assert expected == as_botocore_reads(b"".join(frames))
    assert messages == [(parse(frame).headers, parse(frame).payload) for frame in frames]
    assert [list(headers) for headers, _ in messages] == [list(parse(frame).headers) for frame in frames]


@settings(max_examples=80, deadline=None)
@given(
    messages=MESSAGES,
    cuts=st.lists(st.integers(0, 900), max_size=12),
    flip=st.none() | st.tuples(st.integers(0, 900), st.integers(1, 255)),
    short=st.integers(0, 20),
)
def test_frames_do_not_depend_on_chunks(
    messages: list[tuple[dict[str, Header], bytes]], cuts: list[int], flip: tuple[int, int] | None, short: int
) -> None:
    """Law 1, also for a stream with a wrong byte anywhere, or that is cut short."""
    stream = b"".join(write(headers, payload) for headers, payload in messages)
    stream = stream[: len(stream) - short]
    if flip is not None and flip[0] < len(stream):
        stream = stream[: flip[0]] + bytes((stream[flip[0]] ^ flip[1],)) + stream[flip[0] + 1 :]
    borders = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    whole = framed([stream])
    assert stream == b"".join(whole)
    assert whole == framed([stream[start:end] for start, end in itertools.pairwise(borders)])
    assert whole == framed(single_bytes(stream))


def test_the_law_bites() -> None:
    """A framer that cuts at what has come gives other frames."""

    class Hasty(Framer):
        def push(self, data: bytes) -> list[bytes]:
            return [*super().push(data), self.finish()]

    stream = event("a", b"{}") + event("b", b"{}")
    hasty = Hasty()
    assert framed([stream])[:2] != [*hasty.push(stream[:20]), *hasty.push(stream[20:])]


@settings(max_examples=60, deadline=None)
@given(headers=HEADERS, payload=st.binary(max_size=60), at=st.integers(0, 400), change=st.integers(1, 255))
def test_no_changed_byte_goes_unseen(headers: dict[str, Header], payload: bytes, at: int, change: int) -> None:
    """Both sums are checked: any one byte changed, anywhere in a frame, and it is not read; nor does botocore."""
    frame = write(headers, payload)
    at %= len(frame)
    changed = frame[:at] + bytes((frame[at] ^ change,)) + frame[at + 1 :]
    with pytest.raises(MalformedBody, match="framing"):
        parse(changed)
    with pytest.raises(ParserError):
        as_botocore_reads(changed)


def sealed(headers: bytes, payload: bytes = b"", *, length: int | None = None, total: int | None = None) -> bytes:
    """A frame with right sums around headers that may be wrong."""
    size = 16 + len(headers) + len(payload) if total is None else total
    head = size.to_bytes(4) + (len(headers) if length is None else length).to_bytes(4)
    message = head + crc32(head).to_bytes(4) + headers + payload
    return message + crc32(message).to_bytes(4)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\0" * 12,
        b"\0" * 16,
        sealed(b"", b"x", total=16),
        sealed(b"", b"x", total=18),
        sealed(b"", b"", length=1),
        sealed(b"", b"", total=15),
        sealed(b"\0" * 9, length=MAX_HEADERS + 1, total=MAX_HEADERS + 40),
        sealed(b"", total=MAX_PAYLOAD + 17),
        sealed(b"\x00\x07\x00\x00"),
        sealed(b"\x01a"),
        sealed(b"\x09a\x07\x00\x00"),
        sealed(b"\x01a\x0a"),
        sealed(b"\x01a\x07\x00\x02x"),
        sealed(b"\x01a\x07\x00"),
        sealed(b"\x01a\x07\x00\x01\xff"),
        sealed(b"\x01\xff\x00"),
        sealed(b"\x01a\x04\x00\x00\x00"),
        sealed(b"\x01a\x09" + b"\0" * 15),
        sealed(b"\x01a\x00\x01a\x01"),
        event("e", b"{}") + b"x",
        event("e", b"{}")[:-1],
    ],
)
def test_what_is_not_exactly_a_frame_is_refused(frame: bytes) -> None:
    """Lengths that lie, headers cut short or named twice or not at all, unknown types, bytes that are not UTF-8."""
    with pytest.raises(MalformedBody, match="framing"):
        parse(frame)


def test_headers_at_their_bounds_are_read() -> None:
    """The planted frames above are refused for what they lie about alone."""
    assert parse(sealed(b"\x01a\x07\x00\x01x", b"y")).headers == {"a": (Type.STRING, "x")}
    assert parse(sealed(b"", b"")) == Message({}, b"")
    assert len(parse(write({"b": (Type.BYTES, b"x" * 65_535)}, b"")).headers) == 1


@pytest.mark.parametrize(
    ("headers", "payload"),
    [
        ({"": (Type.TRUE, True)}, b""),
        ({"é" * 128: (Type.TRUE, True)}, b""),
        ({"a": (Type.TRUE, False)}, b""),
        ({"a": (Type.STRING, b"x")}, b""),
        ({"a": (Type.STRING, "\ud800")}, b""),
        ({"a": (Type.STRING, "x" * 65_536)}, b""),
        ({"a": (Type.BYTES, b"x" * 65_536)}, b""),
        ({"a": (Type.BYTE, 128)}, b""),
        ({"a": (Type.UUID, b"x" * 15)}, b""),
        ({str(at): (Type.BYTES, b"x" * 65_535) for at in range(3)}, b""),
        ({}, bytes(MAX_PAYLOAD + 1)),
    ],
)
def test_what_no_frame_can_hold_is_not_written(headers: dict[str, Header], payload: bytes) -> None:
    """Names, values and payloads out of range."""
    with pytest.raises(MalformedBody, match="framing"):
        write(headers, payload)


def test_a_wrong_prelude_is_a_frame_that_cannot_be_read_and_holds_what_follows() -> None:
    """The reader is told at once, not when a length that lies has come in; nothing behind it passes for a frame."""
    good, bad = event("a", b"{}"), bytearray(event("b", b"{}"))
    bad[0] ^= 0x7F
    framer = Framer()
    assert [good, bytes(bad[:12])] == framer.push(good + bytes(bad) + good)
    assert [] == framer.push(good)
    assert framer.held == len(bad) - 12 + 2 * len(good)
    assert bytes(bad[12:]) + good + good == framer.finish()
    assert [good] == framer.push(good)


@settings(max_examples=40, deadline=None)
@given(headers=HEADERS, before=st.binary(max_size=60), after=st.binary(max_size=60))
def test_another_payload_leaves_the_headers_byte_for_byte(
    headers: dict[str, Header], before: bytes, after: bytes
) -> None:
    """Law 10: only the lengths, the payload and the sums are new."""
    frame = with_payload(write(headers, before), after)
    assert write(headers, after) == frame
    assert after == parse(frame).payload


def test_our_frames_read_back_as_aws_means_them() -> None:
    """Events and exceptions by name; a header of another type is no name, and what is not there is ""."""
    assert ("event", "messageStop") == (
        parse(event("messageStop", b"{}")).type,
        parse(event("messageStop", b"{}")).name,
    )
    failed = parse(exception("throttlingException", b"{}"))
    assert ("exception", "throttlingException", "application/json") == (
        failed.type,
        failed.name,
        failed.text(":content-type"),
    )
    error = parse(write({":message-type": (Type.STRING, "error"), ":error-code": (Type.STRING, "x")}, b""))
    assert ("error", "x") == (error.type, error.name)
    assert ("", "") == ((odd := parse(write({":event-type": (Type.BYTES, b"chunk")}, b""))).type, odd.name)


def test_a_message_shows_no_text() -> None:
    """Law 9."""
    assert "Message(3 headers, 6 bytes)" == repr(parse(event("e", b"secret")))


def test_a_long_frame_in_single_bytes_takes_linear_time() -> None:
    """A frame of many one-byte chunks: four times the bytes take about four times the CPU, not sixteen."""

    def seconds(size: int) -> float:
        framer, begun = Framer(), time.process_time()
        for chunk in single_bytes(event("e", bytes(size))):
            framer.push(chunk)
        return time.process_time() - begun

    small, large = min(seconds(20_000) for _ in range(3)), min(seconds(80_000) for _ in range(2))
    assert large < 10 * small

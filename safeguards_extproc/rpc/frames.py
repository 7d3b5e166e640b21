"""HTTP/2 frames as bytes: their kinds, flags, settings and error codes, and how each that a server sends is written.

Numbers are those of RFC 9113, sections 4 to 7, and of its appendix of error codes.
"""

from __future__ import annotations

import enum
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""The first bytes of every client."""

HEAD = struct.Struct(">HBBBL")
"""A frame's first 9 bytes: length (16 high bits, 8 low ones), kind, flags, stream."""

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)

END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20

MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = 0x3, 0x4, 0x5, 0x6

DEFAULT_WINDOW = 65_535
LARGEST_WINDOW = 2**31 - 1
SMALLEST_FRAME, LARGEST_FRAME = 16_384, 2**24 - 1
"""What MAX_FRAME_SIZE may be. Ours is the smallest, which is the default too."""

LAST_STREAM = 2**31 - 1
"""In a GOAWAY: nothing is refused yet."""


class ErrorCode(enum.IntEnum):
    """Why a stream or a connection ends."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    COMPRESSION_ERROR = 0x9
    ENHANCE_YOUR_CALM = 0xB


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Any frame; `payload` must fit into what the peer takes."""
    size = len(payload)
    return HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream) + payload


def settings(values: dict[int, int]) -> bytes:
    """Our settings, which the peer acknowledges."""
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HL", name, value) for name, value in values.items()))


SETTINGS_ACK = frame(SETTINGS, ACK, 0, b"")


def window_update(stream: int, increment: int) -> bytes:
    """More room for the peer's data, on a stream or (0) on the connection."""
    return frame(WINDOW_UPDATE, 0, stream, increment.to_bytes(4, "big"))


def rst_stream(stream: int, code: ErrorCode) -> bytes:
    """The end of a stream, at once and for both sides."""
    return frame(RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def ping(payload: bytes, *, ack: bool) -> bytes:
    """`payload` is 8 bytes."""
    return frame(PING, ACK if ack else 0, 0, payload)


def goaway(last: int, code: ErrorCode) -> bytes:
    """No stream after `last` is or will be looked at."""
    return frame(GOAWAY, 0, 0, struct.pack(">LL", last, code))

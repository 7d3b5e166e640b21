"""How a gRPC call begins and ends on the wire: its status codes and our header blocks.

The blocks are the same for every call but for the status's text, and refer to no table that either side would have to
keep (RFC 7541, 6.2.2: literals that are not indexed), so that no encoder is needed.
"""

from __future__ import annotations

import enum


class Status(enum.IntEnum):
    """gRPC's status codes, those that we say (https://grpc.github.io/grpc/core/md_doc_statuscodes.html)."""

    OK = 0
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14


def field(name: bytes, value: bytes) -> bytes:
    """A header field that is not indexed, without Huffman coding (RFC 7541, 5.2 and 6.2.2)."""
    return b"\x00" + _length(name) + name + _length(value) + value


def _length(value: bytes) -> bytes:
    """An integer with a prefix of 7 bits (RFC 7541, 5.1)."""
    size = len(value)
    if size < 0x7F:
        return bytes((size,))
    out, size = bytearray(b"\x7f"), size - 0x7F
    while size > 0x7F:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    out.append(size)
    return bytes(out)


_STATUS_200 = b"\x88"
"""`:status: 200` is entry 8 of the table that every connection begins with."""

BEGIN = _STATUS_200 + field(b"content-type", b"application/grpc") + field(b"grpc-accept-encoding", b"identity")
"""The headers of an answer."""

UNSUPPORTED_MEDIA_TYPE = field(b":status", b"415")
"""All of the answer to somebody who does not speak gRPC."""


def trailers(status: Status, text: str = "") -> bytes:
    """The last headers of an answer that has begun. `text` is for people, in any characters."""
    said = field(b"grpc-status", str(int(status)).encode())
    return said + field(b"grpc-message", _percent(text)) if text else said


def _percent(text: str) -> bytes:
    """As grpc-message wants it: printable ASCII but for the percent sign, all else by bytes."""
    return b"".join(
        bytes((byte,)) if 0x20 <= byte <= 0x7E and byte != 0x25 else b"%%%02X" % byte
        for byte in text.encode("utf-8", "replace")
    )

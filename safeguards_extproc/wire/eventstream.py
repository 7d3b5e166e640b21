"""`application/vnd.amazon.eventstream`: a frame is one message, whole and byte for byte, and says what its sums say.

    total length, headers length, CRC-32 of these two | headers | payload | CRC-32 of everything before

Lengths and sums are 4 bytes, big-endian. A header is a name (1 byte of length), a type (1 byte) and a value of that
type; :message-type is "event" (then :event-type names it), "exception" (:exception-type) or "error" (:error-code,
:error-message). What AWS sends is one JSON object per payload.

    Framer()                       cuts a stream into frames (a `core.text.Framer`)
    parse(frame)                   -> Message(headers, payload), with `.type`, `.name` and `.text(header)`
    with_payload(frame, payload)   the frame with another payload; its headers stay byte for byte
    event(name, payload)           a frame of ours; `exception(name, payload)` one that ends a stream with an error
    write(headers, payload)        a frame with headers of any type: {name: (Type, value)}

Reading raises MalformedBody("framing") alone, for everything that is not exactly as above. The framer cannot raise: a
prelude that is wrong leaves as a frame of 12 bytes, which no `parse` accepts, and what follows is held to the end, as
nobody can know where in it a frame begins.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from struct import Struct
from zlib import crc32

from safeguards_extproc.errors import MalformedBody

MEDIA = "application/vnd.amazon.eventstream"

MAX_HEADERS, MAX_PAYLOAD = 128 << 10, 24 << 20
"""Bytes; what the official SDKs accept."""

JSON = "application/json"

_PRELUDE, _SUM = Struct("!III"), Struct("!I")
_LENGTHS = Struct("!II")
_LEAST = _PRELUDE.size + _SUM.size
_REMEMBERED = 512  # bytes of headers: a stream's are the same from frame to frame
_NEVER = 1 << 62


class Type(enum.IntEnum):
    """Of a header's value: a bool, an int (a timestamp counts milliseconds), bytes or a str."""

    TRUE = 0
    FALSE = 1
    BYTE = 2
    SHORT = 3
    INTEGER = 4
    LONG = 5
    BYTES = 6
    STRING = 7
    TIMESTAMP = 8
    UUID = 9


Value = bool | int | bytes | str
Header = tuple[Type, Value]

_INTEGERS = {Type.BYTE: 1, Type.SHORT: 2, Type.INTEGER: 4, Type.LONG: 8, Type.TIMESTAMP: 8}
"""Bytes of each, signed."""

_LENGTH_BYTES, _UUID_BYTES = 2, 16


@dataclass(slots=True)
class Message:
    """What a frame holds."""

    headers: Mapping[str, Header]
    payload: bytes

    def __repr__(self) -> str:
        return f"Message({len(self.headers)} headers, {len(self.payload)} bytes)"

    def text(self, name: str) -> str:
        """The header's value if it is a string, else ""."""
        value = self.headers.get(name, (Type.STRING, ""))[1]
        return value if isinstance(value, str) else ""

    @property
    def type(self) -> str:
        """ "event", "exception" or "error"."""
        return self.text(":message-type")

    @property
    def failed(self) -> bool:
        """Whether it is no event: an SDK raises on it. Any other type, or none, SDKs take for an event."""
        return self.type in _NAMES

    @property
    def name(self) -> str:
        """Of the event, exception or error."""
        return self.text(_NAMES.get(self.type, ":event-type"))


_NAMES = {"exception": ":exception-type", "error": ":error-code"}


class Framer:
    """A `core.text.Framer`. Each byte is looked at a fixed number of times, however the stream is cut."""

    __slots__ = ("_buffer", "_need", "held")

    def __init__(self) -> None:
        self.held = 0
        self._buffer = bytearray()
        self._need = _PRELUDE.size  # bytes there must be before there is anything to do

    def push(self, data: bytes) -> list[bytes]:
        if not self._buffer:
            frames, rest = self._cut(data)
            if rest < len(data):
                self._buffer += data[rest:] if rest else data
        else:
            self._buffer += data
            frames, rest = self._cut(self._buffer)
            del self._buffer[:rest]
        self.held = len(self._buffer)
        return frames

    def finish(self) -> bytes:
        rest = bytes(self._buffer)
        self._buffer.clear()
        self.held, self._need = 0, _PRELUDE.size
        return rest

    def _cut(self, data: bytes | bytearray) -> tuple[list[bytes], int]:
        """The frames at the beginning of `data`, and where they end."""
        frames: list[bytes] = []
        at, length = 0, len(data)
        while length - at >= self._need:
            total = _total(data, at)
            if total and length - at < total:
                self._need = total
                break
            end = at + (total or _PRELUDE.size)
            frames.append(bytes(data[at:end]))
            at, self._need = end, _PRELUDE.size if total else _NEVER
        return frames, at


def parse(frame: bytes) -> Message:
    """One whole frame, both of its sums checked."""
    end = _headers_end(frame)
    block = frame[_PRELUDE.size : end]
    headers = _remembered(block) if len(block) <= _REMEMBERED else _headers(block)
    return Message(headers, frame[end : -_SUM.size])


def with_payload(frame: bytes, payload: bytes) -> bytes:
    """The frame with another payload, its lengths and sums anew. Raises as `parse` does, and for what is too long."""
    return _framed(frame[_PRELUDE.size : _headers_end(frame)], payload)


def write(headers: Mapping[str, Header], payload: bytes) -> bytes:
    """A frame with `headers` in their order.

    Raises MalformedBody("framing") where a name, a value, all headers or the payload is too long or out of range.
    """
    return _framed(b"".join(_written(name, *header) for name, header in headers.items()), payload)


def event(name: str, payload: bytes, content_type: str = JSON) -> bytes:
    """An event, with headers as AWS writes them."""
    return _named(":event-type", name, "event", payload, content_type)


def exception(name: str, payload: bytes) -> bytes:
    """An exception that the service model names for this stream: other names reach a client without their message."""
    return _named(":exception-type", name, "exception", payload, JSON)


def _named(header: str, name: str, type_: str, payload: bytes, content_type: str) -> bytes:
    headers = {header: name, ":content-type": content_type, ":message-type": type_}
    return write({key: (Type.STRING, value) for key, value in headers.items()}, payload)


def _total(data: bytes | bytearray, at: int) -> int:
    """How long the frame is whose prelude stands at `at`, 0 where no frame can begin so."""
    total, headers, checksum = _PRELUDE.unpack_from(data, at)
    payload = total - headers - _LEAST
    if headers > MAX_HEADERS or not 0 <= payload <= MAX_PAYLOAD or crc32(data[at : at + _LENGTHS.size]) != checksum:
        return 0
    return int(total)


def _headers_end(frame: bytes) -> int:
    """Where the headers of a whole frame end; its sums are right."""
    size = len(frame)
    if (
        size < _LEAST
        or _total(frame, 0) != size
        or crc32(memoryview(frame)[:-4]) != _SUM.unpack_from(frame, size - 4)[0]
    ):
        raise MalformedBody("framing")
    return _PRELUDE.size + int.from_bytes(frame[4:8])


def _framed(block: bytes, payload: bytes) -> bytes:
    if len(block) > MAX_HEADERS or len(payload) > MAX_PAYLOAD:
        raise MalformedBody("framing")
    lengths = _LENGTHS.pack(_LEAST + len(block) + len(payload), len(block))
    message = b"".join((lengths, _SUM.pack(crc32(lengths)), block, payload))
    return message + _SUM.pack(crc32(message))


def _headers(block: bytes) -> Mapping[str, Header]:
    headers: dict[str, Header] = {}
    at = 0
    try:
        while at < len(block):
            begin = at + 1
            at = begin + block[at]
            name = block[begin:at].decode()
            kind = Type(block[at])
            value, at = _READ[kind](block, at + 1)
            if not name or name in headers or at > len(block):
                raise MalformedBody("framing")
            headers[name] = kind, value
    except (IndexError, ValueError):  # cut short, an unknown type, or not UTF-8
        raise MalformedBody("framing") from None
    return headers


_remembered = lru_cache(maxsize=64)(_headers)

Read = Callable[[bytes, int], tuple[Value, int]]


def _integer(size: int) -> Read:
    return lambda block, at: (int.from_bytes(block[at : at + size], signed=True), at + size)


def _sized(block: bytes, at: int) -> tuple[bytes, int]:
    begin = at + _LENGTH_BYTES
    end = begin + int.from_bytes(block[at:begin])
    return block[begin:end], end


def _string(block: bytes, at: int) -> tuple[Value, int]:
    value, end = _sized(block, at)
    return value.decode(), end


_READ: dict[Type, Read] = {
    Type.TRUE: lambda _, at: (True, at),
    Type.FALSE: lambda _, at: (False, at),
    Type.BYTES: _sized,
    Type.STRING: _string,
    Type.UUID: lambda block, at: (block[at : at + _UUID_BYTES], at + _UUID_BYTES),
    **{kind: _integer(size) for kind, size in _INTEGERS.items()},
}


def _written(name: str, kind: Type, value: Value) -> bytes:
    try:
        match kind, value:
            case (Type.TRUE, True) | (Type.FALSE, False):
                data = b""
            case Type.BYTES, bytes():
                data = len(value).to_bytes(_LENGTH_BYTES) + value
            case Type.STRING, str():
                data = len(value.encode()).to_bytes(_LENGTH_BYTES) + value.encode()
            case Type.UUID, bytes() if len(value) == _UUID_BYTES:
                data = value
            case _, int() if kind in _INTEGERS:
                data = value.to_bytes(_INTEGERS[kind], signed=True)
            case _:
                raise MalformedBody("framing")
        key = name.encode()
        if key:
            return len(key).to_bytes() + key + kind.to_bytes() + data
    except (OverflowError, UnicodeEncodeError):
        pass
    raise MalformedBody("framing")

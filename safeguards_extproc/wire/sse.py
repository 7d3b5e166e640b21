"""Server-sent events (WHATWG HTML 9.2): a frame is one event, its raw bytes with the blank line that ends it.

A line ends at LF, CR or CRLF. A CR at the end of what has come may be half a CRLF, so it waits for the next byte.
"""

from __future__ import annotations

import re

from safeguards_extproc.errors import MalformedBody

MEDIA = "text/event-stream"

_BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n))").search
_LINE = re.compile(rb"([^\r\n]*)(\r\n|\n|\r|\Z)")
_BOM = b"\xef\xbb\xbf"
_BLANKS = re.compile(rb"[\r\n]*").match

ALONE, TOGETHER = 256, 4096
"""Blank lines one after another that are frames of their own, as some servers send them to keep a connection; and the
bytes of further ones that are a frame together."""


class Framer:
    """A `core.text.Framer`. Each byte is looked at a fixed number of times, however the stream is cut."""

    __slots__ = ("_blank", "_buffer", "_returns", "_seen", "held")

    def __init__(self) -> None:
        self.held = 0
        self._buffer = bytearray()
        self._seen = 0  # no frame ends before this byte of the buffer
        self._blank = 0  # lines since the last event
        self._returns = False  # whether a CR was ever seen: most streams have none

    def push(self, data: bytes) -> list[bytes]:
        if not self._returns and b"\r" in data:
            self._returns = True
        if self._buffer or self._returns:
            self._buffer += data
            frames, rest, length = self._cut(self._buffer)
            del self._buffer[:rest]
        else:
            frames, rest, length = self._cut(data)
            if rest < length:
                self._buffer += data[rest:] if rest else data
        self.held = length - rest
        self._seen = max(self.held - (3 if self._returns else 1), 0)
        return frames

    def finish(self) -> bytes:
        rest = bytes(self._buffer)
        self._buffer.clear()
        self.held = self._seen = 0
        return rest

    def _cut(self, data: bytes | bytearray) -> tuple[list[bytes], int, int]:
        """The frames in `data`, where the unfinished one begins, and the length of it all."""
        frames: list[bytes] = []
        start, seen, length, first = 0, self._seen, len(data), True
        following = _following if self._returns else _following_lf
        while start < length:
            if data[start] == 10 or data[start] == 13:
                end = self._after_blank(data, start)
            else:
                self._blank = 0
                end = following(data, max(start, seen))
            if end < 0:
                break
            frames.append(bytes(data[start:end]))
            start = end
            if first and not self._blank and not self._returns:
                # What follows the first event has not been looked at yet: without blank lines of their own, events
                # are cut all at once.
                first = False
                if data.find(b"\n\n\n", end - 2) < 0:
                    *events, rest = bytes(data[end:]).split(b"\n\n")
                    frames += [event + b"\n\n" for event in events]
                    return frames, length - len(rest), length
        return frames, start, length

    def _after_blank(self, data: bytes | bytearray, start: int) -> int:
        """Where the frame ends that begins with a blank line, or -1."""
        if self._blank < ALONE:
            end = start + 1
            if data[start] == 13:
                if end == len(data):
                    return -1
                end += data[end] == 10
            self._blank += 1
            return end
        end = _end(_BLANKS(data, start, start + TOGETHER))
        return end if end == start + TOGETHER or end < len(data) else -1


def _following(data: bytes | bytearray, seen: int) -> int:
    """Where an event ends, not before `seen`, or -1."""
    match = _BLANK_LINE(data, seen)
    if match is None or (match.end() == len(data) and data[-1] == 13):
        return -1
    return match.end()


def _following_lf(data: bytes | bytearray, seen: int) -> int:
    """The same where there is no CR."""
    found = data.find(b"\n\n", seen)
    return found if found < 0 else found + 2


def _end(match: re.Match[bytes] | None) -> int:
    assert match is not None  # every pattern here matches the empty string
    return match.end()


def fields(frame: bytes) -> tuple[str, bytes]:
    """The event's name ("" if none) and its data, lines joined by LF; an event without data is none."""
    if _plain(frame):
        return "", frame[6:-2]
    if b"data" not in frame:
        return "", b""
    event, lines = "", []
    for line in _lines(frame):
        name, colon, value = line.partition(b":")
        if name == b"data":
            lines.append(value[1:] if value.startswith(b" ") else value)
        elif name == b"event" and colon:
            event = (value[1:] if value.startswith(b" ") else value).decode("utf-8", "replace")
    return event, b"\n".join(lines)


def _plain(frame: bytes) -> bool:
    """Whether it is a line of data as most servers write it, and nothing else."""
    ends = frame.startswith(b"data: ") and frame.endswith(b"\n\n") and frame.find(b"\n") == len(frame) - 2
    return ends and b"\r" not in frame


def with_data(frame: bytes, data: bytes) -> bytes:
    """The frame with other data; everything but its data lines stays byte for byte.

    Raises MalformedBody("shape") if `data` has not as many lines as the frame's own.
    """
    if _plain(frame) and b"\n" not in data:
        return b"data: " + data + b"\n\n"
    lines = iter(data.split(b"\n"))
    pieces = []
    try:
        for match in _LINE.finditer(frame):
            name, colon, value = match[1].partition(b":")
            if name.removeprefix(_BOM) == b"data":
                head = name + (colon or b":") + (b" " if value.startswith(b" ") else b"")
                pieces.append(head + next(lines) + match[2])
            else:
                pieces.append(match[0])
    except StopIteration:
        raise MalformedBody("shape") from None
    if next(lines, None) is not None:
        raise MalformedBody("shape")
    return b"".join(pieces)


def event(name: str, data: bytes) -> bytes:
    """A frame of our own; `data` is one line."""
    return (b"event: " + name.encode() + b"\n" if name else b"") + b"data: " + data + b"\n\n"


def _lines(frame: bytes) -> list[bytes]:
    return frame.removeprefix(_BOM).splitlines()

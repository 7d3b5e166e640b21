"""A JSON array that is sent item by item: a frame ends where an item that is an object or an array does.

What stands before an item (the bracket, a comma, white space) is part of its frame; the bracket that ends the array,
and whatever follows it, is the last frame. A body that is no array is one frame.
"""

from __future__ import annotations

import re

MEDIA = "application/json"

_TOKEN = re.compile(
    rb'(?:[^"{}\[\]]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+([{}\[\]"]|\Z)', re.DOTALL
).finditer  # each match begins where the last one ended
_IN_STRING = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL).match
_HEAD = re.compile(rb"[ \t\n\r]*([\[,])[ \t\n\r]*").match
_TAIL = re.compile(rb"[ \t\n\r]*(\[[ \t\n\r]*)?\][ \t\n\r]*").fullmatch
_SPACE = b" \t\n\r"


class Framer:
    """A `core.text.Framer`. Each byte is looked at a fixed number of times, however the stream is cut."""

    __slots__ = ("_array", "_buffer", "_depth", "_quoted", "_seen", "held")

    def __init__(self) -> None:
        self.held = 0
        self._buffer = bytearray()
        self._seen = 0  # what stands before this byte of the buffer has been counted
        self._depth = 0  # brackets that are open there
        self._quoted = False  # whether it stands inside a string
        self._array: bool | None = None  # whether the body is an array; None before its first byte

    def push(self, data: bytes) -> list[bytes]:
        buffer = self._buffer
        buffer += data
        frames: list[bytes] = []
        if self._array is None:
            start = buffer.lstrip(_SPACE)[:1]
            self._array = start == b"[" if start else None
        if self._array:
            start_at = 0
            for end in self._ends():
                frames.append(bytes(buffer[start_at:end] if end < len(buffer) or start_at else buffer))
                start_at = end
            if start_at:
                del buffer[:start_at]
                self._seen -= start_at
        self.held = len(buffer)
        return frames

    def finish(self) -> bytes:
        rest = bytes(self._buffer)
        self._buffer.clear()
        self.held = self._seen = 0
        return rest

    def _ends(self) -> list[int]:
        """Where items end in what has come since the last look."""
        data, depth, at = self._buffer, self._depth, self._seen
        ends: list[int] = []
        if self._quoted:
            at = _end(_IN_STRING(data, at))
            if data[at : at + 1] != b'"':  # the end, or a backslash there, which waits for what it escapes
                self._seen = at
                return ends
            self._quoted, at = False, at + 1
        for found in _TOKEN(data, at):
            token = found[1]
            if token == b"{" or token == b"[":
                depth += 1
            elif token == b"}" or token == b"]":
                depth -= 1
                if depth == 1:
                    ends.append(found.end())
            else:
                at = found.end()
                self._quoted = token == b'"'
                break
        self._depth, self._seen = depth, at
        return ends


def split(frame: bytes) -> tuple[bytes, bytes]:
    """The bracket or comma before the item in a frame, and the item; a body that is no array is an item by itself."""
    head = _HEAD(frame)
    return (b"", frame) if head is None else (head[1], frame[head.end() :])


def ends(frame: bytes) -> bool:
    """Whether a frame is the end of the array, or all of an empty one."""
    return _TAIL(frame) is not None


def _end(match: re.Match[bytes] | None) -> int:
    assert match is not None  # every pattern here matches the empty string
    return match.end()

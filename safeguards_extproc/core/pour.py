"""A whole document on its way to the scan: so much of its text in a turn, in the order of the document."""

from __future__ import annotations

import enum

from safeguards_extproc.core.scan import Scan
from safeguards_extproc.core.text import Channel, Document, Segment

TURN = 1 << 16
"""What a turn may cost, in characters to cut into windows: 1 ms, 4 ms where each window's tail is a riddle."""

PIECE = 1 << 13
"""Characters of one text that are pushed at a time."""

SEGMENT, CLOSE = 128, 1024
"""What it costs to push a text beside its characters, and to close a channel."""


class Progress(enum.Enum):
    """How far it has come."""

    MORE = "another turn is needed"
    DONE = "all of it is with the scan, and every channel is closed"
    OVER = "more windows than a body may have"


class Pour:
    """`parts` are the segments, each with the character at which it begins in its channel, if they are kept."""

    __slots__ = ("_closing", "_coming", "_keeps", "_most", "_offset", "_scan", "_start", "parts")

    def __init__(self, scan: Scan, document: Document, most: int, *, keeps: bool = True) -> None:
        """`most` windows may come of it. The document's segments are used up."""
        self.parts: list[tuple[Segment, int]] = []
        self._scan, self._most, self._keeps = scan, most, keeps
        self._coming = document.segments
        self._coming.reverse()
        self._start = self._offset = 0
        self._closing: list[Channel] | None = None
        scan.pouring = True

    def turn(self) -> Progress:
        """Push what one turn may."""
        scan, coming, left = self._scan, self._coming, TURN
        while coming:
            if left <= 0:
                return Progress.MORE
            left -= self._push(coming[-1])
            if scan.size > self._most:
                scan.pouring = False
                return Progress.OVER
        if self._closing is None:
            self._closing = scan.channels()
            self._closing.reverse()
        while self._closing:
            if left <= 0:
                return Progress.MORE
            cost = scan.ripen(self._closing[-1], left)
            if cost < left:
                scan.close(self._closing.pop())
                cost += CLOSE
            left -= cost
            if scan.account.windows > self._most:
                scan.pouring = False
                return Progress.OVER
        scan.pouring = False
        return Progress.DONE

    def _push(self, segment: Segment) -> int:
        """The whole of a text, or its next piece; what that cost."""
        size, offset = len(segment.text), self._offset
        if size <= PIECE:
            start = self._scan.push(segment)
        else:
            piece = Segment(segment.channel, segment.text[offset : offset + PIECE], segment.path, segment.raw)
            start = self._scan.push(piece)
            self._start = start if not offset else self._start
            self._offset = offset + PIECE
            if self._offset < size:
                return PIECE
            start, self._offset, size = self._start, 0, size - offset
        self._coming.pop()
        if self._keeps:
            self.parts.append((segment, start))
        return SEGMENT + size

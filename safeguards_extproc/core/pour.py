"""A whole document, or a long frame of a stream, on its way to the scan: so much of its text in a turn, in order."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from safeguards_extproc.core.question import Question
from safeguards_extproc.core.scan import Scan
from safeguards_extproc.core.text import HELD_WHOLE, Channel, Document, Segment

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

    __slots__ = ("_closing", "_coming", "_hears", "_keeps", "_most", "_offset", "_scan", "_start", "parts")

    def __init__(
        self,
        scan: Scan,
        document: Document,
        most: int,
        *,
        keeps: bool = True,
        hears: Question | None = None,
        closes: Sequence[Channel] | None = None,
    ) -> None:
        """`most` windows may come of it; `hears` is told of every segment; `closes` are the channels that end with it,
        all if None. The document's segments are used up."""
        self._hears = hears
        self.parts: list[tuple[Segment, int]] = []
        self._scan, self._most, self._keeps = scan, most, keeps
        self._coming = document.segments
        self._coming.reverse()
        self._start = self._offset = 0
        self._closing = None if closes is None else list(reversed(closes))
        scan.pouring = True

    def turn(self) -> Progress:
        """Push what one turn may."""
        scan, coming, left, push = self._scan, self._coming, TURN, self._scan.push
        while coming:
            if left <= 0:
                return Progress.MORE
            segment = coming[-1]
            size = len(segment.text)
            if size <= PIECE:
                coming.pop()
                start = push(segment)
                if self._keeps:
                    self.parts.append((segment, start))
                if self._hears is not None:
                    self._hears.hear(segment, start)
                left -= SEGMENT + size
            else:
                self._push_piece(segment, size)
                left -= PIECE
            if scan.size > self._most:
                scan.pouring = False
                return Progress.OVER
        if self._closing is None:
            self._closing = scan.channels()
            self._closing.reverse()
        while self._closing:
            if left <= 0:
                return Progress.MORE
            channel = self._closing[-1]
            if channel[0] in HELD_WHOLE:
                cut = scan.ripen(channel, left)
                left -= cut
                if scan.account.windows > self._most:
                    scan.pouring = False
                    return Progress.OVER
                if left <= 0:
                    return Progress.MORE
            self._closing.pop()
            scan.close(channel)
            left -= CLOSE
        scan.pouring = False
        return Progress.DONE

    def _push_piece(self, segment: Segment, size: int) -> None:
        """The next piece of a text that is long."""
        offset = self._offset
        piece = Segment(segment.channel, segment.text[offset : offset + PIECE], segment.path, segment.raw)
        start = self._scan.push(piece)
        if not offset:
            self._start = start
        self._offset = offset + PIECE
        if self._offset >= size:
            self._offset = 0
            self._coming.pop()
            if self._keeps:
                self.parts.append((segment, self._start))
            if self._hears is not None:
                self._hears.hear(segment, self._start)

"""What a request asks, for models that read an answer beside it: the user's last turn, its beginning and its end.

It is what the upstream was given, so what was redacted has a mark. Known to one exchange, for as long as it lasts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence

from safeguards_extproc.core.decision import Span
from safeguards_extproc.core.redact import chosen, edits
from safeguards_extproc.core.text import Channel, Kind, Segment

HEAD, TAIL = 600, 600
"""Characters that are kept of the beginning and of the end."""

GAP = " … "

_Piece = tuple[Segment, int]


class Question:
    """`open` while the request is being read: what it asks is not known yet."""

    __slots__ = ("_gap", "_head", "_head_left", "_tail", "_tail_size", "_text", "_turn", "_views", "open")

    def __init__(self, views: Callable[[str], Sequence[str]]) -> None:
        """`views` are Policy's: a disguised question is read as it is meant."""
        self._views = views
        self.open = False
        self._turn = ""
        self._head: list[_Piece] = []
        self._tail: deque[_Piece] = deque()
        self._head_left, self._tail_size, self._gap = HEAD, 0, False
        self._text: str | None = None

    def __repr__(self) -> str:
        return f"Question({len(self.text)} chars)"

    @property
    def text(self) -> str:
        """What is asked, "" if nothing is known of it."""
        if self._text is None:
            gap = GAP if self._gap else ""
            said = gap.join("".join(segment.text for segment, _ in part) for part in (self._head, self._tail) if part)
            meant = self._views(said)[:2][-1] if said else ""
            fits = len(meant) <= HEAD + len(GAP) + TAIL
            self._text = meant if fits else meant[:HEAD] + GAP + meant[-TAIL:]
        return self._text

    def hear(self, segment: Segment, start: int) -> None:
        """The next text of the request; it begins at character `start` of its channel. A turn with a higher number
        counts as later, whatever their order in the body."""
        kind, name = segment.channel
        if kind is not Kind.USER or not segment.text:
            return
        turn = name.partition(".")[0]
        if turn != self._turn:
            if _number(turn) < _number(self._turn):
                return
            self._begin(turn)
        self._text = None
        taken = segment.text[: self._head_left]
        if taken:
            self._head.append((Segment(segment.channel, taken, segment.path), start))
            self._head_left -= len(taken)
        rest = len(segment.text) - len(taken)
        if rest:
            kept = segment.text[-min(rest, TAIL) :]
            self._tail.append((Segment(segment.channel, kept, segment.path), start + len(segment.text) - len(kept)))
            self._tail_size += len(kept)
            self._gap |= len(kept) < rest
            self._forget()

    def redact(self, spans: Mapping[Channel, Sequence[Span]], entities: Collection[str]) -> None:
        """The upstream gets a placeholder for each of these, in offsets of their channels; here it is a mark."""
        self._text = None
        self._head = [_marked(piece, spans, entities) for piece in self._head]
        self._tail = deque(_marked(piece, spans, entities) for piece in self._tail)

    def _begin(self, turn: str) -> None:
        self._turn = turn
        self._head, self._tail = [], deque()
        self._head_left, self._tail_size, self._gap = HEAD, 0, False

    def _forget(self) -> None:
        """Keep no more of the end than is told."""
        tail = self._tail
        while (over := self._tail_size - TAIL) > 0:
            segment, start = tail.popleft()
            self._gap = True
            self._tail_size -= min(over, len(segment.text))
            if over < len(segment.text):
                tail.appendleft((Segment(segment.channel, segment.text[over:], segment.path), start + over))


def _number(turn: str) -> int:
    return int(turn) if turn.isdecimal() and len(turn) < 10 else -1


def _marked(piece: _Piece, spans: Mapping[Channel, Sequence[Span]], entities: Collection[str]) -> _Piece:
    segment, start = piece
    text = segment.text
    for edit in reversed(edits(segment, start, chosen(spans.get(segment.channel, ()), entities))):
        text = text[: edit.start] + edit.replacement + text[edit.end :]
    return Segment(segment.channel, text, segment.path), start

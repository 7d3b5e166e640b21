"""Tasks and outcomes as frames between a worker and its reader: each so small that reading or writing one holds up
nothing else for more than 2 ms. Both ends are this version of this program, so pickle is their common language.
"""

from __future__ import annotations

import enum
import pickle
import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from safeguards_extproc.core.aside import Outcome, Parse, Parsed, Rewrite, Rewritten, Task
from safeguards_extproc.core.decision import Span
from safeguards_extproc.core.placeholders import Original
from safeguards_extproc.core.text import Channel, Item, Segment

T = TypeVar("T")

HEAD = struct.Struct("<BI")
"""What a frame begins with: its kind, and the bytes that follow."""

ITEMS, CHARS, BYTES = 512, 1 << 16, 1 << 18
"""The most segments, spans, originals or items of a frame, characters of their texts, and bytes of a body."""


class Frame(enum.IntEnum):
    """What a frame holds."""

    LAST = 0  # what all the others belong to
    BODY = 1  # a piece of its body
    TEXT = 2  # a piece of the text of the next segment, which says None of it
    SEGMENTS = 3
    SPANS = 4
    ORIGINALS = 5
    ITEMS = 6
    FAULT = 7  # the name of an error that no task may raise; not its message, which may hold text


def of_task(task: Task) -> Iterator[bytes]:
    """The frames that say it."""
    yield from _body(task.body)
    if isinstance(task, Rewrite) and task.recipe is not None:
        for channel, spans in task.recipe.spans.items():
            for some in _some(spans):
                items = [(span.start, span.end, span.entity) for span in some]
                yield _frame(Frame.SPANS, pickle.dumps((channel, items)))
        task = replace(task, recipe=replace(task.recipe, spans={}))
    yield _frame(Frame.LAST, pickle.dumps(replace(task, body=b"")))


def of_outcome(outcome: Outcome) -> Iterator[bytes]:
    """The frames that say it. What was only read does not go back."""
    if isinstance(outcome, Rewritten):
        if outcome.body is not None:
            yield from _body(outcome.body)
            outcome = replace(outcome, body=b"")
        for some in _some(list(outcome.originals.items())):
            items = [(name, original.entity, original.plain, original.written) for name, original in some]
            yield _frame(Frame.ORIGINALS, pickle.dumps(items))
        outcome = replace(outcome, originals={})
    else:
        yield from _segments(outcome.document.segments)
        document = replace(outcome.document, segments=[])
        if document.listed is not None:
            for listed in _some(document.listed.items):
                yield _frame(Frame.ITEMS, pickle.dumps([(item.id, item.channels) for item in listed]))
            document.listed = replace(document.listed, items=())
        outcome = replace(outcome, plain=None, document=document)
    yield _frame(Frame.LAST, pickle.dumps(outcome))


def of_fault(error: BaseException) -> bytes:
    return _frame(Frame.FAULT, type(error).__name__.encode())


class Joiner:
    """Puts the frames of one task or outcome together."""

    __slots__ = ("_body", "_items", "_originals", "_segments", "_spans", "_text")

    def __init__(self) -> None:
        self._body: list[bytes] = []
        self._text: list[str] = []
        self._segments: list[Segment] = []
        self._spans: dict[Channel, list[Span]] = {}
        self._originals: dict[str, Original] = {}
        self._items: list[Item] = []

    def take(self, kind: int, payload: bytes) -> Task | Outcome | str:
        """The whole if this was the last frame, the name of a fault, or "" if more is to come."""
        match kind:
            case Frame.LAST:
                return self._whole(_said(payload))
            case Frame.BODY:
                self._body.append(payload)
            case Frame.TEXT:
                self._text.append(_said(payload))
            case Frame.SEGMENTS:
                for channel, text, path, raw in _said(payload):
                    self._segments.append(Segment(channel, self._joined() if text is None else text, path, raw))
            case Frame.SPANS:
                channel, items = _said(payload)
                self._spans.setdefault(channel, []).extend(Span(*item) for item in items)
            case Frame.ORIGINALS:
                self._originals.update((name, Original(*item)) for name, *item in _said(payload))
            case Frame.ITEMS:
                self._items += [Item(*item) for item in _said(payload)]
            case _:
                return payload.decode("ascii", "replace") or "unknown"
        return ""

    def _joined(self) -> str:
        text, self._text = "".join(self._text), []
        return text

    def _whole(self, last: Task | Outcome) -> Task | Outcome:
        match last:
            case Parsed():
                last.document.segments = self._segments
                if last.document.listed is not None:
                    last.document.listed.items = self._items
            case Parse():
                last.body = b"".join(self._body)
            case Rewrite():
                last.body = b"".join(self._body)
                if last.recipe is not None:
                    last.recipe.spans = self._spans
            case Rewritten():
                last.body = None if last.body is None else b"".join(self._body)
                last.originals = self._originals
        return last


def _segments(segments: Sequence[Segment]) -> Iterator[bytes]:
    items: list[tuple[object, ...]] = []
    chars = 0
    for segment in segments:
        text: str | None = segment.text
        size = len(segment.text)
        if size > CHARS:
            for start in range(0, size, CHARS):
                yield _frame(Frame.TEXT, pickle.dumps(segment.text[start : start + CHARS]))
            text = None
        items.append((segment.channel, text, segment.path, segment.raw))
        chars += size
        if len(items) == ITEMS or chars >= CHARS:
            yield _frame(Frame.SEGMENTS, pickle.dumps(items))
            items, chars = [], 0
    if items:
        yield _frame(Frame.SEGMENTS, pickle.dumps(items))


def _some(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), ITEMS):
        yield items[start : start + ITEMS]


def _body(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), BYTES):
        yield _frame(Frame.BODY, body[start : start + BYTES])


def _said(payload: bytes) -> Any:
    return pickle.loads(payload)  # noqa: S301 (both ends of the pipe are this program)


def _frame(kind: Frame, payload: bytes) -> bytes:
    return HEAD.pack(kind, len(payload)) + payload

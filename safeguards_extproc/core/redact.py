"""Marked spans become edits: the placeholder stands where a span begins, the rest of the span is removed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from safeguards_extproc.core.decision import Span
from safeguards_extproc.core.text import Edit, Segment


def placeholder(entity: str) -> str:
    """What a reader sees in place of the text. Safe inside a JSON string."""
    return f"[REDACTED:{entity.upper()}]"


def chosen(spans: Iterable[Span], entities: Collection[str]) -> list[Span]:
    """The spans to redact, in order and apart: of overlapping ones the first, then the longest, swallows the others."""
    wanted = [span for span in spans if "*" in entities or span.entity in entities]
    wanted.sort(key=lambda span: (span.start, -span.end))
    apart: list[Span] = []
    for span in wanted:
        if apart and span.start < apart[-1].end:
            if span.end > apart[-1].end:
                apart[-1] = Span(apart[-1].start, span.end, apart[-1].entity)
            continue
        apart.append(span)
    return apart


def edits(segment: Segment, start: int, spans: Sequence[Span]) -> list[Edit]:
    """Edits of a segment that begins at character `start` of its channel, for spans in channel offsets."""
    end = start + len(segment.text)
    found = []
    for span in spans:
        if span.end <= start or span.start >= end:
            continue
        begins_here = span.start >= start
        found.append(
            Edit(
                segment.path,
                max(span.start, start) - start,
                min(span.end, end) - start,
                placeholder(span.entity) if begins_here else "",
            )
        )
    return found

"""Marked spans become edits: the placeholder stands where a span begins, the rest of the span is removed."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from safeguards_extproc.core.decision import Span
from safeguards_extproc.core.text import Edit, Segment

_PAIR = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}").match
"""Two escapes that are one character (RFC 8259, 7)."""


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


def whole_escapes(text: str, span: Span) -> Span:
    """The span without halves of escapes, where `text` is JSON as it is written: the arguments of a call. A detector
    reads the letters of `\\n` or `\\u00e9` as part of the word that they touch; half an escape breaks the JSON."""
    start, end = _escape(text, span.start)[0], _escape(text, span.end)[1]
    if start >= 6 and _PAIR(text, start - 6):
        start -= 6
    if end >= 6 and _PAIR(text, end - 6):
        end += 6
    return span if (start, end) == (span.start, span.end) else Span(start, end, span.entity)


def _escape(text: str, at: int) -> tuple[int, int]:
    """The escape that a border at `at` would split, as [start, end); `at` twice if there is none."""
    begin = text.rfind("\\", max(at - 5, 0), at)
    before = text[:begin]
    if begin >= 0 and (len(before) - len(before.rstrip("\\"))) % 2 == 0:
        end = begin + (6 if text.startswith("u", begin + 1) else 2)
        if end > at:
            return begin, min(end, len(text))
    return at, at

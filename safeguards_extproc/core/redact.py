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


def groups(spans: Iterable[Span], entities: Collection[str]) -> list[list[Span]]:
    """The spans to redact, in order; those that overlap are one group, the first and then the longest of them first."""
    wanted = [span for span in spans if "*" in entities or span.entity in entities]
    wanted.sort(key=lambda span: (span.start, -span.end))
    found: list[list[Span]] = []
    end = 0
    for span in wanted:
        if found and span.start < end:
            found[-1].append(span)
            end = max(end, span.end)
        else:
            found.append([span])
            end = span.end
    return found


def joined(group: Sequence[Span]) -> Span:
    """A group is redacted as one: the first names what it is."""
    first = group[0]
    return first if len(group) == 1 else Span(first.start, max(span.end for span in group), first.entity)


def chosen(spans: Iterable[Span], entities: Collection[str]) -> list[Span]:
    """The spans to redact, in order and apart: of overlapping ones the first, then the longest, swallows the others."""
    return [joined(group) for group in groups(spans, entities)]


def edit(segment: Segment, start: int, span: Span, stands: str) -> Edit:
    """`span`, in channel offsets, in a segment that begins at character `start` of its channel and holds a part of it:
    `stands` goes where the span begins."""
    end = start + len(segment.text)
    replacement = stands if span.start >= start else ""
    return Edit(segment.path, max(span.start, start) - start, min(span.end, end) - start, replacement)


def edits(segment: Segment, start: int, spans: Iterable[Span]) -> list[Edit]:
    """Edits of a segment that begins at character `start` of its channel, for spans in channel offsets."""
    end = start + len(segment.text)
    return [
        edit(segment, start, span, placeholder(span.entity)) for span in spans if span.end > start and span.start < end
    ]


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

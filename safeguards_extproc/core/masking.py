"""What a verdict redacts in a request, all at once: in the order of the text, so that numbers follow it."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from safeguards_extproc.core.decision import Placeholder, Span, Verdict
from safeguards_extproc.core.placeholders import Numbering, Original, Writing
from safeguards_extproc.core.redact import edit, groups, joined, placeholder
from safeguards_extproc.core.text import Channel, Edit, Segment

_CONTROLS = re.compile(r"(?:\\[nrtbf])+").match
"""Escapes in JSON that are no part of any word: a detector took their letter for the beginning of one."""


@dataclass(slots=True)
class Masked:
    """`counts` are by entity; `originals` are what is to be restored in the answer, by the name of its placeholder.
    `restored` counts what was put back into an answer."""

    edits: list[Edit] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    originals: Mapping[str, Original] = field(default_factory=dict)
    restored: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Marked:
    """A span, and how policy wants it replaced."""

    span: Span
    style: Placeholder

    def trim(self, text: str) -> None:
        """Leave out the escapes that the span begins with, in a text that is JSON as it is written."""
        controls = _CONTROLS(text, self.span.start, self.span.end - 1)
        if controls is not None:
            self.span = Span(controls.end(), self.span.end, self.span.entity)


def masked(
    parts: Sequence[tuple[Segment, int]],
    spans: Callable[[Channel], Sequence[Span]],
    verdict: Verdict,
    *,
    numbers: bool,
) -> Masked:
    """Edits of a request. `parts` are its segments in order, each with where it begins in its channel.

    Without `numbers` everything gets a mark: they would mean something else than in turns that nobody here has seen.
    """
    waiting: dict[Channel, deque[_Marked]] = {}
    for segment, _ in parts:
        if segment.channel not in waiting:
            found = groups(spans(segment.channel), verdict.redact)
            waiting[segment.channel] = deque(_Marked(joined(each), _style(each, verdict, numbers)) for each in found)
    result = Masked()
    if not any(waiting.values()):
        return result
    texts: Mapping[Channel, str] = {}
    if any(marked.style for channel in waiting.values() for marked in channel):
        texts = _texts(parts)
    numbering, writing = Numbering(texts.values()), Writing()
    for segment, start in parts:
        in_json, left, end = writing.is_json(segment), waiting[segment.channel], start + len(segment.text)
        while left and left[0].span.end <= start:
            left.popleft()
        for marked in left:
            if marked.style and in_json and marked.span.start >= start:
                marked.trim(texts[segment.channel])
            span = marked.span
            if span.start >= end:
                break
            stands = placeholder(span.entity)
            if marked.style and span.start >= start:
                value, restored = texts[segment.channel][span.start : span.end], marked.style is Placeholder.RESTORED
                stands = numbering.placeholder(span.entity, value, in_json=in_json, restored=restored)
            if span.start >= start:
                result.counts[span.entity] = result.counts.get(span.entity, 0) + 1
            result.edits.append(edit(segment, start, span, stands))
    result.originals = numbering.originals
    return result


def _style(group: Sequence[Span], verdict: Verdict, numbers: bool) -> Placeholder:
    """Where rules want different things of what is one text, the one that tells least counts."""
    if not numbers:
        return Placeholder.MARK
    asked = verdict.placeholders
    return min(
        asked.get(name, Placeholder.MARK) for span in group for name in (span.entity, "*") if name in verdict.redact
    )


def _texts(parts: Sequence[tuple[Segment, int]]) -> dict[Channel, str]:
    pieces: dict[Channel, list[str]] = {}
    for segment, _ in parts:
        pieces.setdefault(segment.channel, []).append(segment.text)
    return {channel: "".join(said) for channel, said in pieces.items()}

"""What a verdict does to the texts of a whole body, as a value: the edits are worked out where the body is."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from safeguards_extproc.core.decision import Span, Verdict
from safeguards_extproc.core.masking import Masked, masked
from safeguards_extproc.core.placeholders import Originals, Place
from safeguards_extproc.core.redact import chosen, edits
from safeguards_extproc.core.restore import Restorer
from safeguards_extproc.core.text import Channel, Document, Listed, Segment

Parts = Sequence[tuple[Segment, int]]
"""The segments of a document in order, each with the character at which it begins in its channel."""


@dataclass(slots=True)
class Mask:
    """Of a request: what is marked is replaced. Without `numbers` everything gets a mark."""

    spans: Mapping[Channel, Sequence[Span]]
    verdict: Verdict
    numbers: bool

    def changes(self, parts: Parts) -> Masked:
        return masked(parts, lambda channel: self.spans.get(channel, ()), self.verdict, numbers=self.numbers)

    def finish(self, body: bytes) -> bytes:
        """What is left once the texts are edited."""
        return body

    @property
    def idle(self) -> bool:
        """Whether there is nothing to change."""
        return not self.spans


@dataclass(slots=True)
class Restore:
    """Of an answer: what is marked is redacted, and what was replaced in its request is put back, of at most `room`
    characters. Items that are `gone` leave the list by `drop`; `left_out` are their channels."""

    spans: Mapping[Channel, Sequence[Span]]
    redact: frozenset[str]
    originals: Originals
    places: dict[Channel, deque[Place]] = field(default_factory=dict)
    room: int = 0
    gone: frozenset[int] = frozenset()
    drop: Callable[[bytes, Collection[int]], bytes] | None = None
    left_out: frozenset[Channel] = frozenset()

    def leave_out(self, listed: Listed, gone: frozenset[int]) -> None:
        """The items at these positions of the answer's list go, and nothing in them is edited."""
        self.gone, self.drop = gone, listed.drop
        self.left_out = frozenset(channel for at in gone for channel in listed.items[at].channels)

    def changes(self, parts: Parts) -> Masked:
        result = Masked()
        restorer = Restorer(
            self.originals, lambda name: self.places.setdefault(name, deque()), result.restored, self.room
        )
        waiting: dict[Channel, deque[Span]] = {}
        for segment, start in parts:
            channel, end = segment.channel, start + len(segment.text)
            if channel in self.left_out:
                continue
            if channel not in waiting:
                waiting[channel] = deque(chosen(self.spans.get(channel, ()), self.redact))
            left = waiting[channel]
            while left and left[0].end <= start:
                left.popleft()
            here: Sequence[Span] = list(takewhile(lambda span, end=end: span.start < end, left))  # type: ignore[misc]
            if self.originals:
                restored, here = restorer.edits(segment, start, here)
                result.edits += restored
            result.edits += edits(segment, start, here)
            for span in here:
                if span.start >= start:
                    result.counts[span.entity] = result.counts.get(span.entity, 0) + 1
        return result

    def finish(self, body: bytes) -> bytes:
        """What is left once the texts are edited. Raises MalformedBody."""
        return body if self.drop is None else self.drop(body, self.gone)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to change."""
        marked = self.redact and self.spans
        return not marked and not (self.originals and any(self.places.values())) and not self.gone


Recipe = Mask | Restore


def parts_of(document: Document) -> Parts:
    """Where each segment begins."""
    found: list[tuple[Segment, int]] = []
    lengths: dict[Channel, int] = {}
    for segment in document.segments:
        start = lengths.get(segment.channel, 0)
        found.append((segment, start))
        lengths[segment.channel] = start + len(segment.text)
    return found

"""Placeholders of the request become what they stand for, in the texts of its answer, one after another.

What detectors and models saw is the placeholder, so what is put back is never judged, and never redacted again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from safeguards_extproc.core.decision import Span
from safeguards_extproc.core.placeholders import Originals, Place, Writing
from safeguards_extproc.core.redact import edit
from safeguards_extproc.core.text import Channel, Edit, Segment


class Restorer:
    """Takes the segments of one answer in the order in which they leave. `counts` are by entity.

    `places` gives what a channel mentions. `room` is how many characters may be put back: a short placeholder can stand
    for a long text, and be said often. What does not fit stays a placeholder.
    """

    __slots__ = ("_originals", "_places", "_room", "_writing", "counts")

    def __init__(
        self, originals: Originals, places: Callable[[Channel], deque[Place]], counts: dict[str, int], room: int
    ) -> None:
        self._originals, self._places, self._room, self.counts = originals, places, room, counts
        self._writing = Writing()

    def edits(self, segment: Segment, start: int, spans: Sequence[Span]) -> tuple[list[Edit], Sequence[Span]]:
        """Edits of the next segment, which begins at character `start` of its channel, and what is left of `spans`,
        which are to be redacted in it."""
        in_json, end = self._writing.is_json(segment), start + len(segment.text)
        places, found = self._places(segment.channel), []
        while places and places[0].end <= start:
            places.popleft()
        for place in places:
            if place.start >= end:
                break
            if place.restored is None:
                text = self._originals.text(place, in_json=in_json)
                place.restored = self._put_back(place, len(text), spans)
                if place.restored:
                    found.append(edit(segment, start, _span(place), text))
            elif place.restored:
                found.append(edit(segment, start, _span(place), ""))
            if place.restored:
                # Policy may have begun to redact after the placeholder's first part had gone.
                spans = [left for span in spans for left in _without(span, place)]
        return found, spans

    def _put_back(self, place: Place, length: int, spans: Sequence[Span]) -> bool:
        """A placeholder is gone with what is redacted around it; a mark inside of it is one of our own words."""
        around = any(
            span.start < place.end
            and place.start < span.end
            and not (place.start <= span.start and span.end <= place.end)
            for span in spans
        )
        if around or length > self._room:
            return False
        self._room -= length
        entity = self._originals.entity(place)
        self.counts[entity] = self.counts.get(entity, 0) + 1
        return True


def _span(place: Place) -> Span:
    return Span(place.start, place.end, place.name)


def _without(span: Span, place: Place) -> list[Span]:
    parts = (
        Span(span.start, min(span.end, place.start), span.entity),
        Span(max(span.start, place.end), span.end, span.entity),
    )
    return [part for part in parts if part.start < part.end]

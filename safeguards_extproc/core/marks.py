"""What is marked in the texts of one direction: what may be redacted, and placeholders that may be restored.

A window sees again what the last one could not see whole: its word counts for that and all that follows. What is marked
before is final, and no later window looks at it, so a text full of marks costs what it is long.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from safeguards_extproc.core.decision import Span
from safeguards_extproc.core.placeholders import Originals, Place
from safeguards_extproc.core.redact import whole_escapes
from safeguards_extproc.core.text import Channel, Kind
from safeguards_extproc.core.windows import Window


@dataclass(slots=True)
class _Known:
    """Marks of one channel, in its offsets. No window to come changes what ends by `until`: that is the first `final`
    of `spans`, and of `places` all but the last."""

    spans: list[Span] = field(default_factory=list)
    final: int = 0
    places: deque[Place] = field(default_factory=deque)
    until: int = 0


class Marks:
    """Take windows in their order. `originals` is what placeholders stand for, if anything is to be restored."""

    __slots__ = ("_known", "_originals")

    def __init__(self, originals: Originals) -> None:
        self._originals = originals
        self._known: dict[Channel, _Known] = {}

    def take(self, window: Window, spans: Sequence[Span]) -> None:
        """A window's verdict is in; `spans` are what detectors marked, in its own offsets."""
        known = self._of(window.channel)
        if spans or len(known.spans) > known.final:
            _mark(known, window, spans)
        if self._originals:
            self._locate(known, window)
        known.until = max(known.until, window.end - window.tail)

    def spans(self, channel: Channel, since: int = 0) -> Sequence[Span]:
        """What may be redacted, in offsets of the channel. Nobody asks again for what ends by `since`."""
        known = self._known.get(channel)
        if known is None or not known.spans:
            return ()
        if known.spans[0].end <= since:
            final = [span for span in known.spans[: known.final] if span.end > since]
            known.spans = final + [span for span in known.spans[known.final :] if span.end > since]
            known.final = len(final)
        return known.spans

    def places(self, channel: Channel) -> deque[Place]:
        """Where the channel mentions what was replaced in the request, in order. The caller takes out what has gone."""
        return self._of(channel).places

    def all_spans(self) -> dict[Channel, Sequence[Span]]:
        """What may be redacted, of every channel that has some."""
        return {channel: known.spans for channel, known in self._known.items() if known.spans}

    def all_places(self) -> dict[Channel, deque[Place]]:
        """What may be restored, of every channel that has some."""
        return {channel: known.places for channel, known in self._known.items() if known.places}

    def _of(self, channel: Channel) -> _Known:
        known = self._known.get(channel)
        if known is None:
            known = self._known[channel] = _Known()
        return known

    def _locate(self, known: _Known, window: Window) -> None:
        offset, places = window.start - window.lead, known.places
        while places and places[-1].end > known.until:
            places.pop()
        places.extend(
            replace(place, start=place.start + offset, end=place.end + offset)
            for place in self._originals.find(window.text)
            if place.end + offset > known.until
        )


def _mark(known: _Known, window: Window, spans: Sequence[Span]) -> None:
    offset, until = window.start - window.lead, known.until
    if window.channel[0] is Kind.TOOL_CALL:
        spans = [whole_escapes(window.text, span) for span in spans]
    known.spans[known.final :] = [span for span in known.spans[known.final :] if span.end <= until]
    known.final = len(known.spans)
    known.spans += [
        Span(span.start + offset, span.end + offset, span.entity) for span in spans if span.end + offset > until
    ]

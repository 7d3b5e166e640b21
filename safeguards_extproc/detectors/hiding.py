"""Where a text hides what only its views show: the smallest stretch of it whose own views show the same.

A detector marks what stands in a text; what stands in a decoded or folded view has no place there, and must not leave
unmarked for that. Tried in this order: a part of a word (between quotes, brackets and commas), a word, the shortest run
of words, the whole text. Once all that is marked is taken out, no view of what is left shows anything.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set

from safeguards_extproc.core.decision import Span
from safeguards_extproc.detectors.detector import Detector
from safeguards_extproc.detectors.views import decode, expand

WORD = 512
"""Characters of a word that `unfinished` holds back: an address is at most 254, and takes at most twice as many in
base64 and its relatives."""

RUNS = 4
"""Things hidden over several words that are looked for one by one; where there are more, the whole text is marked."""

MANY = 12
"""Hidden things that are looked for at all; where there are more, the whole text is marked."""

WORK = 4
"""What finding the smallest stretches may take for each character of a text, as if it had WORD at least. A unit is what
looking at a character takes of which there are views: 0.4 µs. Where that is used up, the whole text is marked."""

NARROW = 12
"""Words of a run that are taken off one by one."""

_APART = "\\s\u3000-\u303f\uff0c\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff"
"""Spaces, and the letters and full stops of scripts that write without: no disguise is made of these."""

_BREAK = re.compile(f"[{_APART}]")
_WORDS = re.compile(f"[^{_APART}]+")
_PARTS = re.compile(r"[^\"<>(){}\[\],|]+")
_BLANK = '"'
"""Stands for what is taken out: no form of ours goes across a quotation mark."""

Shown = Counter[tuple[str, str]]
"""How often a value of an entity is shown."""


def unfinished(text: str) -> int:
    """Characters of the word at the end of `text`, at most WORD: what follows may show that it hides something.

    For every text and every k, each span of `hidden` within one word, with start < k < end and at most WORD characters,
    has start >= k - unfinished(text[:k]). A stretch of several words is marked only where one window holds all of it.
    """
    if text[-1:].isspace():
        return 0
    found = _BREAK.search(text[: -WORD - 1 : -1])
    return found.start() if found is not None else min(len(text), WORD)


def hidden(detector: Detector, text: str, entities: Set[str], views: Sequence[str] = ()) -> Sequence[Span]:
    """Spans, in order, of what views of `text` show of `entities` and the detector does not find in `text` itself.

    `views` are those of `text`, where they are known.

    Spans of different entities may lie over each other, and over those of `detector.find(text, ())`.
    """
    return _Search(detector, entities).spans(text, views or expand(text))


class _Search:
    """One detector, the entities to look for, and the work that is left."""

    __slots__ = ("_detector", "_entities", "_work")

    def __init__(self, detector: Detector, entities: Set[str]) -> None:
        self._detector, self._entities = detector, entities
        self._work = 0

    def spans(self, text: str, views: Sequence[str]) -> Sequence[Span]:
        shown = self._shown(text, views)
        if not shown:
            return ()
        whole = [Span(0, len(text), entity) for entity in sorted({entity for entity, _ in shown})]
        if shown.total() > MANY:
            return whole
        self._work = WORK * max(len(text), WORD)
        marks: set[tuple[int, int, str]] = set()
        words = [(found.start(), found.end()) for found in _WORDS.finditer(text)]
        explained: Shown = Counter()
        for start, end in words:
            explained += self._word(text, start, end, marks)
            if self._work <= 0 or explained.total() > MANY:
                return whole
        runs = list(shown - explained)
        if len(runs) <= RUNS and all(self._run(text, words, pair, marks) for pair in runs):
            left = self._shown(_without(text, (*self._plain(text), *(Span(*mark) for mark in marks))))
        else:
            left = shown
        marks.update((0, len(text), entity) for entity, _ in left)
        return [Span(*mark) for mark in sorted(marks)]

    def _plain(self, text: str) -> list[Span]:
        return [span for span in self._detector.find(text, ()).spans if span.entity in self._entities]

    def _values(self, text: str) -> Shown:
        return Counter((span.entity, text[span.start : span.end]) for span in self._plain(text))

    def _shown(self, text: str, views: Sequence[str] = ()) -> Shown:
        """What views of a text show and the text itself does not say.

        Decoding leaves what is plain in its place, so a decoded value is hidden if it stands there more often than in
        plain values of the text. A reading turns what is plain into something else: it is read without that.
        """
        shown: Shown = Counter()
        views = views or expand(text)
        if len(views) == 1:
            self._work -= 8 + len(text) // 32
            return shown
        self._work -= 60 + len(text)
        plain = self._plain(text)
        for view in (expand(_without(text, plain)) if plain else views)[1:]:
            shown |= self._values(view)
        if plain:
            said = [(span.entity, text[span.start : span.end]) for span in plain]
            for (entity, value), times in self._values(decode(text)).items():
                known = sum(value in whole for other, whole in said if other == entity)
                shown[entity, value] = max(shown[entity, value], times - known)
        return +shown

    def _word(self, text: str, start: int, end: int, marks: set[tuple[int, int, str]]) -> Shown:
        """Mark what a word hides, in a part of it if that shows it all; returns what it shows."""
        shown = self._shown(text[start:end])
        if not shown:
            return shown
        explained: Shown = Counter()
        parts: set[tuple[int, int, str]] = set()
        for part in self._parts(text, start, end):
            inside = shown if part == (start, end) else self._shown(text[part[0] : part[1]])
            explained += inside
            parts.update((*part, entity) for entity, _ in inside)
        marks.update(parts if shown <= explained else {(start, end, entity) for entity, _ in shown})
        return shown

    def _parts(self, text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
        for part in _PARTS.finditer(text, start, end):
            # The backslash before a quotation mark is not part of what is quoted.
            yield part.start(), part.start() + len(part[0].rstrip("\\"))

    def _run(
        self, text: str, words: Sequence[tuple[int, int]], pair: tuple[str, str], marks: set[tuple[int, int, str]]
    ) -> bool:
        """Mark the shortest run of words that shows `pair`, if more words never show less; whether it was found."""

        def shows(first: int, last: int) -> bool:
            return self._work > 0 and pair in self._shown(text[words[first][0] : words[last][1]])

        first, last = 0, len(words) - 1
        while last - first > NARROW:
            middle, quarter = (first + last) // 2, (last - first) // 4
            halves = ((first, middle), (middle, last), (first + quarter, last - quarter))
            half = next((half for half in halves if shows(*half)), None)
            if half is None:
                break
            first, last = half
        begin = first
        last = bisect_left(range(last + 1), True, lo=first, key=lambda index: shows(begin, index))
        if last == len(words):
            return False
        first = bisect_left(range(last + 1), True, lo=first, key=lambda index: not shows(index, last)) - 1
        if first < begin or not shows(first, last):
            return False
        marks.add((words[first][0], words[last][1], pair[0]))
        return True


def _without(text: str, spans: Iterable[Span]) -> str:
    """The text with what is marked taken out, as long as before."""
    for span in spans:
        text = text[: span.start] + _BLANK * (span.end - span.start) + text[span.end :]
    return text

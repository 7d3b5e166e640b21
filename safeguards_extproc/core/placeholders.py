"""Numbered placeholders: in one request the same value has the same number, and only its own answer gets it back.

What a placeholder stands for is known here alone, in memory, until the exchange ends.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from safeguards_extproc.core.text import Channel, Segment

_ESCAPES = r"(?<!\\)(?:\\|\\\\|\\\\\\\\)"
"""What stands before `u003c` where a JSON string holds it: the escape itself is escaped once per string around it."""

_FORM = re.compile(rf"(?:<|({_ESCAPES})u003[cC])([A-Z0-9_]+)(?:>|\\{{1,4}}u003[eE])")
"""A placeholder as a model may write it: encoders of JSON for the web escape its brackets."""

_BEGUN = re.compile(rf"(?:<|{_ESCAPES}u003[cC])([A-Z0-9_]*)(?:\\{{1,4}}(?:u(?:0(?:0(?:3)?)?)?)?)?\Z")
_BEGUN_ESCAPE = re.compile(r"(?<!\\)\\{1,4}(?:u(?:0(?:0(?:3)?)?)?)?\Z")

_write = json.JSONEncoder(ensure_ascii=False).encode

_BRACKETS = 18
"""Characters of both brackets where they are longest."""


@dataclass(slots=True)
class Original:
    """What a placeholder stands for: the text itself, and as it is written inside a string of JSON."""

    entity: str
    plain: str = field(repr=False)
    written: str = field(repr=False)


@dataclass(slots=True)
class Place:
    """A placeholder at characters [start, end) of a text, written inside `depth` strings of JSON at least.

    `restored` is None until something has been decided about it.
    """

    start: int
    end: int
    name: str
    depth: int
    restored: bool | None = None


class Originals:
    """What each placeholder of a request stands for, by its name, as EMAIL_1. Empty unless policy restores them."""

    __slots__ = ("_by_name", "_longest", "_names")

    def __init__(self) -> None:
        self._by_name: dict[str, Original] = {}
        self._names: list[str] = []
        self._longest = 0

    def __repr__(self) -> str:
        return f"Originals({len(self)})"

    def __len__(self) -> int:
        return len(self._by_name)

    def keep(self, originals: Mapping[str, Original]) -> None:
        """These were replaced in what the upstream gets."""
        self._by_name = dict(originals)
        self._names = sorted(originals)
        self._longest = max(map(len, originals), default=0) + _BRACKETS

    def drop(self) -> None:
        """Nothing can come any more that mentions them."""
        self.keep({})

    def entity(self, place: Place) -> str:
        return self._by_name[place.name].entity

    def text(self, place: Place, *, in_json: bool) -> str:
        """What belongs at a place; `in_json` where the text around it is JSON as it is written."""
        original, depth = self._by_name[place.name], max(place.depth, in_json)
        if not depth:
            return original.plain
        written = original.written
        for _ in range(depth - 1):
            written = _escaped(written)
        return written

    def find(self, text: str) -> Iterator[Place]:
        """The placeholders in `text`, in order."""
        if "<" in text or "u003" in text:
            for form in _FORM.finditer(text):
                if form[2] in self._by_name:
                    yield Place(*form.span(), form[2], len(form[1] or "").bit_length())

    def tail(self, text: str, least: int = 0) -> int:
        """Characters at the end of `text` that may be the beginning of a placeholder; `least` of them wait anyway, and
        with them all of the placeholder that they are a part of."""
        end = text[-self._longest - least :]
        tail = max(least, self._begun(end))
        for place in self.find(end):
            if place.start < len(end) - tail < place.end:
                return len(end) - place.start
        return tail

    def _begun(self, text: str) -> int:
        begun = _BEGUN.search(text)
        if begun is not None:
            at = bisect_left(self._names, begun[1])
            if at < len(self._names) and self._names[at].startswith(begun[1]):
                return len(text) - begun.start()
        begun = _BEGUN_ESCAPE.search(text)
        return len(text) - begun.start() if begun is not None else 0


NOTHING = Originals()
"""Of a text into which nothing is put back."""


class Numbering:
    """Gives out the numbers of one request; call it in the order of its text.

    `texts` are all that the request says. A placeholder that is to be restored gets no number that one of them uses:
    what a client wrote itself is not to become somebody's value. `originals` are those to restore, by name.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self.originals: dict[str, Original] = {}
        self._used = {form[2] for text in texts for form in _FORM.finditer(text)}
        self._names: dict[tuple[str, bool, str], str] = {}
        self._last: dict[str, int] = {}

    def placeholder(self, entity: str, text: str, *, in_json: bool, restored: bool) -> str:
        """What stands for `text`, a value that was marked as `entity`; the same for the same value."""
        label = entity.upper()
        plain, written = _both(text, in_json)
        name = self._names.get((label, restored, plain))
        if name is None:
            number = self._last.get(label, 0) + 1
            while restored and f"{label}_{number}" in self._used:
                number += 1
            self._last[label] = number
            name = self._names[label, restored, plain] = f"{label}_{number}"
            if restored:
                self.originals[name] = Original(entity, plain, written)
        return f"<{name}>"


class Writing:
    """Tells, segment by segment, whether a text is JSON as it is written: a call's arguments, an answer in JSON.

    A text that begins with a brace is, from its channel's beginning or a separator on.
    """

    __slots__ = ("_begun",)

    def __init__(self) -> None:
        self._begun: dict[Channel, bool] = {}

    def is_json(self, segment: Segment) -> bool:
        if segment.raw:
            return True
        if not segment.path:
            self._begun.pop(segment.channel, None)
            return False
        begun = self._begun.get(segment.channel)
        if begun is None:
            text = segment.text.lstrip()
            if not text:
                return False
            begun = self._begun[segment.channel] = text[0] == "{"
        return begun


def _both(text: str, in_json: bool) -> tuple[str, str]:
    """A value as it reads, and as it is written in a string of JSON. One across several strings is kept as it is."""
    if not in_json:
        return text, _escaped(text)
    try:
        plain = json.loads(f'"{text}"')
        plain.encode()
    except ValueError:
        return text, text
    return plain, text


def _escaped(text: str) -> str:
    return _write(text)[1:-1]

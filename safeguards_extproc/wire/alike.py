"""Events of a stream that say the same but for a text: what is the same was read once, and need not be read again.

The one rule: an event is like another only where it is that one, byte for byte, with other strings in the places that
were named; so a strict reading of it would say the same of everything else, and is spared.
"""

from __future__ import annotations

from collections.abc import Sequence

from safeguards_extproc.core.text import Path
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire.strict_json import scan_string, spans

LESSONS = 3
"""How many events of a stream are taken for a pattern. Where those that follow are like none of them, none is."""


class Alike:
    """What events of a stream have in common, once it is known. `of` is what the reader knows such an event by."""

    __slots__ = ("_begin", "_end", "_lessons", "_middle", "of")

    def __init__(self) -> None:
        self.of = 0
        self._begin = self._end = ""
        self._middle: str | None = None
        self._lessons = 0

    def text(self, frame: bytes) -> str | None:
        """The text of a frame that is like the one that was learned; None where it is not, or that is not plain."""
        if not self._end:
            return None
        try:
            said = frame.decode()
            if not said.startswith(self._begin):
                return None
            text, at = scan_string(said, len(self._begin), True)
            if self._middle is not None:
                if not said.startswith(self._middle, at):
                    return None
                at = scan_string(said, at + len(self._middle), True)[1]
        except ValueError:  # no UTF-8, or no string
            return None
        if at + len(self._end) != len(said) or not said.endswith(self._end):
            return None
        if "\\u" in said and ("\\ud" in said or "\\uD" in said):  # half a character may be lone: to be read strictly
            return None
        found: str = text
        return found

    def learn(self, frame: bytes, data: bytes, paths: Sequence[Path], of: int) -> None:
        """Take a frame for a pattern, whose `data`, a line of it, strict_json has read. The text is the string at the
        first path; at the second, if it is there, is another string, behind it, that nobody reads."""
        if self._lessons == LESSONS:
            return
        self._lessons += 1
        self._end = ""
        try:
            places = spans(data, paths)
        except MalformedBody:
            return
        start = frame.find(data)
        first, second = places.get(paths[0]), places.get(paths[-1]) if len(paths) > 1 else None
        if first is None or start < 0 or (second is not None and second[0] < first[1]):
            return
        last = second or first
        self.of = of
        self._begin = frame[: start + first[0] + 1].decode()
        self._middle = frame[start + first[1] : start + second[0] + 1].decode() if second is not None else None
        self._end = frame[start + last[1] :].decode()

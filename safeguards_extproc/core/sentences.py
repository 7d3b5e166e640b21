"""Sentences of a window, for models to read by themselves: a question that does harm drowns among harmless sentences
even in one paragraph.

Only what is a whole sentence as far as the window shows, and none that is so short that a model makes anything of it.
So a window has no more of them than its length allows.
"""

from __future__ import annotations

import re

LEAST, PIECE = 28, 160
"""Characters of a sentence, and of a piece of one that a border cut off, that is read by itself."""

_END = re.compile(r"(?<=[.!?\u2026\u061f\u06d4\u0964])[\"'\u00bb\u2019\u201d)\]]*[^\S\n]|(?<=[\u3002\uff01\uff1f])|\n")
"""Where a sentence ends: its stop and a space after it, in scripts without spaces the stop alone; and the line."""


def sentences(text: str, *, begins: bool, ends: bool) -> list[str]:
    """The sentences of a text that has several, without the space around them, each once. `begins` and `ends` say
    whether a text begins with it, or ends."""
    parts = [part.strip() for part in _END.split(text.strip())]
    last = len(parts) - 1
    if not last:
        return []
    found: dict[str, None] = {}
    for number, part in enumerate(parts):
        whole = (number > 0 or begins) and (number < last or ends)
        if len(part) >= (LEAST if whole else PIECE):
            found[part] = None
    return list(found)

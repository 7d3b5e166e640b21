"""Paragraphs of a window, for models to read by themselves: a line that does harm drowns in a window of other matters.

Only what is a whole paragraph as far as the window shows: a piece that the window's border cut off is half a sentence
out of its context, which models take for anything. A long piece is read, so that a paragraph that lies on a border is.
"""

from __future__ import annotations

import re

LEAST, PIECE = 28, 160
"""Characters of a paragraph, and of a piece of one, that is read by itself: models make anything of a few words."""

_BLANK = re.compile(r"\n[^\S\n]*\n\s*")


def paragraphs(text: str, *, begins: bool, ends: bool) -> list[str]:
    """The paragraphs of a text that has several, without the space around them, each once. `begins` and `ends` say
    whether a text begins with it, or ends. Paragraphs stand between blank lines (CommonMark 4.8)."""
    if "\n" not in text:
        return []
    parts = _BLANK.split(text)
    last = len(parts) - 1
    if not last:
        return []
    found: dict[str, None] = {}
    for number, part in enumerate(parts):
        whole = (number > 0 or begins) and (number < last or ends)
        part = part.strip()
        if len(part) >= (LEAST if whole else PIECE):
            found[part] = None
    return list(found)

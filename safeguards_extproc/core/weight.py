"""What it costs to look at a window, told from what it is made of: there is no clock here."""

from __future__ import annotations

STRANGE, SHORT = 4, 300
"""What a window counts for that looks like codes, or like letters of one script that stand for another's, and the
characters below which none takes long."""

FOUND = 12
"""Marks in a window that cost as much as another window: each is looked at again, by its check sum or its shape."""

SAMPLE = 5
"""Of so many characters one is looked at. A text that is made so that those tell nothing gets more than its share of a
turn, four times as much at most."""

_SMALL = b"abcdefghijklmnopqrstuvwxyz"
_USUAL = _SMALL + b" \n" + bytes(range(0x80, 0x100))


def weight(text: str, marks: int = 0) -> int:
    """What a window counts for among those that are looked at in a turn (core/scan.py): one of prose is 1. `marks` is
    how many detectors have found in it."""
    return _strange(text) + marks // FOUND


def _strange(text: str) -> int:
    if len(text) < SHORT:
        return 1
    text = text[::SAMPLE]
    data = text.encode("utf-8", "replace")
    unusual, usual = len(data.translate(None, _USUAL)), len(data)
    if 4 * unusual > usual:
        return STRANGE
    if text.isascii():
        return 1
    small = usual - len(data.translate(None, _SMALL))
    return STRANGE if 8 * min(small, len(data) - len(text)) > usual else 1

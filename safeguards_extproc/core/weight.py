"""What it costs to look at a window, told from what it is made of: there is no clock here."""

from __future__ import annotations

STRANGE, SHORT = 4, 300
"""What a window counts for that looks like codes, or like letters of one script that stand for another's, and the
characters below which none takes long."""

_SMALL = b"abcdefghijklmnopqrstuvwxyz"
_USUAL = _SMALL + b" \n" + bytes(range(0x80, 0x100))


def weight(text: str) -> int:
    """What a window counts for among those that are looked at in a turn (core/scan.py); one of prose is 1."""
    if len(text) < SHORT:
        return 1
    data = text.encode("utf-8", "replace")
    unusual, usual = len(data.translate(None, _USUAL)), len(data)
    if 4 * unusual > usual:
        return STRANGE
    if text.isascii():
        return 1
    small = usual - len(data.translate(None, _SMALL))
    return STRANGE if 8 * min(small, len(data) - len(text)) > usual else 1

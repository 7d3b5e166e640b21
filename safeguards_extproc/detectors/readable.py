"""Whether bytes are a text that people read: what decoders keep, and what they need not try."""

from __future__ import annotations

import re
import string

# Characters of UTF-8 that begin and go on as they may, the last one cut; or a zero that may be half of UTF-16's, and
# what would be the half before it.
_BEGINS = re.compile(rb"(?s)(?:[\x00-\x7f]|[\xc2-\xf4][\x80-\xbf]{1,3})*+[\xc2-\xf4]?\Z|.?(?:\x00|\Z)").match


_CONTROLS = bytes({*range(0x20), 0x7F} - set(b"\n\r\t"))
_SPOKEN = f"{string.ascii_letters}{string.digits} ".encode()
_ASCII = bytes(range(0x80))


def as_text(data: bytes) -> str | None:
    """`data` as UTF-8 (or UTF-16, where every other byte is zero) if it reads as text: nearly all of it printable,
    most of it letters, digits and spaces."""
    if len(data) < 3:
        return None
    try:
        wide = len(data) > 5 and (not any(data[1:8:2]) or not any(data[0:8:2]))
        text = data.decode(("utf-16-be" if data[0] == 0 else "utf-16-le") if wide else "utf-8")
    except UnicodeDecodeError:
        return None
    # Of ASCII, bytes are taken out and the rest is counted; other characters are looked at one by one.
    data = text.encode()
    others = "" if text.isascii() else data.translate(None, _ASCII).decode()
    ascii_ = len(text) - len(others)
    fine = ascii_ - len(data) + len(data.translate(None, _CONTROLS)) + sum(map(str.isprintable, others))
    plain = len(data) - len(data.translate(None, _SPOKEN)) + sum(map(str.isalnum, others))
    return text if fine * 20 >= len(text) * 19 and plain * 10 >= len(text) * 6 else None


def may_begin(head: bytes) -> bool:
    """Whether `as_text` may read what begins with these bytes: cheaper than to find out at its end."""
    return _BEGINS(head) is not None

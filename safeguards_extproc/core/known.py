"""What the detectors in process said of a window of a request, for the next request that holds it: each turn of a
conversation sends all turns before it again.

The one rule: no text is kept. A window is known by a digest of its text, and what is known of it is what would be found
again, so nothing but the time depends on it.
"""

from __future__ import annotations

from hashlib import blake2b

from safeguards_extproc.core.decision import Findings
from safeguards_extproc.core.text import Kind

MOST = 1 << 15
"""Windows that are known at once: 32 MB of text, in 6 MB."""

FOUND = 16
"""A window in which something was found takes the place of so many others: its findings are its own."""

LEAST = 64
"""Characters of a window; to look at a shorter one costs little more than to look it up."""

MARKED = 16
"""The most marks of a window that is kept."""

_SIZE = 20
"""Bytes of a digest: so many that nobody finds two texts with the same one (RFC 7693)."""


class Known:
    """The windows that were looked at last. Of one policy."""

    __slots__ = ("_found", "_room")

    def __init__(self, most: int = MOST) -> None:
        self._found: dict[bytes, tuple[int, Findings, int]] = {}
        self._room = most

    def __len__(self) -> int:
        return len(self._found)

    def mark(self, kind: Kind, text: str, closing: bool) -> bytes:
        """By which a window is known; b"" if none like it is. `closing`: its text ends with it, so it has no tail."""
        if len(text) < LEAST:
            return b""
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_SIZE)
        digest.update(kind.encode() + (b"\xff." if closing else b"\xff"))
        return digest.digest()

    def find(self, mark: bytes) -> tuple[int, Findings] | None:
        """The window's tail, and what was found in it; None if it is not known."""
        found = self._found.pop(mark, None)
        if found is None:
            return None
        self._found[mark] = found
        return found[0], found[1]

    def keep(self, mark: bytes, tail: int, findings: Findings) -> None:
        """Of the windows that were not seen for longest, some are forgotten."""
        if mark in self._found or len(findings.spans) > MARKED:
            return
        places = FOUND if findings.spans or any(findings.scores.values()) else 1
        while self._room < places:
            if not self._found:
                return
            self._room += self._found.pop(next(iter(self._found)))[2]
        self._room -= places
        self._found[mark] = tail, findings, places

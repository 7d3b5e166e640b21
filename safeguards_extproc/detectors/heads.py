"""Expressions for letters that may stand for the beginning of a text, whatever follows: one pass of an automaton says
that no run of letters in a text is worth decoding.

UTF-8 is told by the first two bits of each byte: 0 is ASCII, 10 continues a character, 11 begins one of two to four
bytes. UTF-16 is told by zeros in every other byte, as `readable.as_text` does.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence

import re2  # type: ignore[import-untyped]

from safeguards_extproc.detectors.expression import Expression

_ASCII, _MORE, _LEAD = {0: 0}, {0: 1, 1: 0}, {0: 1, 1: 1}
_ZERO = dict.fromkeys(range(8), 0)

Bits = dict[int, int]
"""Which bits of a run of bytes are known, the first being the highest of the first byte."""


def head(letters: Sequence[str], count: int) -> Iterator[list[str]]:
    """For each way in which a text may begin, the class of each of the first `count` letters. `letters` gives what
    writes each value, all that do: there are 2, 4, …, 64 of them."""
    written, width = tuple(letters), (len(letters) - 1).bit_length()
    for known in beginnings(count * width // 8):
        yield [_class(written, tuple(map(known.get, range(at, at + width)))) for at in range(0, count * width, width)]


def stretches(may: Expression, letters: bytes, data: bytes) -> Iterator[tuple[int, int]]:
    """The longest stretches of `letters`, in order, in which a match of `may` begins, or right after its beginning."""
    run, right = _run(letters), 0
    while (found := may.span(data, right)[0]) >= 0 and (inside := run.search(data, found)) is not None:
        left = right + len(data[right : inside.start()].rstrip(letters))
        right = inside.end()
        yield left, right


@functools.cache
def _run(letters: bytes) -> re.Pattern[bytes]:
    return re.compile(b"[" + re.escape(letters) + b"]+")


def beginnings(size: int) -> Iterator[Bits]:
    """What is known of the first `size` bytes of a text, each way in which it may begin."""
    for bytes_ in _utf8(size, 0, 0):
        yield {8 * place + bit: value for place, byte in enumerate(bytes_) for bit, value in byte.items()}
    for first in (0, 1):
        yield {8 * place + bit: 0 for place in range(first, min(size, 6), 2) for bit in _ZERO}


def _utf8(left: int, least: int, most: int) -> Iterator[list[Bits]]:
    """So many bytes, of which at least and at most so many continue a character."""
    if not left:
        yield []
        return
    if most:
        yield from ([_MORE, *rest] for rest in _utf8(left - 1, max(least - 1, 0), most - 1))
    if not least:
        yield from ([_ASCII, *rest] for rest in _utf8(left - 1, 0, 0))
        yield from ([_LEAD, *rest] for rest in _utf8(left - 1, 1, 3))


@functools.cache
def _class(letters: tuple[str, ...], bits: tuple[int | None, ...]) -> str:
    """The letters whose values have these bits, the highest first."""
    width = len(bits)
    fine = [
        written
        for value, written in enumerate(letters)
        if all(bit is None or value >> (width - 1 - place) & 1 == bit for place, bit in enumerate(bits))
    ]
    return f"[{re2.escape(''.join(fine))}]"

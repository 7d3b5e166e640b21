"""Text to hashed n-grams, for whoever runs this version of the model: training, Triton's model.py, the embedded scorer.

It stands beside the weights, not in the service, because the two are one thing: other weights come with their own
featuriser, and whoever loads a version folder loads both (`importlib` from this file's path). Hence the one rule:
numpy and the standard library only.

A text is bytes. ASCII is lower-cased, control characters become white space, runs of white space become one space.
What is left is cut into pieces of at most `PIECE` bytes that overlap by `OVERLAP`, so that texts of any length are read
to their end and nothing in a long text is diluted: a text scores the maximum over its pieces. A piece is cut into
blocks of `BLOCK` bytes; every n-gram belongs to the block where it begins.

N-grams: every 3, 4 and 5 bytes, every word, every two neighbouring words. A word is a run of ASCII letters and digits
or of bytes from 128 on. Each n-gram is hashed to one of `ROWS` rows of the table; row `ROWS` stands for "none".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BITS = 17
ROWS = 1 << BITS
NONE = ROWS
BLOCK = 64
PIECE = 24 * BLOCK
OVERLAP = 4 * BLOCK
SIZES = (3, 4, 5)
PER_BLOCK = BLOCK * len(SIZES)

_TAIL = SIZES[-1] - 1  # this many NULs after a piece keep n-grams from reaching into the next one
_LONGEST_WORD = 32  # bytes further on in a word share one multiplier
_FOLD = bytes(32 if code < 33 or code == 127 else code + 32 if 65 <= code <= 90 else code for code in range(256))
_IN_WORD = np.array([code >= 128 or chr(code).isalnum() for code in range(256)])
_SHIFT = np.uint32(32 - BITS)
_BYTE = tuple(np.uint32(odd) for odd in (0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35, 0x27D4EB2F, 0x165667B1))
_SIZE = tuple(np.uint32(odd) for odd in (0xCC9E2D51, 0x1B873593, 0xE6546B65))
_WORD, _PAIR, _FIRST = np.uint32(0x2C1B3C6D), np.uint32(0x297A2D39), np.uint32(0x0FD7046D)
_PLACE = np.array([pow(0x01000193, place + 1, 1 << 32) for place in range(_LONGEST_WORD)], dtype=np.uint32)


@dataclass(frozen=True, slots=True)
class Features:
    """N-grams of a batch of texts, by block. B blocks, P pieces, T texts, W words.

    `grams` [B, PER_BLOCK] and `words` [W, 2] (the word, and it with the next one) hold row numbers, `NONE` where there
    is no such n-gram. Words of block b are words[word_starts[b] : word_starts[b + 1]]. Blocks of piece p are
    piece_starts[p] to piece_starts[p + 1]; pieces of text t are text_starts[t] to text_starts[t + 1].
    `counts` [B] is the number of n-grams in each block.
    """

    grams: NDArray[np.int64]
    words: NDArray[np.int64]
    word_starts: NDArray[np.int64]
    piece_starts: NDArray[np.int64]
    text_starts: NDArray[np.int64]
    counts: NDArray[np.float32]


def normalise(text: bytes) -> bytes:
    """The bytes that are read: folded, with one space between words and at both ends."""
    return b" " + b" ".join(text.translate(_FOLD).split()) + b" "


def featurise(texts: Sequence[bytes]) -> Features:
    """N-grams of `texts`, at least one text."""
    pieces, text_starts, piece_starts = _pieces(texts)
    buffer = np.frombuffer(b"".join(pieces) + bytes(_TAIL), dtype=np.uint8)
    blocks = (len(buffer) - _TAIL) // BLOCK
    grams = _grams(buffer).reshape(blocks, PER_BLOCK)
    words, places = _words(buffer[:-_TAIL], piece_starts)
    word_starts = np.searchsorted(places, np.arange(blocks + 1) * BLOCK)
    in_grams = np.count_nonzero(grams != NONE, axis=1)
    pairs = np.concatenate(([0], np.cumsum(np.count_nonzero(words != NONE, axis=1))))
    counts = (in_grams + pairs[word_starts[1:]] - pairs[word_starts[:-1]]).astype(np.float32)
    return Features(grams, words, word_starts, piece_starts, text_starts, counts)


def _pieces(texts: Sequence[bytes]) -> tuple[list[bytes], NDArray[np.int64], NDArray[np.int64]]:
    pieces: list[bytes] = []
    text_starts, piece_starts = [0], [0]
    for text in texts:
        folded = normalise(text)
        for start in range(0, max(1, len(folded) - OVERLAP), PIECE - OVERLAP):
            piece = folded[start : start + PIECE]
            blocks = -(-(len(piece) + _TAIL) // BLOCK)
            pieces.append(piece.ljust(blocks * BLOCK, b"\0"))
            piece_starts.append(piece_starts[-1] + blocks)
        text_starts.append(len(pieces))
    return pieces, np.array(text_starts), np.array(piece_starts)


def _grams(buffer: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Row numbers [places, sizes]. NULs stand only between pieces, as many as the longest n-gram has bytes after its
    first: an n-gram whose two ends are text lies in one piece."""
    wide = buffer.astype(np.uint32)
    places = len(buffer) - _TAIL
    rows = np.empty((places, len(SIZES)), dtype=np.int64)
    first = wide[:places]
    total = first * _BYTE[0]
    for offset in range(1, SIZES[-1]):
        last = wide[offset : places + offset]
        total += last * _BYTE[offset]
        if offset + 1 in SIZES:
            column = offset + 1 - SIZES[0]
            rows[:, column] = np.where(first * last != 0, _row(total, _SIZE[column]), NONE)
    return rows


def _words(buffer: NDArray[np.uint8], piece_starts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers [words, 2], and the place where each word begins."""
    inside = _IN_WORD[buffer]
    begins = inside.copy()
    begins[1:] &= ~inside[:-1]
    places = np.flatnonzero(begins)
    rows = np.full((len(places), 2), NONE, dtype=np.int64)
    if not len(places):
        return rows, places
    index = np.arange(len(buffer))
    within = index - np.maximum.accumulate(np.where(begins, index, 0))
    marked = np.where(inside, buffer, 0).astype(np.uint32) * _PLACE[np.minimum(within, _LONGEST_WORD - 1)]
    total = np.add.reduceat(marked, places, dtype=np.uint32)
    rows[:, 0] = _row(total, _WORD)
    piece = np.searchsorted(piece_starts * BLOCK, places, side="right")
    joined = _row(total[:-1] * _FIRST + total[1:], _PAIR)
    rows[:-1, 1] = np.where(piece[:-1] == piece[1:], joined, NONE)
    return rows, places


def _row(total: NDArray[np.uint32], odd: np.uint32) -> NDArray[np.uint32]:
    """The upper bits of a multiplicative hash: spread over all rows."""
    mixed: NDArray[np.uint32] = ((total ^ (total >> np.uint32(15))) * odd) >> _SHIFT
    return mixed

"""Content-encodings (RFC 9110 8.4) undone with bounds: no more is ever held than the limit and one piece a layer.

A body that does not decode exactly as its header says, to the last byte, is a MalformedBody("content-encoding").
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import brotli  # type: ignore[import-untyped]
import zstandard

from safeguards_extproc.errors import LimitExceeded, MalformedBody

PIECE = 65_536
"""Most bytes that gzip, deflate and brotli put out at a time."""

SLICE = 16_384
"""Most compressed bytes that a layer is given at a time: the rest of a slice is copied for each piece and member."""

MEMBERS = 4096
"""Most gzip members or zstd frames in a body: each costs a new decoder, and an empty one is but a few bytes long."""

ZSTD_SLICE = 32
"""Compressed bytes zstandard gets at a time: its API cannot bound output, but a block of 4 bytes or more makes at most
128 KiB (RFC 8878 3.1.1.2.4), so that a slice makes at most 1 MiB."""

ZSTD_WINDOW = 8 << 20
"""The largest window of the zstd content-encoding (RFC 9659)."""

RATIO, RATIO_FLOOR = 200, 1 << 20
"""Beyond the floor, in bytes, decoded data may be at most so many times as long as what came in."""

LAYERS = 3
"""Most encodings, one over another."""


class Decoder:
    """A `core.text.Decoder` for the value of a content-encoding header; at most `limit` bytes come out.

    Raises MalformedBody("content-encoding"), for unknown encodings at once; LimitExceeded("decoded_bytes") or
    LimitExceeded("compression_ratio").
    """

    __slots__ = ("_in", "_layers", "_limit", "_out")

    def __init__(self, encoding: str, limit: int) -> None:
        self._layers = [_LAYERS[name]() for name in reversed(parse(encoding))]
        self._limit, self._in, self._out = limit, 0, 0

    def push(self, data: bytes) -> bytes:
        self._in += len(data)
        slices = (data[start : start + SLICE] for start in range(0, len(data), SLICE))
        return self._bounded(piece for part in slices for piece in _through(self._layers, part))

    def finish(self) -> bytes:
        """The rest; nothing at all is a body too, whatever its header says."""
        if self._in and not all(layer.complete() for layer in self._layers):
            raise MalformedBody("content-encoding")
        return b""

    def _bounded(self, pieces: Iterable[bytes]) -> bytes:
        held = []
        try:
            for piece in pieces:
                self._out += len(piece)
                if self._out > self._limit:
                    raise LimitExceeded("decoded_bytes")
                if self._out > RATIO_FLOOR and self._out > RATIO * self._in and self._layers:
                    raise LimitExceeded("compression_ratio")
                held.append(piece)
        except (zlib.error, brotli.error, zstandard.ZstdError):
            raise MalformedBody("content-encoding") from None
        return b"".join(held)


def parse(encoding: str) -> list[str]:
    """The encodings that a header names, in the order in which they were applied, without "identity"."""
    names = [name.strip().lower() for name in encoding.split(",")]
    names = [name for name in names if name not in ("", "identity")]
    if len(names) > LAYERS or any(name not in _LAYERS for name in names):
        raise MalformedBody("content-encoding")
    return names


class _Layer(Protocol):
    """One encoding: `push` yields what the data makes, piece by piece; `complete` is whether it may end here."""

    def push(self, data: bytes) -> Iterator[bytes]: ...

    def complete(self) -> bool: ...


class _Inflate:
    """gzip members one after another, or one deflate stream, with or without its zlib header (RFC 9110 8.4.1.2)."""

    __slots__ = ("_decoder", "_gzip", "_head", "_members")

    def __init__(self, gzip: bool) -> None:
        self._gzip = gzip
        self._head = b""
        self._members = 1
        self._decoder = zlib.decompressobj(31) if gzip else None

    def push(self, data: bytes) -> Iterator[bytes]:
        data = self._head + data
        self._head = b""
        while data:
            if self._decoder is None:
                if len(data) < 2:
                    self._head = data
                    return
                self._decoder = zlib.decompressobj(15 if _zlib_header(data) else -15)
            elif self._decoder.eof:
                self._members += 1
                if not self._gzip or self._members > MEMBERS:
                    raise MalformedBody("content-encoding")
                self._decoder = zlib.decompressobj(31)
            decoder = self._decoder
            while True:
                piece = decoder.decompress(data, PIECE)
                data = decoder.unconsumed_tail
                if piece:
                    yield piece
                if decoder.eof or (not data and len(piece) < PIECE):
                    break
            data = decoder.unused_data

    def complete(self) -> bool:
        return not self._head and self._decoder is not None and self._decoder.eof


class _Brotli:
    """One brotli stream (RFC 7932)."""

    __slots__ = ("_decoder",)

    def __init__(self) -> None:
        self._decoder = brotli.Decompressor()

    def push(self, data: bytes) -> Iterator[bytes]:
        while True:
            piece = self._decoder.process(data, output_buffer_limit=PIECE)
            data = b""
            if piece:
                yield piece
            if self._decoder.is_finished():
                return
            if len(piece) < PIECE and self._decoder.can_accept_more_data():
                return

    def complete(self) -> bool:
        return bool(self._decoder.is_finished())


class _Zstd:
    """zstd frames, one after another (RFC 8878)."""

    __slots__ = ("_decoder", "_fed", "_members")

    def __init__(self) -> None:
        self._decoder, self._fed, self._members = _zstd(), False, 1

    def push(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), ZSTD_SLICE):
            rest = data[start : start + ZSTD_SLICE]
            while rest:
                if self._decoder.eof:
                    self._members += 1
                    if self._members > MEMBERS:
                        raise MalformedBody("content-encoding")
                    self._decoder, self._fed = _zstd(), False
                piece, self._fed = self._decoder.decompress(rest), True
                rest = self._decoder.unused_data if self._decoder.eof else b""
                if piece:
                    yield piece

    def complete(self) -> bool:
        return self._fed and self._decoder.eof


def _zstd() -> zstandard.ZstdDecompressionObj:
    return zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW).decompressobj()


def _zlib_header(data: bytes) -> bool:
    return data[0] & 15 == 8 and (data[0] << 8 | data[1]) % 31 == 0


def _through(layers: list[_Layer], data: bytes) -> Iterator[bytes]:
    if not layers:
        yield data
        return
    for piece in layers[0].push(data):
        yield from _through(layers[1:], piece)


_LAYERS: dict[str, Callable[[], _Layer]] = {
    "gzip": lambda: _Inflate(gzip=True),
    "x-gzip": lambda: _Inflate(gzip=True),
    "deflate": lambda: _Inflate(gzip=False),
    "br": _Brotli,
    "zstd": _Zstd,
}

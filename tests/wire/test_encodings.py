"""Compressed bodies decode within bounds, to the last byte, or are refused."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.errors import LimitExceeded, MalformedBody
from safeguards_extproc.wire.encodings import MEMBERS, PIECE, RATIO_FLOOR, Decoder, parse

TEXT = b'{"messages":[{"role":"user","content":"hello, hello"}]}' * 50


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def deflate(data: bytes) -> bytes:
    return zlib.compress(data)


def pack_brotli(data: bytes) -> bytes:
    packed: bytes = brotli.compress(data, quality=4)
    return packed


ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": deflate,
    "br": pack_brotli,
    "zstd": zstd,
}
every_encoding = pytest.mark.parametrize("name", ENCODERS)


def decode(encoding: str, data: bytes, *, chunk: int = 1 << 30, limit: int = 1 << 24) -> bytes:
    decoder = Decoder(encoding, limit)
    return b"".join(decoder.push(data[at : at + chunk]) for at in range(0, len(data), chunk)) + decoder.finish()


@every_encoding
@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_each_encoding_decodes_however_it_is_cut(name: str, chunk: int) -> None:
    """Evasions 1 to 4 and law 1: the plain bytes come out, from chunks of any size."""
    assert decode(name, ENCODERS[name](TEXT), chunk=chunk) == TEXT


@settings(max_examples=40, deadline=None)
@given(
    data=st.binary(max_size=400),
    names=st.lists(st.sampled_from(["gzip", "deflate", "br", "zstd", "identity"]), max_size=3),
    chunk=st.integers(1, 64),
)
def test_stacked_encodings_decode_in_reverse_order(data: bytes, names: list[str], chunk: int) -> None:
    """Evasion 5: up to three layers, the last named one outermost."""
    packed = data
    for name in names:
        packed = packed if name == "identity" else ENCODERS[name](packed)
    assert decode(", ".join(names), packed, chunk=chunk) == data


def test_deflate_is_read_with_or_without_its_header() -> None:
    """Evasion 4: what is called deflate is raw deflate on many servers."""
    assert decode("deflate", raw_deflate(TEXT)) == TEXT
    assert decode("deflate", raw_deflate(TEXT), chunk=1) == TEXT


@pytest.mark.parametrize(("name", "chunk"), [("gzip", 1), ("gzip", 1000), ("zstd", 1), ("zstd", 1000)])
def test_all_members_are_read(name: str, chunk: int) -> None:
    """A payload in the second gzip member, or zstd frame, is no less part of the body."""
    packed = ENCODERS[name](b"harmless ") + ENCODERS[name](b"payload") + ENCODERS[name](b"")
    assert decode(name, packed, chunk=chunk) == b"harmless payload"


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_a_flood_of_empty_members_is_refused(name: str) -> None:
    """Megabytes of members that say nothing cost a decoder each; their number is bounded."""
    with pytest.raises(MalformedBody, match="content-encoding"):
        decode(name, ENCODERS[name](b"") * (MEMBERS + 1))
    assert decode(name, ENCODERS[name](b"x") * 100) == b"x" * 100


@every_encoding
def test_plain_data_under_a_header_is_refused(name: str) -> None:
    """Evasion 6: the header says compressed, the body is plain."""
    with pytest.raises(MalformedBody, match="content-encoding"):
        decode(name, TEXT)


@every_encoding
@pytest.mark.parametrize("change", ["cut", "cut-early", "trailing"])
def test_cut_or_followed_data_is_refused(name: str, change: str) -> None:
    """Two decoders could disagree on it."""
    packed = ENCODERS[name](TEXT)
    packed = {"cut": packed[:-1], "cut-early": packed[:3], "trailing": packed + b"\x01trailing"}[change]
    with pytest.raises(MalformedBody, match="content-encoding"):
        decode(name, packed)


@pytest.mark.parametrize("encoding", ["compress", "gzip, lzma", "gzip gzip", "aes128gcm", "gzip;q=1", "gzip," * 4])
def test_unknown_or_too_many_encodings_are_refused_at_once(encoding: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(MalformedBody, match="content-encoding"):
        Decoder(encoding, 1 << 20)


@pytest.mark.parametrize(
    ("encoding", "names"), [("", []), ("identity", []), (" GZIP ,identity, Br", ["gzip", "br"]), ("x-gzip", ["x-gzip"])]
)
def test_headers_are_read_as_lists(encoding: str, names: list[str]) -> None:
    """Case, spaces and identity do not matter."""
    assert parse(encoding) == names


def test_an_empty_body_is_empty_whatever_its_header_says() -> None:
    """A 204 or a HEAD answer may name an encoding."""
    assert decode("gzip, br", b"") == b""


@every_encoding
def test_the_limit_holds_without_making_what_is_beyond_it(name: str) -> None:
    """Evasion 7: of 20 MB in a few bytes, no more is made than the limit and a piece."""
    bomb, limit = ENCODERS[name](bytes(20_000_000)), 500_000
    tracemalloc.start()
    with pytest.raises(LimitExceeded):
        decode(name, bomb, limit=limit)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < limit * 2 + (4 << 20)


@every_encoding
def test_the_ratio_holds_where_the_limit_is_far(name: str) -> None:
    """A stream has no limit of its own, yet a bomb in it ends early."""
    with pytest.raises(LimitExceeded, match="compression_ratio"):
        decode(name, ENCODERS[name](bytes(20_000_000)), limit=1 << 62)


def test_nested_bombs_are_bounded_too() -> None:
    """Each layer hands on pieces, so the inner bomb is not made whole for the outer one."""
    bomb = gzip.compress(pack_brotli(bytes(30_000_000)))
    with pytest.raises(LimitExceeded):
        decode("br, gzip", bomb, limit=1 << 20)


def test_identity_has_a_limit_but_no_ratio() -> None:
    """Plain data is as long as it is."""
    big = bytes(2 * RATIO_FLOOR)
    assert decode("identity", big) == big
    with pytest.raises(LimitExceeded, match="decoded_bytes"):
        decode("", b"xx", limit=1)


@pytest.mark.parametrize("size", [PIECE - 1, PIECE, PIECE + 1, 4 * PIECE])
@every_encoding
def test_pieces_lose_nothing_at_their_borders(name: str, size: int) -> None:
    """Output that just fills a piece does not leave a rest behind."""
    data = bytes(range(256)) * (size // 256 + 1)
    assert decode(name, ENCODERS[name](data[:size])) == data[:size]

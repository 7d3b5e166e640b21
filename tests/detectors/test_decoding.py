"""Decoders: each reads its own encoding where it stands and leaves alone what only looks like it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import re2  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.detectors import decoding
from safeguards_extproc.detectors.decoding import DECODERS

READS: list[tuple[Callable[[str], str], str, str]] = [
    (decoding.percent, "a%20b %68%C3%A9", "a b hé"),
    (decoding.entities, "&lt;&#104;&#x68&amp;", "<hh&"),
    (decoding.escapes, r"\u0068\x68\150 \ud83d\ude00 \u{68} \U00000068 \xc3\xa9", "hhh 😀 h h é"),
    (decoding.escapes, r'{"a":"x\ny\"\/"}', '{"a":"x y"/"}'),
    (decoding.quoted_printable, "=68=6F=77 to=\n do", "how to do"),
    (decoding.hexadecimal, "x 68656c6c6f; 0x68 0x69 0x20 0x79", "x hello; hi y"),
    (decoding.binary, "01101000 01101001 00100001", "hi!"),
    (decoding.binary, "011010000110100100100001", "hi!"),
    (decoding.decimal, "104, 105, 32, 121, 111", "hi yo"),
    (decoding.ascii85, "a <~BOu!rDZ~> b", "a hello b"),
    (decoding.encoded_words, "=?utf-8?q?h=6Fw_to?=\n =?UTF-8?Q?_d=C3=B6?= it", "how to dö it"),
    (decoding.concatenated, "'ho' + 'w' + \"to\"+\"day\"", "'how' + \"today\""),
    (decoding.uuencoded, "begin 644 x\n%:&5L;&\\\n`\nend", "hello"),
    (decoding.morse, ".... --- .-- / - ---", "how to"),
    (decoding.braille, "⠓⠕⠺⠀⠞⠕", "how to"),
    (decoding.spelt, "hotel oscar whiskey / tango oscar", "how to"),
    (decoding.hexadecimal, "68-65-6c-6c-6f", "hello"),
    (decoding.spelt, "say hotel oscar whiskey x-ray now", "say howx now"),
]

LEAVES: list[tuple[Callable[[str], str], str]] = [
    (decoding.percent, "100%ff 5% of 20%"),
    (decoding.entities, "AT&T; R&D &unknownthing;"),
    (decoding.escapes, r"\theta \nabla C:\temp \x \u12 \U99999999 \u{110000}"),
    (decoding.quoted_printable, "a=10 b=20"),
    (decoding.hexadecimal, "deadbeefcafebabe 2024 12 31 10:20:30:40 45 67 52 41 70 71"),
    (decoding.binary, "1010 10000000 11111111 00000001"),
    (decoding.decimal, "10 20 30 40 50 60, 45 67 72 81 70 71 69"),
    (decoding.ascii85, "<~~> a <~ b ~>"),
    (decoding.encoded_words, "=?x=?q?a?= what?q?"),
    (decoding.concatenated, "a + b, 'x' + y, \"a\" + 'b'"),
    (decoding.hexadecimal, "550e8400-e29b-41d4-a716-446655440000 20-24-12-31"),
    (decoding.uuencoded, "begin 644 x\nno such\nend"),
    (decoding.morse, "... --- ... wait ... - - - - -"),
    (decoding.spelt, "golf hotel tango"),
]


@pytest.mark.parametrize(("decoder", "text", "expected"), READS, ids=lambda value: getattr(value, "__name__", ""))
def test_what_is_read(decoder: Callable[[str], str], text: str, expected: str) -> None:
    """In place, with the text around it."""
    assert expected == decoder(text)


@pytest.mark.parametrize(("decoder", "text"), LEAVES, ids=lambda value: getattr(value, "__name__", ""))
def test_what_is_left(decoder: Callable[[str], str], text: str) -> None:
    """Not everything that could be decoded says something."""
    assert text == decoder(text)


@pytest.mark.parametrize(("decoder", "text", "expected"), READS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_trigger_sees_what_its_decoder_reads(decoder: Callable[[str], str], text: str, expected: str) -> None:
    """Without the trigger the decoder would not be asked."""
    triggers = [trigger for trigger, found in DECODERS if found is decoder]
    assert any(re2.search(trigger, text) for trigger in triggers)


@pytest.mark.parametrize("decoder", [decoder for _, decoder in DECODERS], ids=lambda decoder: decoder.__name__)
@given(text=st.text(r"%=\&#;xu0123456789abcdefABCDEF{}<~>.-/ " + "\né⠓", max_size=60))
@settings(max_examples=60, deadline=None)
def test_total_and_not_much_longer(decoder: Callable[[str], str], text: str) -> None:
    """Any text, well-formed or not."""
    assert len(decoder(text)) <= 2 * len(text) + 16

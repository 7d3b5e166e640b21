"""Bytes written in letters: base64 and its URL form, base32, base85. A run is read only if what it stands for is text.

Programs and data are full of runs that could be one of these, so most are told from their first letters.
"""

from __future__ import annotations

import base64
import binascii
import re
import string
from collections.abc import Callable, Iterator, Sequence

import re2  # type: ignore[import-untyped]

from safeguards_extproc.detectors.expression import Expression
from safeguards_extproc.detectors.heads import head, stretches
from safeguards_extproc.detectors.readable import as_text, may_begin

_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{11,}(?:\r?\n[A-Za-z0-9+/]{4,})*={0,6}")
_LETTERS = "[A-Za-z0-9+/_-]"
_VALUES = [*string.ascii_uppercase, *string.ascii_lowercase, *string.digits, "+-", "/_"]
_SHORTEST = 11


def _heads(values: Sequence[str]) -> str:
    return "|".join(map("".join, head(values, _SHORTEST)))


def _amid_heads() -> str:
    """Four letters each, for three bytes of UTF-8 without most controls: five times that, as `_amid` wants them.

    Told by the letter that holds their highest bits, bytes are ASCII, continue a character or begin one. What follows
    what is seen within three bytes and not between them: so an automaton has few states.
    """

    def letters(fine: Callable[[int], bool]) -> str:
        return "".join(written for value, written in enumerate(_VALUES) if fine(value))

    first = letters(lambda v: v in (2, 3) or 8 <= v < 32), letters(lambda v: 32 <= v < 48), letters(lambda v: v >= 48)
    second = (
        letters(lambda v: v & 15 in (0, 2, 3, 4, 5, 6, 7)),
        letters(lambda v: 8 <= v & 15 < 12),
        letters(lambda v: v & 15 >= 12),
    )
    third = letters(lambda v: v & 3 < 2), letters(lambda v: v & 3 == 2), letters(lambda v: v & 3 == 3)
    (a, b, c), (d, e, f), (g, h, i) = ((re2.escape(one) for one in row) for row in (first, second, third))
    plain, lead = rf"[{a}](?:[{d}][{g}{i}]|[{f}][{h}])", rf"[{c}][{e}]{_LETTERS}"
    more = rf"[{b}](?:[{d}][{g}{i}]|[{e}]{_LETTERS}|[{f}][{h}])"
    return rf"{_LETTERS}{{0,3}}(?:{plain}|{lead}){_LETTERS}(?:(?:{plain}|{lead}|{more}){_LETTERS}){{4}}"


_LINE = Expression(rf"^(?:{_heads(_VALUES)}|{_amid_heads()})")
"""How a line begins that stands for text, if it has as many letters as the shortest run."""

_MAY_READ = Expression(
    rf"(?:^|[^A-Za-z0-9+/_-])(?:{_heads(_VALUES)}|{_amid_heads()}"
    + "".join(
        rf"|(?:{_heads([*letters, *'234567'])})[{letters}2-7]*(?:$|[^A-Za-z0-9+/_-])"
        for letters in (string.ascii_uppercase, string.ascii_lowercase)
    )
    # Lines that are read together, where the first or the last is short, or that end as those of DOS.
    + rf"|{_LETTERS}{{11,23}}\r?\n[A-Za-z0-9+/]{{4}}"
    # A line of the URL's alphabet ends a run of several lines amid its letters, and the next run begins there.
    rf")|{_LETTERS}(?:\r\n[A-Za-z0-9+/]{{4}}|\n[A-Za-z0-9+/]{{4,10}}(?:$|[^A-Za-z0-9+/])|\n[A-Za-z0-9+/]{{4,}}[_-])"
)
"""Without a match no run stands for text."""

_STRETCH = string.ascii_letters.encode() + string.digits.encode() + b"+/-_\r\n"
_NO_SIGN = bytes({*range(256)} - {*range(0x21, 0x7F)})
_PADDING = 6
_AMID = 24
"""Letters at least that must stand for text, where not all of a run does; a letter cut at their end may lack."""

_HEAD = 8
"""Letters that stand for six bytes in base64, for five in base32."""

_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_BASE32 = re.compile(b"[A-Z2-7]+|[a-z2-7]+").fullmatch
_TO_BASE32 = bytes.maketrans(b"abcdefghijklmnopqrstuvwxyz234567", b"0123456789abcdefghijklmnopqrstuv")
_STANDARD = bytes.maketrans(b"-_", b"+/")
_ZEROS, _NO_DIGIT = 85, 86
"""Ascii85's sign for four zeros, and any other that stands for nothing."""


def _digits85(signs: str) -> bytes:
    """For bytes.translate: what each sign of an alphabet stands for."""
    found = {sign: value for value, sign in enumerate(signs)}
    return bytes(found.get(chr(code), _ZEROS if code == ord("z") else _NO_DIGIT) for code in range(256))


_RFC1924 = string.digits + string.ascii_uppercase + string.ascii_lowercase + "!#$%&()*+-;<=>?@^_`{|}~"
_ALPHABETS85 = (
    (_digits85(_RFC1924), base64.b85decode),
    (_digits85("".join(map(chr, range(33, 118)))), base64.a85decode),
)
_BASE85 = re.compile(r"(?<!\S)[!-u]{20,}(?!\S)|(?<!\S)[!#-&(-+;-Z^-~0-9-]{20,}(?!\S)")


def _heads85(digits: bytes) -> Iterator[str]:
    """Two signs with which the first two bytes can begin a text."""
    signs = [code for code in range(0x21, 0x7F) if digits[code] < 85]
    for first in signs:
        least = [(digits[first] * 85 + digits[second]) * 85**3 for second in signs]
        fine = [
            sign
            for sign, low in zip(signs, least, strict=True)
            if any(
                may_begin(value.to_bytes(2)) for value in range(low >> 16, min((low + 85**3 - 1 >> 16) + 1, 1 << 16))
            )
        ]
        if fine:
            yield re2.escape(chr(first)) + f"[{re2.escape(''.join(map(chr, fine)))}]"


_HEADS85 = "|".join(_heads85(_ALPHABETS85[1][0])), "|".join(_heads85(_ALPHABETS85[0][0]))
_WORD85 = Expression(
    rf"(?:^|[^!-~])(?:(?:{_HEADS85[0]}|z[!-uz]|[!-u]z)[!-uz]{{18,}}|(?:{_HEADS85[1]})[!#-&(-+;-Z^-~0-9-]{{18,}})(?:$|[^!-~])"
)
_SURE = 20
"""Signs of which each word that is looked at has as many: they stand for sixteen bytes."""


def base_n(text: str) -> str:
    """Base64, its URL form, and base32"""
    data = text.encode("utf-8", "surrogatepass")
    pieces: list[str] = []
    done = 0
    for left, right in stretches(_MAY_READ, _STRETCH, data):
        for found in _BASE64.finditer(data, left, min(right + _PADDING, len(data))):
            start, end = found.span()
            if start < right and (decoded := _based(data[start:end])) is not None:
                pieces += (data[done:start].decode("utf-8", "surrogatepass"), decoded)
                done = end
    return "".join((*pieces, data[done:].decode("utf-8", "surrogatepass"))) if pieces else text


def _based(run: bytes) -> str | None:
    """What a run stands for, None if it is not text."""
    lines = run.split()
    body = b"".join(lines).rstrip(b"=")
    if _BASE32(body) and len(body) % 8 not in (1, 3, 6) and may_begin(_bytes32(body[:_HEAD])):
        decoded = as_text(_bytes32(body))
        if decoded is not None:
            return decoded
    decoded = _line(body)
    if decoded is not None or len(lines) < 2:
        return decoded
    return "\n".join(line.decode() if (known := _line(line)) is None else known for line in lines)


def _line(body: bytes) -> str | None:
    letters = body.rstrip(b"=")
    if len(letters) >= _SHORTEST and not _LINE.matches(letters):
        return None
    letters = letters.translate(_STANDARD)
    decoded = as_text(_bytes64(letters)) if may_begin(_bytes64(letters[:_HEAD])) else None
    return _amid(body, letters) if decoded is None else decoded


def _amid(body: bytes, letters: bytes) -> str | None:
    """Base64 with other letters right before or behind it: from one of four places on, it begins as text does."""
    for start in range(4 if len(body) >= _AMID else 0):
        if not may_begin(binascii.a2b_base64(letters[start : start + _HEAD])):
            continue
        if _text_end(_bytes64(letters[start : start + _AMID])) >= _AMID * 3 // 4 - 3:
            data = _bytes64(letters[start:])
            end = _text_end(data)
            decoded = as_text(data[:end])
            if decoded is not None:
                return f"{body[:start].decode()} {decoded} {body[start + (end + 2) // 3 * 4 :].decode()}"
    return None


def _text_end(data: bytes) -> int:
    """How many bytes at the beginning are UTF-8 without controls."""
    end = len(data)
    try:
        data.decode()
    except UnicodeDecodeError as error:
        end = error.start
    control = _CONTROL.search(data, 0, end)
    return end if control is None else control.start()


def _bytes64(letters: bytes) -> bytes:
    """What groups of letters stand for, the last one short or not; a letter alone stands for nothing."""
    short = len(letters) % 4
    return binascii.a2b_base64(letters[:-1] if short == 1 else letters + b"=" * (-short % 4))


def _bytes32(body: bytes) -> bytes:
    bits = 5 * len(body)
    return (int(body.lower().translate(_TO_BASE32), 32) >> bits % 8).to_bytes(bits // 8)


def base85(text: str) -> str:
    """Ascii85 without its frame, and the alphabet of RFC 1924"""
    data = text.encode("utf-8", "surrogatepass")
    start, end = _WORD85.span(data)
    while start >= 0:
        if _may_be_85(data[start:end].strip(_NO_SIGN)):
            return _BASE85.sub(lambda run: _unbased85(run[0]) or run[0], text)
        start, end = _WORD85.span(data, end - 1)
    return text


def _may_be_85(word: bytes) -> bool:
    head = word[:_SURE]
    return any(_may_read(head.translate(digits)) for digits, _ in _ALPHABETS85)


def _unbased85(word: str) -> str | None:
    for digits, decode in _ALPHABETS85:
        if _may_read(word[:_SURE].encode().translate(digits)):
            try:
                if found := as_text(decode(word)):
                    return found
            except ValueError:
                continue
    return None


def _may_read(digits: bytes) -> bool:
    """Whether the first bytes can begin a text: the decoders are slow, and few words of a program get so far. Five
    digits at a time, up to the first that is none."""
    head = b""
    for at in range(0, _SURE, 5):
        group = digits[at : at + 5]
        if max(group) >= _ZEROS:
            return next(digit for digit in group if digit >= _ZEROS) == _ZEROS
        first, second, third, fourth, fifth = group
        value = (((first * 85 + second) * 85 + third) * 85 + fourth) * 85 + fifth
        if value >> 32:
            return False
        head += value.to_bytes(4)
        if not may_begin(head):
            return False
    return True

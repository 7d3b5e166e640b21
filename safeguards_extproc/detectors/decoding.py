"""Encodings, read where they stand: each decoder rewrites the parts of a text that are encoded and leaves the rest.

A row of DECODERS is (what must be in the text, the decoder). A part is replaced only if what it decodes to is text.
Decoders are total and linear; none makes a text much longer.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
import string
from collections.abc import Callable, Iterator

from safeguards_extproc.detectors.based import base85, base_n
from safeguards_extproc.detectors.english import english
from safeguards_extproc.detectors.expression import Expression
from safeguards_extproc.detectors.heads import head, stretches
from safeguards_extproc.detectors.readable import as_text

# Written so that the first sign is a literal, which is looked for much faster.
_PERCENT = re.compile(r"%[0-9A-Fa-f]{2}(?:%[0-9A-Fa-f]{2})*")
_ENTITY = re.compile(r"&(?:#[0-9]{1,7};?|#[xX][0-9A-Fa-f]{1,6};?|[A-Za-z][A-Za-z0-9]{1,31};)")
_ESCAPES = re.compile(
    r"\\(?:x[0-9A-Fa-f]{2}(?:\\x[0-9A-Fa-f]{2})*|u[0-9A-Fa-f]{4}(?:\\u[0-9A-Fa-f]{4})*|u\{[0-9A-Fa-f]{1,6}\}"
    r"|U[0-9A-Fa-f]{8}|[0-7]{3}(?:\\[0-7]{3})*)"
)
_JSON_ESCAPES = re.compile(r"\\[nrt\"/\\]")
_QUOTED = re.compile(r"=(?:[0-9A-F]{2}|\r?\n)")
_HEX = re.compile(rb"(?<![0-9A-Za-z])(?:(?:0[xX]|\\x)?[0-9A-Fa-f]{2}[ :,-]{0,2}){4,}(?![0-9A-Za-z])")
_HEX_STRETCH = string.hexdigits.encode() + b"xX\\ :,-"
_NO_DIGIT = re.compile(rb"0[xX]|\\x|[^0-9A-Fa-f]")
_PAIR = "[ :,-]{0,2}"
_LATER = rf"(?:[0-9]{{2}}{_PAIR})*(?:[0-9]?[A-Fa-f]|(?:[0-9]{{2}}{_PAIR}){{8}})"


def _hex_heads() -> Iterator[str]:
    """How four pairs begin that may be text. Figures alone may be a number or a date, so there is a letter somewhere,
    or there are twelve pairs: a way for each of the eight places where the first letter may be."""
    figures, letters = [*string.digits, *[""] * 6], [*[""] * 10, "aA", "bB", "cC", "dD", "eE", "fF"]
    both = [*figures[:10], *letters[10:]]
    for before, at, after in zip(*(head(values, 8) for values in (figures, letters, both)), strict=True):
        for place in range(9):
            signs = [*before[:place], *at[place : place + 1], *after[place + 1 :]]
            if "[]" not in signs:
                pairs = map("".join, zip(signs[::2], signs[1::2], [_PAIR] * 4, strict=True))
                yield "".join((*pairs, "" if place < 8 else _LATER))


_MAY_BE_HEX = Expression(rf"(?:0[xX]|\\x)[0-9A-Fa-f]{{2}}|(?:^|[^0-9A-Za-z])(?:{'|'.join(_hex_heads())})")
_BINARY = re.compile(r"(?<![0-9])(?:(?:[01]{7,8}[ ,]{1,2}){2,}[01]{7,8}|(?:[01]{8}){3,})(?![0-9])")
_DECIMAL = re.compile(r"(?<![0-9])(?:[0-9]{2,3}[ ,]{1,2}){4,}[0-9]{2,3}(?![0-9])")
_MIME = re.compile(r"=\?[A-Za-z0-9_-]{3,20}\?[qQ]\?(\S{1,480}?)\?=(?:\s+(?==\?))?")
_PARTED = re.compile(r"([\"'])\s{0,3}\+\s{0,3}\1")
# What is longer than a window ends with it, not with its frame.
_ASCII85 = re.compile(r"<~([!-uz\s]{5,})(~>|\Z)")
_UU = re.compile(r"^begin [0-7]{3} [^\n]{0,80}\n((?:[ -`]{1,62}\n)+)(?:end|\Z|(?=[^\n]{0,62}\Z))", re.MULTILINE)
_MORSE = re.compile(r"(?<!\S)(?:[.·•−–-]{1,6}(?: ?[/|] ?| {1,3})){3,}[.·•−–-]{1,6}(?!\S)")
_BRAILLE = re.compile("[\u2800-\u28ff]+")

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_MORSE_ROWS = """
    .- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --..
    ----- .---- ..--- ...-- ....- ..... -.... --... ---.. ----. .-.-.- --..-- ..--.. -.-.-- -....- -..-.
"""
_MORSE_CODES = dict(zip(_MORSE_ROWS.split(), _LETTERS + "0123456789.,?!-/", strict=True))
_DOTS = str.maketrans("·•−–", "..--")
_BRAILLE_DOTS = (
    "1 12 14 145 15 124 1245 125 24 245 13 123 134 1345 135 1234 12345 1235 234 2345 136 1236 2456 1346 13456 1356"
)
_BRAILLE_CELLS = {
    0x2800 + sum(1 << int(dot) - 1 for dot in dots): letter
    for dots, letter in zip(_BRAILLE_DOTS.split(), _LETTERS, strict=True)
} | {0x2800: " "}
_NATO = """
    alfa alpha bravo charlie delta echo foxtrot golf hotel india juliett juliet kilo lima mike november oscar papa
    quebec romeo sierra tango uniform victor whiskey xray x-ray yankee zulu
"""
_SPOKEN = {word: word[0] for word in _NATO.split()}
_SPELT = re.compile(rf"(?i)\b(?:(?:{'|'.join(_SPOKEN)})(?: ?[/|] ?|[ ,.\n-]{{1,2}})){{3,}}(?:{'|'.join(_SPOKEN)})\b")
_GAP = re.compile(r"[ ,.\n-]+")


def percent(text: str) -> str:
    """%68%6f"""
    return _PERCENT.sub(lambda run: _utf8(bytes.fromhex(run[0].replace("%", "")), run[0]), text)


def entities(text: str) -> str:
    """&#104; &#x68; &amp;"""
    return _ENTITY.sub(lambda found: html.unescape(found[0]), text)


def escapes(text: str) -> str:
    """\\u0068, \\x68, \\150, and the \\n and \\" of JSON inside JSON"""
    if '":' in text or '\\"' in text or (text.count("\\n") > 2 and "\n" not in text):
        # Elsewhere \t begins \theta, or a folder.
        text = _JSON_ESCAPES.sub(lambda found: " " if found[0][1] in "nrt" else found[0][1], text)
    return _ESCAPES.sub(_escape, text)


def quoted_printable(text: str) -> str:
    """=68=6F, with its soft line breaks"""
    if len(_QUOTED.findall(text)) < 3:
        return text
    decoded = as_text(binascii.a2b_qp(text.encode("utf-8", "replace")))
    return text if decoded is None else decoded


def encoded_words(text: str) -> str:
    """=?utf-8?q?h=6Fw?= of mail headers (RFC 2047)"""
    return _MIME.sub(lambda word: binascii.a2b_qp(word[1].encode(), header=True).decode("utf-8", "replace"), text)


def concatenated(text: str) -> str:
    """ "ho" + "w" of programs"""
    return _PARTED.sub("", text)


def hexadecimal(text: str) -> str:
    """686f77, 68 6f 77, 0x68 0x6f"""
    data = text.encode("utf-8", "surrogatepass")
    pieces: list[str] = []
    done = 0
    for left, right in stretches(_MAY_BE_HEX, _HEX_STRETCH, data):
        for found in _HEX.finditer(data, left, right + 1):
            decoded = _from_hex(found[0])
            if decoded is not None:
                pieces += (data[done : found.start()].decode("utf-8", "surrogatepass"), decoded)
                done = found.end()
    return "".join((*pieces, data[done:].decode("utf-8", "surrogatepass"))) if pieces else text


def _from_hex(run: bytes) -> str | None:
    digits = _NO_DIGIT.sub(b"", run)
    if b"x" not in run.lower() and digits.isdigit() and len(digits) < 24:
        return None  # a table of numbers; text has an o or an l (6f, 6c) before long
    return as_text(bytes.fromhex(digits.decode()))


def binary(text: str) -> str:
    """01101000 01101111"""

    def decoded(run: re.Match[str]) -> str:
        bits = re.findall("[01]{8}|[01]{7}", run[0])
        return _or(as_text(bytes(int(byte, 2) for byte in bits)), run[0])

    return _BINARY.sub(decoded, text)


def decimal(text: str) -> str:
    """104 111 119"""

    def decoded(run: re.Match[str]) -> str:
        codes = [int(code) for code in re.findall("[0-9]+", run[0])]
        text = as_text(bytes(codes)) if max(codes) < 127 and min(codes) > 9 else None
        # Small letters are 97 to 122; a table of smaller numbers is a table of numbers, unless it says something.
        small = sum(code > 96 or code == 32 for code in codes)
        return text if text is not None and (small * 10 >= len(codes) * 6 or english(text)) else run[0]

    return _DECIMAL.sub(decoded, text)


def ascii85(text: str) -> str:
    """<~BOu!rDZ~>"""

    def decoded(run: re.Match[str]) -> str:
        signs = "".join(run[1].split())
        if not run[2]:
            whole = signs.replace("z", "!!!!!")  # one sign for four zeros
            signs = whole[: len(whole) - len(whole) % 5]
        try:
            return _or(as_text(base64.a85decode(signs)), run[0])
        except ValueError:
            return run[0]

    return _ASCII85.sub(decoded, text)


def uuencoded(text: str) -> str:
    """begin 644 name … end"""

    def decoded(run: re.Match[str]) -> str:
        try:
            data = b"".join(binascii.a2b_uu(line) for line in run[1].encode().splitlines() if line.strip())
        except binascii.Error:
            return run[0]
        return _or(as_text(data), run[0])

    return _UU.sub(decoded, text)


def morse(text: str) -> str:
    """.... --- .-- / - ---"""

    def decoded(run: re.Match[str]) -> str:
        words = re.split(r" ?[/|] ?| {3}", run[0].translate(_DOTS))
        letters = [[_MORSE_CODES.get(code, "") for code in word.split()] for word in words]
        flat = [letter for word in letters for letter in word]
        return " ".join(map("".join, letters)) if "" not in flat and len(set(flat)) > 2 else run[0]

    return _MORSE.sub(decoded, text)


def braille(text: str) -> str:
    """⠓⠕⠺"""
    return _BRAILLE.sub(lambda run: run[0].translate(_BRAILLE_CELLS), text)


def spelt(text: str) -> str:
    """Hotel Oscar Whiskey"""

    def decoded(run: re.Match[str]) -> str:
        words = re.split(" ?[/|] ?", run[0].lower().replace("x-ray", "xray"))
        return " ".join("".join(_SPOKEN.get(name, " ") for name in _GAP.split(word)) for word in words)

    return _SPELT.sub(decoded, text)


def _or(decoded: str | None, otherwise: str) -> str:
    return otherwise if decoded is None else decoded


def _utf8(data: bytes, otherwise: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return otherwise


def _escape(found: re.Match[str]) -> str:
    run = found[0]
    if run[1] == "x":
        data = bytes.fromhex(run.replace("\\x", ""))
        return _utf8(data, data.decode("latin-1"))
    if run[1] not in "uU":
        data = bytes(int(code, 8) & 255 for code in run[1:].split("\\"))
        return _utf8(data, run)
    if run[2] == "{" or run[1] == "U":
        code = int(run[2:].strip("{}"), 16)
        return chr(code) if code < 0x110000 else run
    return bytes.fromhex(run.replace("\\u", "")).decode("utf-16-be", "replace")


DECODERS: tuple[tuple[str, Callable[[str], str]], ...] = (
    # Those with a beginning and an end come first: what they hold may look like any other.
    (r"<~[!-uz]", ascii85),
    (r"begin [0-7]{3} ", uuencoded),
    # A sign that no other encoding has, within a long run without spaces.
    (r"(?:^|\s)[!-~]{0,99}[!#$()*;<>?@^`{|}~][!-~]{19,}|(?:^|\s)[!-~]{19,}[!#$()*;<>?@^`{|}~]", base85),
    (r"%[0-9A-Fa-f]{2}", percent),
    (r"&(?:#[0-9]{2}|#[xX][0-9A-Fa-f]{2}|[A-Za-z][A-Za-z0-9]{1,31};)", entities),
    (r"\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f{]|U[0-9A-Fa-f]{8}|[0-7]{3}|[nrt\"/])", escapes),
    (r"=\?[A-Za-z0-9_-]{3,20}\?[qQ]\?", encoded_words),
    (r"=[0-9A-F]{2}", quoted_printable),
    (r"[\"']\s{0,3}\+\s{0,3}[\"']", concatenated),
    (r"[A-Za-z0-9+/_-]{16}|[A-Za-z0-9+/_-]{11,}=", base_n),
    (r"\b(?:(?:0[xX]|\\x)?[0-9A-Fa-f]{2}[ :,-]{0,2}){4,}\b", hexadecimal),
    (r"[01]{7,8}[ ,]{0,2}[01]{7,8}", binary),
    (r"(?:[0-9]{2,3}[ ,]{1,2}){4}[0-9]{2,3}", decimal),
    (r"(?:[.·•−–-]{1,6}(?: ?[/|] ?| {1,3})){3}[.·•−–-]", morse),
    (r"[\x{2800}-\x{28ff}]", braille),
    (rf"(?i)\b(?:{'|'.join(_SPOKEN)})[ ,.\n-]{{1,2}}(?:{'|'.join(_SPOKEN)})\b", spelt),
)

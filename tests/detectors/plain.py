"""What folding, decoding and reading give, worked out the plain way: every run is tried, none is told beforehand."""

from __future__ import annotations

import base64
import binascii
import re
import string
import unicodedata
from collections import Counter

from safeguards_extproc.detectors.confusables import SCRIPTS
from safeguards_extproc.detectors.english import STRONG
from safeguards_extproc.detectors.folding import _PLAIN
from safeguards_extproc.detectors.readable import as_text
from safeguards_extproc.detectors.readings import _ENCIPHERED, _FIGURES, _SAYABLE, _SHORT, WRITTEN_SO

AMID = 24


def lookalikes(text: str) -> str:
    """Words of letters that look like others, word by word."""
    if not re.search("[A-Za-z]", text):
        return text
    mostly = 2 * len(re.findall("[A-Za-z]", text)) >= sum(map(str.isalpha, text))

    def folded(found: re.Match[str]) -> str:
        word = found[0]
        if word.isascii():
            return word
        plain = "".join(SCRIPTS.get(char) or SCRIPTS.get(unicodedata.normalize("NFD", char)[0], char) for char in word)
        return plain if re.search("[A-Za-z]", word) or (mostly and plain.isascii()) else word

    return re.sub(r"[^\W_]+", folded, text)


def base_n(text: str) -> str:
    """Base64 and base32."""
    return re.sub(r"[A-Za-z0-9+/_-]{11,}(?:\r?\n[A-Za-z0-9+/]{4,})*={0,6}", lambda run: _based(run[0]), text)


def _based(run: str) -> str:
    body = re.sub(r"[\s=]", "", run)
    if re.fullmatch("[A-Z2-7]+|[a-z2-7]+", body) and len(body) % 8 not in (1, 3, 6):
        decoded = as_text(base64.b32decode(body.upper() + "=" * (-len(body) % 8)))
        if decoded is not None:
            return decoded
    decoded = _line(body)
    if decoded is not None or "\n" not in run:
        return run if decoded is None else decoded
    return "\n".join(line if (known := _line(line)) is None else known for line in run.split())


def _line(body: str) -> str | None:
    decoded = as_text(_bytes(body))
    for start in range(4 if decoded is None and len(body) >= AMID else 0):
        if _text_end(_bytes(body[start : start + AMID])) >= AMID * 3 // 4 - 3:
            end = _text_end(_bytes(body[start:]))
            inner = as_text(_bytes(body[start:])[:end])
            if inner is not None:
                return f"{body[:start]} {inner} {body[start + (end + 2) // 3 * 4 :]}"
    return decoded


def _bytes(body: str) -> bytes:
    letters = body.rstrip("=").replace("-", "+").replace("_", "/")
    whole = letters[:-1] if len(letters) % 4 == 1 else letters
    return binascii.a2b_base64(whole + "=" * (-len(whole) % 4))


def _text_end(data: bytes) -> int:
    end = len(data)
    try:
        data.decode()
    except UnicodeDecodeError as error:
        end = error.start
    return next(
        (place for place, byte in enumerate(data[:end]) if (byte < 32 and byte not in b"\t\n\r") or byte == 127),
        end,
    )


def hexadecimal(text: str) -> str:
    """Pairs of figures."""

    def decoded(run: re.Match[str]) -> str:
        digits = re.sub(r"0[xX]|\\x|[^0-9A-Fa-f]", "", run[0])
        if "x" not in run[0].lower() and digits.isdecimal() and len(digits) < 24:
            return run[0]
        said = as_text(bytes.fromhex(digits))
        return run[0] if said is None else said

    pair = r"(?:(?:0[xX]|\\x)?[0-9A-Fa-f]{2}[ :,-]{0,2})"
    return re.sub(rf"(?<![0-9A-Za-z]){pair}{{4,}}(?![0-9A-Za-z])", decoded, text)


def base85(text: str) -> str:
    """Both alphabets, every word."""

    def decoded(word: str) -> str | None:
        for decode in (base64.b85decode, base64.a85decode):
            try:
                said = as_text(decode(word))
            except ValueError:
                continue
            if said:
                return said
        return None

    long = r"(?<!\S)[!-u]{20,}(?!\S)|(?<!\S)[!#-&(-+;-Z^-~0-9-]{20,}(?!\S)"
    return re.sub(long, lambda run: decoded(run[0]) or run[0], text)


def leet(text: str) -> tuple[str, ...]:
    """Token by token."""
    found = 0

    def word(token: re.Match[str]) -> str:
        nonlocal found
        core = token[0].rstrip("!")
        plain = core.translate(_FIGURES)
        name = core[:1] in "@$" and len(core) > 4
        if (
            name
            or not _SAYABLE.fullmatch(plain)
            or len(core) < 3
            or sum(char in string.ascii_letters for char in core) < 2
        ):
            return token[0]
        found += plain != core
        return plain + token[0][len(core) :]

    words = re.sub(r"(?<![/A-Za-z0-9@$!])[A-Za-z0-9@$!]+(?!\.?[A-Za-z0-9@$!])", word, text)
    if found >= WRITTEN_SO:
        words = re.sub(
            r"(?<![A-Za-z0-9@$])[A-Za-z013457@$]+(?![A-Za-z0-9@$])",
            lambda token: token[0].translate(_FIGURES) if re.search("[A-Za-z@$]", token[0]) else token[0],
            words,
        )
    return (_SHORT.sub(lambda token: token[0].translate(_FIGURES), words),) if found else ()


def english(text: str, enough: int) -> bool:
    """Word by word."""
    words = (found[0].lower() for found in re.finditer(r"[A-Za-z]{3,12}(?![A-Za-z])", text))
    return sum(word in STRONG for word in words) >= enough


def deciphered(text: str) -> list[str]:
    """Every word votes."""
    small, votes = "abcdefghijklmnopqrstuvwxyz", Counter[int]()
    for word in re.findall(r"[A-Za-z]{3,4}(?![A-Za-z])", text):
        votes.update(_ENCIPHERED.get(word.lower(), ()))
    found = []
    for key in sorted(votes, key=lambda key: (-votes[key], key))[:2]:
        plain = small[key:] + small[:key] if key else small[::-1]
        said = text.translate(str.maketrans(small + small.upper(), plain + plain.upper()))
        found += [said] * english(said, 2)
    return found


def decomposed(text: str) -> str:
    """Character by character."""
    return "".join(char if char.isascii() else _PLAIN[ord(char)] for char in text)


def reads(data: bytes) -> bool:
    """Whether bytes of UTF-8 are a text, character by character."""
    text = data.decode()
    fine = sum(char.isprintable() or char in "\n\r\t" for char in text)
    plain = sum(char.isalnum() or char == " " for char in text)
    return len(data) > 2 and fine * 20 >= len(text) * 19 and plain * 10 >= len(text) * 6

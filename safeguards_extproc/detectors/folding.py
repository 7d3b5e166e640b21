"""Text as a reader sees it: what cannot be seen is taken out or read out, what looks like a letter becomes that letter.

Ordinary text of any language stays as it is: its punctuation, its accents, its emoji, its joiners. Accents are folded
only in text that is English once they are gone.
"""

from __future__ import annotations

import codecs
import re
import string
import unicodedata
from collections.abc import Callable, Sequence

from safeguards_extproc.detectors.confusables import ENCLOSED, LATIN, SCRIPTS
from safeguards_extproc.detectors.english import english
from safeguards_extproc.detectors.expression import Expression
from safeguards_extproc.detectors.sieve import Sieve

_JOINERS = "\u200c\u200d\ufe00-\ufe0f"
_TAGS = re.compile("[\U000e0020-\U000e007e]+")
_SELECTED = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{2,}")
_BITS = re.compile("[\u200b-\u200d]{16,}|[\u2062\u2064]{16,}")
_OVERRIDE = re.compile("\u202e([^\u202c\u2069\n]*)[\u202c\u2069]?")
_UNSEEN = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff"
    "\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff\x00-\x07\x0e-\x1f\x7f"
)
# Joiners and selectors belong to Arabic, to the scripts of India, and to emoji.
_INVISIBLE = re.compile(f"[{_UNSEEN}]|(?<![\u0600-\u0dff\u2190-\U0001faff])[{_JOINERS}]")
_ERASED = re.compile("[\b\x7f]")
_CONTINUED = bytes(range(0x80, 0xC0))
"""Bytes of UTF-8 that begin no character."""
_LAYOUT = str.maketrans("\n\r\t", "   ")
_MARK = re.compile("[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]")
_ACCENTS = re.compile("[\u00c0-\u024f\u1e00-\u1eff]")
SIGNS = (
    "\u00a1-\u00a9\u00ab\u00ac\u00ae-\u00b1\u00b4\u00b6-\u00b8\u00bb\u00bf\u2010-\u2027\u2030-\u205e\u3001-\u3003"
    "\uff01-\uff0f"
)
"""Neither letters nor figures, and what they decompose to are none."""

STABLE = (
    f"{SIGNS}\u0391-\u03a1\u03a3-\u03ce\u0410-\u044f\u0451-\u045f\u05d0-\u05ea\u0620-\u064a\u3041-\u30ff\u3400-\u9fff"
    "\uac00-\ud7a3"
)
"""Letters of other scripts, too, of which nothing decomposes to ASCII."""

_MIXED = Expression(f"[A-Za-z0-9][^\\x00-\\x7f{SIGNS}]|[^\\x00-\\x7f{SIGNS}][A-Za-z0-9]")
"""What every word has that is made of ASCII and other letters."""

_FEW = 32
"""Characters that are looked at or replaced one after another."""

_STRANGE = re.compile(r"[^\W_\x00-\x7f][^\W_]*")
"""A word from its first letter on that is not ASCII."""

_TELLS = Sieve((f"[\b{_JOINERS}{_UNSEEN}]", f"[^\\x00-\\x7f{STABLE}]", _ACCENTS.pattern))
_HIDES, _DECOMPOSES, _ACCENTED = range(3)
"""What one pass tells: that something may hide, that something decomposes, that something has an accent."""

_ALNUM = string.ascii_letters + string.digits
_LETTERS = string.ascii_letters.encode()
_ASCII = bytes(range(0x80))
_ASCII_LETTER = re.compile("[A-Za-z]")
_SURROGATE = re.compile(r"[\ud800-\udfff]+")
_KEPT = frozenset("™℠№½¼¾²³ªº")


class _Plain(dict[int, str]):
    """For str.translate: what a character decomposes to, if that is ASCII letters and digits; filled as needed."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        self[code] = plain = self._plain(char)
        return plain

    def _plain(self, char: str) -> str:
        if char in _KEPT or char.isascii():
            return char
        if known := ENCLOSED.get(char) or LATIN.get(char):
            return known
        if _MARK.match(char):
            return ""
        if unicodedata.category(char) in ("Zs", "Zl", "Zp") and char != "\u3000":
            return " "
        bare = _MARK.sub("", unicodedata.normalize("NFD", unicodedata.normalize("NFKC", char)))
        return bare if bare.isascii() and bare.isalnum() else char


_PLAIN = _Plain()


def fold(text: str) -> str:
    """The text folded. Its length may change; a text in which nothing hides comes back equal. Total and linear."""
    tells = _tells(text)
    if _HIDES in tells:
        text = _SURROGATE.sub(_paired, text)
        text = _TAGS.sub(lambda tags: "".join(chr(ord(tag) - 0xE0000) for tag in tags[0]), text)
        text = _SELECTED.sub(_bytes_of_selectors, text)
        text = _BITS.sub(_bytes_of_bits, text)
        text = _OVERRIDE.sub(lambda turned: turned[1][::-1], text)
        text = _INVISIBLE.sub("", _backspaced(text) if _ERASED.search(text) else text)
        tells = _tells(text)
    if text.isascii():
        return text
    folded = _decomposed(text) if _DECOMPOSES in tells else text
    if _ACCENTED in tells:
        rest = _replaced(text, lambda char: "" if _ACCENTS.match(char) else char)
        if rest.isascii() or _lookalikes(_decomposed(rest)) == rest:
            # Accents are all there is, as in any French text: worth a view only if they hide English.
            return folded if english(folded) else text
    return _lookalikes(folded)


def _tells(text: str) -> Sequence[int]:
    try:
        return _TELLS.may(text.encode())
    except UnicodeEncodeError:
        return (_HIDES,)


def _decomposed(text: str) -> str:
    """Each character as `_PLAIN` has it."""
    return _replaced(text, lambda char: _PLAIN[ord(char)])


def _others(data: bytes) -> str:
    """The characters that are not ASCII."""
    return data.translate(None, _ASCII).decode()


def _replaced(text: str, change: Callable[[str], str]) -> str:
    """Each character beyond ASCII changed, to characters of ASCII or not at all."""
    changes = {ord(char): changed for char in set(_others(text.encode())) if (changed := change(char)) != char}
    if len(changes) > _FEW:
        return text.translate(changes)
    for code, changed in changes.items():
        text = text.replace(chr(code), changed)
    return text


def _paired(found: re.Match[str]) -> str:
    """Halves of surrogate pairs put together; a lone half becomes U+FFFD."""
    return found[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _readable(data: bytes, otherwise: str) -> str:
    """UTF-8 that is printed; of a character that a window's border cut there may be a part at either end."""
    try:
        text, _ = codecs.utf_8_decode(data.lstrip(_CONTINUED), "strict", False)
    except UnicodeDecodeError:
        return otherwise
    return text if text.translate(_LAYOUT).isprintable() else otherwise


def _bytes_of_selectors(found: re.Match[str]) -> str:
    """A byte in each variation selector: 1 to 16 are bytes 0 to 15, 17 to 256 the rest."""
    codes = map(ord, found[0])
    return _readable(bytes(code - 0xFE00 if code < 0xFF00 else code - 0xE0100 + 16 for code in codes), found[0])


def _bytes_of_bits(found: re.Match[str]) -> str:
    """Two invisible characters as bits, eight to a byte. Which of them is 1 is tried both ways, and where a byte begins
    eight ways: a window may begin in the middle of one."""
    signs = sorted(set(found[0]))
    others = dict.fromkeys(map(ord, signs[1:-1]))
    ways = ((signs[0], signs[-1]), (signs[-1], signs[0]))
    readings = [found[0].translate({**others, ord(one): "1", ord(zero): "0"}) for zero, one in ways]
    for begin in range(8):
        for bits in readings:
            size = (len(bits) - begin) // 8
            text = _readable(int(bits[begin : begin + 8 * size] or "0", 2).to_bytes(size), "")
            if text:
                return text
    return found[0]


def _backspaced(text: str) -> str:
    """Each backspace and each delete takes the character before it, as on a screen."""
    shown: list[str] = []
    for char in text:
        if char not in "\b\x7f":
            shown.append(char)
        elif shown:
            shown.pop()
    return "".join(shown)


def _lookalikes(text: str) -> str:
    """Letters of other scripts in words with ASCII letters, and whole words of them in a text that is mostly Latin."""
    data = text.encode()
    others = _others(data)
    if len(others) < _FEW and not any(map(str.isalnum, others)):
        return text
    # The beginning tells of most texts that they are mostly Latin.
    beginning = data[: 4 * len(others) + 64]
    latin = len(beginning) - len(beginning.translate(None, _LETTERS))
    if latin < len(others):
        latin = len(data) - len(data.translate(None, _LETTERS))
    if not latin:
        return text
    mostly = _letters(others, latin) <= latin
    if not mostly and not _MIXED.matches(data):
        return text
    pieces: list[str] = []
    done = seen = 0
    for found in _STRANGE.finditer(text):
        start = seen + len(text[seen : found.start()].rstrip(_ALNUM))
        seen = found.end()
        word = text[start:seen]
        letters = [SCRIPTS.get(char) or SCRIPTS.get(unicodedata.normalize("NFD", char)[0], char) for char in word]
        plain = "".join(letters)
        if _ASCII_LETTER.search(word) or (mostly and plain.isascii()):
            pieces += (text[done:start], plain)
            done = seen
    return "".join((*pieces, text[done:])) if pieces else text


def _letters(text: str, most: int) -> int:
    """How many there are, if they are no more than `most`; else some number above it."""
    if len(text) <= most:
        return len(text)
    if text[: most + 1].isalpha():
        return most + 1
    # The beginning tells of most texts that there are more.
    some = sum(map(str.isalpha, text[: 2 * most + 64]))
    return some if some > most else some + sum(map(str.isalpha, text[2 * most + 64 :]))

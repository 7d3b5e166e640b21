"""Other ways to read a whole text: spaced letters joined, figures as letters, simple ciphers, backwards, upside down.

A row of READINGS is (what must be in the text, a function that gives the readings). Unlike a decoding, a reading
destroys what is not meant by it, so each is a view of its own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

from safeguards_extproc.detectors.confusables import FLIPPED
from safeguards_extproc.detectors.english import STRONG, english, says
from safeguards_extproc.detectors.expression import Expression, either_case

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_ENOUGH = 2
"""Strong words of English that a deciphered text must have."""

_SPACED = re.compile(r"(?<![^\W_])(?:[A-Za-z0-9@$](?:[ ._*\-/\n]{1,3})){3,}[A-Za-z0-9@$](?![^\W_])")
_EMOJI = "\u2600-\u27bf\U0001f300-\U0001faff"
_PARTING = re.compile(
    rf"(?<=[A-Za-z])(?:<!--.{{0,200}}?-->|</?[A-Za-z]{{1,10}}>|\*{{1,3}}|~~|`|[{_EMOJI}]\ufe0f?)+", re.DOTALL
)
"""What stands behind a letter and is not read: comments, tags, emphasis (CommonMark 6.2), emoji."""

_SIGN = re.compile(f"[<*~`{_EMOJI}]")
"""What that begins with."""

_GAP = re.compile(r"[ ._*\-/\n]+")
_LEET = re.compile(rb"(?<![/A-Za-z0-9@$!])[A-Za-z0-9@$!]+(?!\.?[A-Za-z0-9@$!])")
_TOKENS = re.compile(rb"[A-Za-z0-9@$!]+")
_SAYABLE = re.compile("(?i)[bcdfghjklmnpqrstvwxz]{0,4}(?:[aeiouy][bcdfghjklmnpqrstvwxz]{0,4})+")
"""A word of English has vowels, and seldom five consonants in a row; an identifier often does."""
_CONSONANT, _VOWEL = "b-df-hj-np-tv-zB-DF-HJ-NP-TV-Z", "aeiouyAEIOUY"
_REST = f"[{_CONSONANT}57$]{{0,4}}(?:[{_VOWEL}0134@!][{_CONSONANT}57$]{{0,4}})*"
_MAY_SAY = Expression(
    f"(?:^|[^/A-Za-z0-9@$!])(?:(?:[{_CONSONANT}]{{2,4}}|[{_CONSONANT}]{{0,4}}[{_VOWEL}][A-Za-z]+|[{_CONSONANT}]{{1,4}}[{_VOWEL}])"
    f"(?:[013457@$]|!+[A-Za-z013457@$]){_REST}|[A-Za-z][013457@$!]+[A-Za-z]{_REST}"
    f"|[013457!][013457@$!]*[A-Za-z][013457@$!]*[A-Za-z]{_REST}|[@$][A-Za-z013457@$!]{{2,3}}!*)"
    r"(?:$|[^A-Za-z0-9@$!.]|\.(?:$|[^A-Za-z0-9@$!]))"
)
"""Every word that says something once its figures are letters: two letters at least, a figure among them."""

_SHORT = re.compile(r"(?<![^\s])[A-Za-z]?[013457@$][A-Za-z013457@$]?(?![^\s,.;:?!])")
_MAY_BE_SHORT = Expression(r"(?:^|[^!-~])[A-Za-z]?[013457@$][A-Za-z013457@$]?(?:$|[^!-~]|[,.;:?!])")
_FIGURES = str.maketrans("013457@$!", "oieastasi")
WRITTEN_SO = 4
"""Words with figures for letters in a text that is written so throughout."""

_FIGURED = re.compile(r"(?<![A-Za-z0-9@$])(?=[013457@$]*[A-Za-z@$])[A-Za-z013457@$]+(?![A-Za-z0-9@$])")
_TOKEN, _WHOLE = re.compile(r"[^\W_]+"), re.compile(r"\S+")
_TURNED_SIGN = re.compile(r"(?<!\S)[.,;:?!][^\W_]")
"""A sign that ends a word, at its beginning: it was turned with the word."""


def _turned(letters: str) -> bytes:
    """For bytes.translate."""
    return bytes.maketrans(f"{_LETTERS}{_LETTERS.upper()}".encode(), f"{letters}{letters.upper()}".encode())


_CIPHERS = {by: _turned(_LETTERS[by:] + _LETTERS[:by]) for by in range(1, 26)} | {0: _turned(_LETTERS[::-1])}
"""How to decipher: by 1 to 25 letters on, or (0) by the mirrored alphabet."""

_SIGNS = ("the", "and", "you", "how", "that", "this", "with", "make", "what", "your", "tell", "give", "from")
_ENCIPHERED: dict[str, list[int]] = {}
for _key, _table in _CIPHERS.items():
    _inverse = bytes(map(_table.index, range(256)))
    for _sign in _SIGNS:
        _ENCIPHERED.setdefault(_sign.encode().translate(_inverse).decode(), []).append(_key)
for _plain in STRONG:
    _ENCIPHERED.pop(_plain, None)
_FOUR, _THREE = ("|".join(either_case(word) for word in sorted(_ENCIPHERED) if len(word) == size) for size in (4, 3))
_VOTE = Expression(rf"(?:(?:{_FOUR})|(?:^|[^A-Za-z])(?:{_THREE}))(?:$|[^A-Za-z])".encode())
"""The last four letters of a word, or a word of three."""

_AROUND = bytes({*range(256)} - {*f"{_LETTERS}{_LETTERS.upper()}".encode()})
_BACKWARDS = sorted({word[::-1] for word in STRONG if len(word) < 6} - STRONG - {"won", "era"})
_FLIPS = "".join(char for char in FLIPPED if not char.isascii() and char not in "¿¡ıſΛ")


def joined(text: str) -> Sequence[str]:
    """s p a c e d, s-p-a-c-e-d, s.p.a.c.e.d: the commonest gap of a run joins letters, any other parts words"""

    def join(run: re.Match[str]) -> str:
        if sum(map(str.isalpha, run[0])) < 3:
            return run[0]
        inner = Counter(_GAP.findall(run[0])).most_common(1)[0][0]
        return _GAP.sub(lambda gap: "" if gap[0] == inner else " ", run[0])

    return (_SPACED.sub(join, text),)


def rendered(text: str) -> Sequence[str]:
    """Letters without the comments, tags, signs of emphasis and emoji behind them"""
    pieces: list[str] = []
    done = 0
    for sign in _SIGN.finditer(text):
        if sign.start() >= done and (parting := _PARTING.match(text, sign.start())):
            pieces.append(text[done : sign.start()])
            done = parting.end()
    return ("".join((*pieces, text[done:])),)


def leet(text: str) -> Sequence[str]:
    """Figures and signs as the letters they stand for: in words that are then letters only, and beside such words in
    tokens of one or two characters. Beside many such words, in every token: "7h@7" is no name there"""
    data = text.encode("utf-8", "surrogatepass")
    pieces: list[str] = []
    done = at = 0
    while (candidate := _MAY_SAY.span(data, at)[0]) >= 0 and (token := _TOKENS.search(data, candidate)):
        at = token.end()
        plain = _said(token[0].decode()) if _LEET.match(data, token.start()) else ""
        if plain:
            pieces += (data[done : token.start()].decode("utf-8", "surrogatepass"), plain)
            done = at
    if not pieces:
        return ()
    words = "".join((*pieces, data[done:].decode("utf-8", "surrogatepass")))
    if len(pieces) >= 2 * WRITTEN_SO:
        words = _FIGURED.sub(lambda token: token[0].translate(_FIGURES), words)
    return (_shortened(words),)


def _shortened(words: str) -> str:
    """The figures in tokens of one or two characters as letters."""
    if not words.isascii():
        may = _MAY_BE_SHORT.matches(words.encode("utf-8", "surrogatepass"))
        return _SHORT.sub(lambda token: token[0].translate(_FIGURES), words) if may else words
    data, done = words.encode(), 0
    pieces: list[str] = []
    start, end = _MAY_BE_SHORT.span(data)
    while start >= 0:
        # The sign before a token is part of what was found, but at the beginning of the text.
        token = _SHORT.match(words, start if "!" <= words[start] <= "~" else start + 1)
        if token is not None:
            pieces += (words[done : token.start()], token[0].translate(_FIGURES))
            done = token.end()
        start, end = _MAY_BE_SHORT.span(data, end - 1)
    return "".join((*pieces, words[done:]))


def _said(token: str) -> str:
    """A token with letters for its figures, "" if it has none or then is no word."""
    core = token.rstrip("!")
    plain = core.translate(_FIGURES)
    name = core[:1] in "@$" and len(core) > 4
    if plain == core or name or not _SAYABLE.fullmatch(plain) or len(core) < 3 or sum(map(str.isalpha, core)) < 2:
        return ""
    return plain + token[len(core) :]


def deciphered(text: str) -> Sequence[str]:
    """ROT13 and the other shifts, Atbash: the two of which most common words are found"""
    data = text.encode("utf-8", "surrogatepass")
    votes: dict[int, int] = {}
    start, end = _VOTE.span(data)
    while start >= 0:
        for key in _ENCIPHERED[data[start:end].strip(_AROUND).decode().lower()]:
            votes[key] = votes.get(key, 0) + 1
        # The sign behind a word may be the one before the next.
        start, end = _VOTE.span(data, end - 1)
    best = sorted(votes, key=lambda key: (-votes[key], key))[:2]
    plain = [data.translate(_CIPHERS[key]) for key in best]
    return [candidate.decode("utf-8", "surrogatepass") for candidate in plain if says(candidate, _ENOUGH)]


def backwards(text: str) -> Sequence[str]:
    """From its end, and each word from its end. One word of English is enough for a text that has none as it stands"""
    turned = text[::-1]
    if not english(turned, _ENOUGH) and (english(text) or not english(turned)):
        return ()
    words = _WHOLE if _TURNED_SIGN.search(text) else _TOKEN
    return turned, words.sub(lambda word: word[0][::-1], text)


def upright(text: str) -> Sequence[str]:
    """Upside-down letters, from the end"""
    return (text.translate({ord(char): letter for char, letter in FLIPPED.items()})[::-1],)


READINGS: tuple[tuple[str, Callable[[str], Sequence[str]]], ...] = (
    (r"(?:^|[^\pL\pN])(?:[A-Za-z0-9@$][ ._*\-/\n]{1,3}){3}[A-Za-z0-9@$](?:$|[^\pL\pN])", joined),
    (
        r"[A-Za-z][013457$!]{1,3}[A-Za-z]|\b[013457][A-Za-z]{3}|[A-Za-z][@$][A-Za-z]{1,12}(?:$|[^A-Za-z.@-])"
        r"|\b@[A-Za-z]{2,3}\b"
        r"|[A-Za-z][$]{1,2}(?:$|[^0-9])",
        leet,
    ),
    (r"[A-Za-z](?:<[!/A-Za-z]|\*{1,3}[A-Za-z]|~~|`|[\x{2600}-\x{27bf}\x{1f300}-\x{1faff}]\x{fe0f}?[A-Za-z])", rendered),
    (rf"(?i)\b(?:{'|'.join(sorted(_ENCIPHERED))})\b", deciphered),
    (rf"(?i)\b(?:{'|'.join(_BACKWARDS)})\b", backwards),
    (rf"[{_FLIPS}]", upright),
)

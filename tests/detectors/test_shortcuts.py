"""What tells a text apart without reading it gives the same as reading it: on disguises, on what looks like them, on
mixtures of both, whole and damaged."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.detectors import based, decoding, folding, readings
from safeguards_extproc.detectors.english import english
from tests.detectors import plain
from tests.detectors.mixtures import mixtures

SAID = (
    "hello world of many seas",
    "дом и сад, где цветы",
    "東京都です。東京",
    "naïve café",
    "\ufffd\ufffdhello there all",
)
LETTERS = {
    "words": "thewornv  .preinstructions THEanNGUR",
    "leet": "aebstPMk0134578$@!. /-é\n",
    "fold": "aAb1 _éñоаеВсЖпß東'.-«",
    "base64": "aAbZ09+/_-=\r\n\n xQg",
    "hex": "0123456789aAbBcCdDeEfF :,-xX\\z_\ng",
    "base85": "abcXYZ09!#$%&()*+-;<=>?@^_`{|}~zu\"\\ \n,.'",
}
WORDS = (
    "the",
    "preinstructions",
    "gur naq",
    "gsv zmw",
    "ﬁ①é",
    "b0mb",
    "p1pe",
    "h4ck!",
    "@me",
    "$50",
    "m@n!!",
    "l33t",
    "3 1",
    "!sn't",
    "a1b",
    "ВОМВ",
    "bоmb",
    "привет",
    "10:14:07Z",
)
ENCODERS: tuple[Callable[[bytes], bytes], ...] = (
    base64.b64encode,
    base64.urlsafe_b64encode,
    base64.b32encode,
    lambda data: base64.b32encode(data).lower(),
    lambda data: data.hex().encode(),
    lambda data: data.hex(" ").encode(),
    base64.b85encode,
    base64.a85encode,
)
PAIRS: dict[str, tuple[Callable[[str], object], Callable[[str], object]]] = {
    "lookalikes": (folding._lookalikes, plain.lookalikes),
    "base64": (based.base_n, plain.base_n),
    "base85": (based.base85, plain.base85),
    "hex": (decoding.hexadecimal, plain.hexadecimal),
    "leet": (lambda text: tuple(readings.leet(text)), plain.leet),
    "english": (lambda text: english(text), lambda text: plain.english(text, 1)),
    "deciphered": (lambda text: tuple(readings.deciphered(text)), lambda text: tuple(plain.deciphered(text))),
    "decomposed": (folding._decomposed, plain.decomposed),
}
NOTHING = ("", (), False)
"""What those give that find nothing, and change nothing."""


def puzzle(dice: random.Random) -> str:
    """Encoded words, words in disguise and letters of either, cut into lines and damaged."""
    parts = []
    for _ in range(dice.randint(1, 4)):
        letters = LETTERS[dice.choice(sorted(LETTERS))]
        parts.append("".join(dice.choice(letters) for _ in range(dice.randint(0, 24))))
        parts.append(dice.choice((*WORDS, " ", "/", "", " ")))
        data = dice.choice(SAID).encode(dice.choice(("utf-8", "utf-8", "utf-16-le", "utf-16-be")))
        run = dice.choice(ENCODERS)(data).decode()
        if dice.random() < 0.3:
            width, end = dice.randint(4, 20), dice.choice(("\n", "\r\n"))
            run = end.join(run[at : at + width] for at in range(0, len(run), width))
        parts.append(dice.choice((run, run.rstrip("="), f" {run} ")))
    text = "".join(parts)
    for _ in range(dice.choice((0, 0, 1, 3))):
        place = dice.randrange(len(text) + 1)
        text = text[:place] + dice.choice(LETTERS[dice.choice(sorted(LETTERS))]) + text[place + dice.randint(0, 1) :]
    return text


def differing(text: str) -> list[str]:
    """Which shortcuts give something else than the plain way."""
    return [name for name, (short, long) in PAIRS.items() if short(text) != long(text)]


@pytest.mark.long
@given(st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_shortcuts_on_puzzles(seed: int) -> None:
    """Nothing is told apart that is not."""
    dice = random.Random(seed)
    for _ in range(20):
        assert [] == differing(puzzle(dice))


@given(mixtures())
@settings(max_examples=30, deadline=None)
def test_shortcuts_on_mixtures(text: str) -> None:
    """Nor among personal data, code, prose and evasions."""
    if text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text):
        assert [] == differing(text)


@pytest.mark.parametrize("name", PAIRS)
def test_puzzles_are_ones(name: str) -> None:
    """The law bites: a shortcut that finds nothing is found out."""
    dice, long = random.Random(3), PAIRS[name][1]
    texts = [puzzle(dice) for _ in range(300)]
    assert sum(long(text) not in (text, *NOTHING) for text in texts) > 5

"""How people type: the same changes to every text, whatever it teaches, so that none becomes a sign of a label."""

from __future__ import annotations

import random

_NEAR = {
    "a": "sq", "b": "vn", "c": "xv", "d": "sf", "e": "wr", "f": "dg", "g": "fh", "h": "gj", "i": "uo", "j": "hk",
    "k": "jl", "l": "k", "m": "n", "n": "bm", "o": "ip", "p": "o", "q": "w", "r": "et", "s": "ad", "t": "ry",
    "u": "yi", "v": "cb", "w": "qe", "x": "zc", "y": "tu", "z": "x",
}  # fmt: skip
_BEFORE = (
    "Hi! ", "Hello, ", "hey ", "Quick question: ", "Please help. ", "ok so ", "Hi there,\n", "Sorry to bother you, ",
    "Another one: ", "Next: ", "Q: ", "User: ", "### Instruction:\n", "Dear assistant, ", "so... ", "Thanks! Now: ",
)  # fmt: skip
_AFTER = (
    " Thanks!", " thx", " Please.", "\n\nThank you in advance.", " Be brief.", " Explain step by step.", " asap pls",
    " Answer in one paragraph.", "\nA:", "\n\n### Response:", " I need it for tomorrow.", " :)", " Any ideas?", "\n",
)  # fmt: skip


def styled(text: str, rng: random.Random) -> str:
    """The text, three times in five as it is; else in other letters, without its end, with slips or more words."""
    if rng.random() < 0.6:
        return text
    way = rng.random()
    if way < 0.35:
        return text.lower().rstrip(".?!") if rng.random() < 0.6 else text.lower()
    if way < 0.42:
        return text.upper()
    if way < 0.57:
        return text.rstrip(".?! ")
    if way < 0.77:
        return _slips(text, rng)
    before = rng.choice(_BEFORE) if rng.random() < 0.6 else ""
    after = rng.choice(_AFTER) if not before or rng.random() < 0.3 else ""
    return f"{before}{text}{after}"


def _slips(text: str, rng: random.Random) -> str:
    """A slip of the fingers in about forty letters, at least one: a letter left out, doubled, missed or swapped."""
    letters = list(text)
    for _ in range(max(1, len(text) // 40)):
        place = rng.randrange(len(letters)) if letters else 0
        if not letters or not letters[place].isalpha():
            continue
        match rng.randrange(4):
            case 0:
                letters[place] = ""
            case 1:
                letters[place] *= 2
            case 2:
                near = _NEAR.get(letters[place].lower(), letters[place])
                letters[place] = rng.choice(near)
            case _:
                if place + 1 < len(letters):
                    letters[place], letters[place + 1] = letters[place + 1], letters[place]
        letters = [letter for letter in letters if letter]
    return "".join(letters)

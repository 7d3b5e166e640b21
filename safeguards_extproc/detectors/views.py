"""A text and the other texts that a reader could make of it, so that a detector sees what a model would understand.

The first view is the text itself; ordinary text has no other. The second is the text folded (folding.py) and decoded
in place (decoding.py), again and again while something is found, three times at most. The others are readings of that
(readings.py). One pass of a finite automaton says which of these could apply, so ordinary text costs that pass alone.
Models, which see all of a view at once, are asked about what was encoded by itself, too.
"""

from __future__ import annotations

from collections.abc import Sequence

from safeguards_extproc.detectors.based import base85, base_n
from safeguards_extproc.detectors.decoding import DECODERS
from safeguards_extproc.detectors.expression import Expression
from safeguards_extproc.detectors.folding import fold
from safeguards_extproc.detectors.readings import READINGS, joined, leet
from safeguards_extproc.detectors.sieve import Sieve

MOST = 8
"""Views of one text, itself counted."""

EXTRA = 4096
"""All views but the first have at most twice the text's characters and this many together."""

LEAST = 16
"""Characters of a view of what was encoded alone."""

ROUNDS = 3

_FOREIGN = r"\x{370}-\x{58f}\x{13a0}-\x{13ff}\x{2c80}-\x{2cff}\x{a4d0}-\x{a4ff}\x{ab30}-\x{abbf}"
_ORDINARY = (
    r"\x{9}\x{a}\x{d}\x{20}-\x{7e}\x{a1}-\x{a9}\x{ab}\x{ac}\x{ae}-\x{b8}\x{bb}-\x{bf}\x{d7}\x{f7}\x{590}-\x{60f}"
    r"\x{61d}-\x{6ff}\x{900}-\x{e7f}\x{2010}-\x{2027}\x{2030}-\x{205e}\x{20a0}-\x{20cf}\x{2116}\x{2122}"
    r"\x{2190}-\x{23ff}\x{2500}-\x{2775}\x{2794}-\x{27ff}\x{2900}-\x{2bff}\x{2e80}-\x{3163}\x{3165}-\x{a4cf}"
    r"\x{ac00}-\x{d7ff}\x{ff01}-\x{ff0f}\x{ff1a}-\x{ff20}\x{ff3b}-\x{ff40}\x{ff5b}-\x{ff9f}\x{1f300}-\x{1faff}"
    r"\x{200c}\x{200d}\x{fe0f}\x{d}"
)
_FOLDED = (
    rf"(?s)[^{_ORDINARY}{_FOREIGN}]|[A-Za-z0-9][\x{{200c}}\x{{200d}}\x{{fe0f}}]|[\x{{200c}}\x{{200d}}\x{{fe0f}}]{{2}}"
    rf"|[A-Za-z].*[{_FOREIGN}]|[{_FOREIGN}].*[A-Za-z]"
)
"""What folding may change: not punctuation, CJK, emoji, or a text that is all in one other script."""

_STEPS = (fold, *(decoder for _, decoder in DECODERS))
TRIGGERS = (_FOLDED, *(trigger for trigger, _ in (*DECODERS, *READINGS)))

_RUNS = tuple(index for index, step in enumerate(_STEPS) if step in (base85, base_n))
"""What is told by the length of a run. Together with what else is counted, runs have more states than memory holds."""

_SIGNS = tuple(index for index in range(len(TRIGGERS)) if index not in _RUNS)
_SIGN = Sieve([TRIGGERS[index] for index in _SIGNS])
_RUN = Sieve(["[!-~]{20}" if _STEPS[index] is base85 else TRIGGERS[index] for index in _RUNS])
_LATER = {_STEPS.index(base85): Expression(TRIGGERS[_STEPS.index(base85)])}
"""The triggers again, where the sieve says yes too often."""

_VISIBLE = bytes(b"x"[0] if b"!"[0] <= sign <= b"~"[0] else 0 for sign in range(256))
_LONG = b"x" * 16
"""No shorter run is one of `_RUNS`, unless a sign of equality ends it."""

_ALL = range(len(TRIGGERS))


def expand(text: str) -> tuple[str, ...]:
    """The views of `text`, itself first, all different. Total on every str; linear."""
    seen = Seen(text)
    if not seen.may:
        return (text,)
    plain, seen = _decoded(seen)
    views = [text]
    room = 2 * len(text) + EXTRA
    for view in (plain, *_readings(plain, seen)):
        view = view[:room]
        if view and view not in views and len(views) < MOST:
            views.append(view)
            room -= len(view)
    return tuple(views)


def judged(text: str) -> tuple[str, ...]:
    """The views that a model is asked about: those of `expand`, and what was encoded by itself."""
    views = expand(text)
    alone = _unwrapped(text, views[1]) if 1 < len(views) < MOST else ""
    return (*views, alone) if alone and alone not in views else views


def _unwrapped(text: str, plain: str) -> str:
    """What was encoded, without what stands around it, "" where nothing does or most of its words could be read before:
    a sentence that says how to read it hides it from a model that sees both."""
    if plain == text:
        return ""
    begin = _common(text, plain)
    end = len(plain) - _common(text[begin:][::-1], plain[begin:][::-1])
    if end - begin < LEAST:
        return ""
    was = text[begin : len(text) - len(plain) + end]
    # A word at the border of what was encoded belongs to it as a whole, but where it was hidden behind what is seen.
    while begin and was[:1].isascii() and plain[begin].isalnum() and plain[begin - 1].isalnum():
        begin -= 1
    while (
        end < len(plain)
        and was[-1:].isascii()
        and plain[end - 1].isalnum()
        and (plain[end].isalnum() or plain[end] in ".?!")
    ):
        end += 1
    found = plain[begin:end].strip()
    if not LEAST <= len(found) < len(plain.strip()):
        return ""
    before, words = set(was.split()), found.split()
    return found if 2 * sum(word in before for word in words) <= len(words) else ""


def _common(left: str, right: str) -> int:
    """Characters at the beginning that are the same, by halves: two slices compare faster than their characters."""
    same, most = 0, min(len(left), len(right))
    while same < most:
        middle = (same + most + 1) // 2
        if left[same:middle] == right[same:middle]:
            same = middle
        else:
            most = middle - 1
    return same


def decode(text: str) -> str:
    """`text` folded and decoded in place: the view that leaves what is plain where it stands."""
    return _decoded(Seen(text))[0]


class Seen:
    """A text, and which of TRIGGERS `may` match it, in order."""

    __slots__ = ("_data", "may", "text")

    def __init__(self, text: str) -> None:
        self.text, self._data = text, b""
        self.may: Sequence[int] = _ALL
        try:
            self._data = data = text.encode()
        except UnicodeEncodeError:
            return
        signs = _SIGN.may(data)
        self.may = [_SIGNS[index] for index in signs] if signs else ()
        if _LONG in data.translate(_VISIBLE) or b"=" in data:
            self.may = sorted((*self.may, *(_RUNS[index] for index in _RUN.may(data))))

    def triggers(self, index: int) -> bool:
        """Whether one of those that may match does; all match what is no Unicode."""
        exact = _LATER.get(index)
        return exact is None or self.may is _ALL or exact.matches(self._data)


def _decoded(seen: Seen) -> tuple[str, Seen]:
    """The text folded and decoded, and what triggers see in what has come out."""
    for _ in range(ROUNDS):
        text = seen.text
        for index in seen.may:
            if index < len(_STEPS):
                changed = _STEPS[index](text)
                if changed != text and seen.triggers(index):
                    text = changed
        if text == seen.text:
            break
        seen = Seen(text)
    return seen.text, seen


def _readings(plain: str, seen: Seen) -> list[str]:
    found: list[str] = []
    for index in seen.may:
        if index >= len(_STEPS):
            reading = READINGS[index - len(_STEPS)][1]
            for view in reading(plain):
                found.append(view)
                if reading is joined:
                    found.extend(leet(view))
    return found

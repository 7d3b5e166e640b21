"""Letters that may stand for a text: every text begins in one of the ways, most noise in none."""

from __future__ import annotations

import base64
import random
import re
import string

from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.detectors.expression import Expression
from safeguards_extproc.detectors.heads import beginnings, head, stretches
from safeguards_extproc.detectors.readable import as_text

BASE64 = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"


def pattern(count: int, letters: str = BASE64) -> re.Pattern[str]:
    return re.compile("|".join(map("".join, head(letters, count))))


EIGHT = pattern(8)
TEXTS = st.text(min_size=6, max_size=12).flatmap(
    lambda text: st.sampled_from(("utf-8", "utf-16-le", "utf-16-be")).map(lambda name: text.encode(name, "replace"))
)


def missed(expression: re.Pattern[str], data: bytes) -> bool:
    """Whether this is a text, and its letters are told to be none."""
    return as_text(data) is not None and not expression.match(base64.b64encode(data).decode())


@given(TEXTS)
@settings(max_examples=200, deadline=None)
def test_no_text_is_missed(data: bytes) -> None:
    """In any script, in UTF-8 and UTF-16."""
    assert not missed(EIGHT, data)


def test_letters_that_are_ascii_alone_are_found_out() -> None:
    """The law bites: here only ASCII may begin a text."""
    ascii_alone = re.compile("|".join("".join(classes) for classes in list(head(BASE64, 8))[:1]))
    assert any(missed(ascii_alone, text.encode()) for text in ("привет всем", "naïve café", "hello there"))
    assert not missed(EIGHT, "привет всем".encode())


def test_most_noise_begins_no_text() -> None:
    """One run of random letters in ten at most."""
    dice = random.Random(1)
    noise = ["".join(dice.choices(BASE64, k=8)) for _ in range(2000)]
    assert sum(EIGHT.match(run) is not None for run in noise) < 200


def test_every_way_is_another() -> None:
    """Of eight bytes there are as many ways as there are ways to lay characters of one to four bytes, and two of
    UTF-16."""
    ways = [tuple(sorted(bits.items())) for bits in beginnings(8)]
    assert len(set(ways)) == len(ways)


def test_stretches() -> None:
    """Whole runs of the letters around what was found, each once, in order."""
    may, data = Expression("x"), b"..abxcx..ab..x\xc3\xa9x"
    assert [b"abxcx", b"x", b"x"] == [data[left:right] for left, right in stretches(may, b"abcx", data)]

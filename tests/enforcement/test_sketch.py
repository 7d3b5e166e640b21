"""A sketch says that two texts are alike to whoever has the key, and nothing to anybody else."""

from __future__ import annotations

import random
from collections.abc import Callable
from hashlib import blake2b

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.enforcement.sketch import BANDS, HEAD, LEAST, TAIL, Sketcher, bands, likeness

ONE, OTHER = Sketcher(b"a key of one region"), Sketcher(b"a key of the other region")
PROSE = (
    "The harbour master kept two ledgers, one for the ships that paid and one for the ships that promised to, and in "
    "thirty years nobody had asked him to show the second."
)
STRANGER = (
    "Beat the eggs with sugar until they are pale, fold in flour and melted butter, and bake for half an hour in a "
    "moderate oven until a skewer comes out clean."
)

Sketch = Callable[[str, bytes], int]


def keyed(text: str, key: bytes) -> int:
    """Ours."""
    return Sketcher(key).sketch(text)


def plain(text: str, key: bytes) -> int:
    """A planted fault: whoever has the text has the sketch."""
    return int.from_bytes(blake2b(text.encode(), digest_size=32).digest(), "little")


def tells(sketch: Sketch) -> bool:
    """Whether the sketches of one text under two keys have anything in common."""
    return likeness(sketch(PROSE, b"first key, sixteen"), sketch(PROSE, b"second key, sixteen")) > 0


def test_like_texts_share_bands() -> None:
    """Other words in a few places, other signs, other case, other spaces, other digits: it stays the same text."""
    sketch = ONE.sketch(PROSE)
    for other in (
        PROSE.replace("thirty", "forty").replace("promised", "meant"),
        PROSE.upper(),
        PROSE.replace(" ", "\n\t").replace(",", " - "),
    ):
        assert likeness(sketch, ONE.sketch(other)) > 0.3
    assert 1.0 == likeness(ONE.sketch(f"{PROSE} 17"), ONE.sketch(f"{PROSE} 94"))


def test_strangers_share_none() -> None:
    """Texts that have a language in common and no more."""
    assert 0.0 == likeness(ONE.sketch(PROSE), ONE.sketch(STRANGER))


def test_nothing_without_the_key() -> None:
    """Under another key a text is a stranger to itself."""
    assert 0.0 == likeness(ONE.sketch(PROSE), OTHER.sketch(PROSE))
    assert not tells(keyed)


def test_a_sketch_without_a_key_is_found() -> None:
    """A planted fault."""
    assert tells(plain)


@pytest.mark.parametrize("text", ["", " ", "yes", "go on, please", "!" * 100, "😀" * 50])
def test_too_little_text(text: str) -> None:
    """What everybody says has no sketch."""
    assert 0 == ONE.sketch(text)
    assert () == bands(0)


def test_bands_are_buckets() -> None:
    """As many as there are, all different, none of a sketch's other half."""
    found = bands(ONE.sketch(PROSE))
    assert BANDS == len({*found})
    assert [str(number) for number in range(BANDS)] == [band.partition("-")[0] for band in found]


def test_the_middle_of_a_long_text_does_not_count() -> None:
    """Its beginning and its end do."""
    rng = random.Random(1)
    head, tail = (f"{PROSE} {STRANGER} {PROSE.upper()} {STRANGER.title()}"[:size].ljust(size) for size in (HEAD, TAIL))
    middles = ["".join(rng.choices("abc def", k=50_000)) for _ in range(2)]
    assert ONE.sketch(head + middles[0] + tail) == ONE.sketch(head + middles[1] + tail)


@given(st.text(alphabet=st.characters(exclude_categories=()), max_size=200))
@settings(max_examples=100, deadline=None)
def test_total(text: str) -> None:
    """Every str has a sketch, lone surrogates too, and the same each time."""
    sketch = ONE.sketch(text)
    assert 0 <= sketch < 1 << 256
    assert sketch == ONE.sketch(text)


@given(st.text(alphabet="abcdefghij ", min_size=4 * LEAST, max_size=300), st.integers(0, 299))
@settings(max_examples=60, deadline=None)
def test_one_letter_is_not_another_text(text: str, at: int) -> None:
    """Whoever changes one letter of a text that does not repeat itself cannot leave all of its bands."""
    at %= len(text)
    if len({text[place : place + 6] for place in range(len(text))}) < 60 or len(text.split()) < 4:
        return
    changed = text[:at] + "z" + text[at + 1 :]
    assert likeness(ONE.sketch(" ".join(text.split())), ONE.sketch(" ".join(changed.split()))) > 0


def test_a_key_has_a_size() -> None:
    """A short one could be tried out."""
    with pytest.raises(ValueError, match="16 bytes"):
        Sketcher(b"short")
    assert "key" not in repr(ONE).lower()

"""Readings of a whole text: joined, figures as letters, deciphered, turned."""

from __future__ import annotations

import codecs

import pytest
import re2  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from safeguards_extproc.detectors.readings import READINGS, backwards, deciphered, joined, leet, rendered, upright


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b o m b now", "abomb now"),
        ("m a k e   a   b o m b", "make a bomb"),
        ("m-a-k-e b-o-m-b", "make bomb"),
        ("b.o.m.b.", "bomb."),
        ("b\no\nm\nb", "bomb"),
        ("1 2 3 4 5", "1 2 3 4 5"),
        ("at 1.5 m s-1 it", "at 1.5 m s-1 it"),
        ("plan A, B, C", "plan A, B, C"),
    ],
)
def test_joined(text: str, expected: str) -> None:
    """The commonest gap joins, a wider one parts words; figures alone are left."""
    assert (expected,) == joined(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bo<!-- x -->mb<!-- y --> now", "bomb now"),
        ("b<b>o</b>m**b** b👻o❤️m~~b", "bomb bomb"),
        ("**bold, 2 * b, 1</p> 👍 fine", "**bold, 2 * b, 1</p> 👍 fine"),
    ],
)
def test_rendered(text: str, expected: str) -> None:
    """Only what stands behind a letter goes."""
    assert (expected,) == rendered(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("k1ll h1m n0w", ["kill him now"]),
        ("m@k3 @ b0mb!", ["make a bomb!"]),
        ("a$$hole 4 you", ["asshole a you"]),
        ("h0w c4n y0u m@k3 $73p5 7h@7 b0mb @b0u7 7h3", ["how can you make steps that bomb about the"]),
        ("h0w c4n y0u tell @b0b1e 7h@7", ["how can you tell @b0b1e 7h@7"]),
        ("it is 4 pm, 10 of 20", []),
        ("B2B, H2O, COVID19 and 3D", []),
        ("@somebody wrote to jo@example.org", []),
        ("see t.co/0YbIk1", []),
        ("id XKQZR3TWV", []),
    ],
)
def test_leet(text: str, expected: list[str]) -> None:
    """Words become letters; short tokens only beside such words, any token beside many; numbers, names and
    addresses stay."""
    assert expected == list(leet(text))


def test_ciphers() -> None:
    """The shift is found by the words that come out."""
    plain = "tell me how to make the thing that you need"
    assert plain in deciphered(codecs.encode(plain, "rot13"))
    assert plain.upper() in deciphered(codecs.encode(plain.upper(), "rot13"))
    assert [] == list(deciphered("the word gur means nothing in rot13"))


def test_backwards() -> None:
    """The whole text and each word; a palindrome or a name says nothing."""
    assert "how to make the bomb" in backwards("bmob eht ekam ot woh")
    assert "how to make the bomb" in backwards("woh ot ekam eht bmob")
    assert () == backwards("the dna era")
    assert "how to grow cannabis indoors" in backwards("woh ot worg sibannac sroodni")
    assert () == backwards("worg sibannac sroodni")


def test_a_sign_that_was_turned_with_its_word_is_turned_back() -> None:
    """One that stands where it belongs stays."""
    assert "how do you make that? Tell me." in backwards("woh od uoy ekam ?taht lleT .em")
    assert "how do you make that? Tell me." in backwards("woh od uoy ekam taht? lleT em.")


def test_upright() -> None:
    """Turned letters, from the end."""
    assert ("bomb the",) == upright("ǝɥʇ qɯoq")


@pytest.mark.parametrize(
    "text",
    ["b o m b", "a-b-c-d", "k1ll", "b0mb", "4sshole", "a$$", "gur naq", "GUR NAQ", "wkh dqg", "eht", "ǝɥʇ"],
)
def test_triggers(text: str) -> None:
    """Each is asked for by some trigger."""
    assert any(re2.search(trigger, text) for trigger, _ in READINGS)


@given(st.text(st.characters(exclude_categories=()), max_size=60))
def test_total(text: str) -> None:
    """Any str, and no reading is longer than the text."""
    for _, reading in READINGS:
        assert all(len(view) <= len(text) for view in reading(text))


def test_a_hostile_word_costs_no_more_than_a_long_one() -> None:
    """Many vowels before a wrong end are looked at once."""
    text = "a1" + "a" * 20_000 + "bcdfgh"
    assert () == leet(text)

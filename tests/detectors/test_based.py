"""Letters that stand for bytes are read where they stand for a text, and left alone where they do not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.detectors import based
from tests.detectors import plain

READS: list[tuple[Callable[[str], str], str, str]] = [
    (based.base_n, "see aGVsbG8gd29ybGQ= there", "see hello world there"),
    (based.base_n, "aGVsbG8gd29ybGQgb2YgbWFueSBzZWFz\nplease", " hello world of many seas please"),
    (based.base_n, "instructions\naGVsbG8gd29ybGQ=", "instructions\nhello world"),
    (based.base_n, "id_aGVsbG8gd29ybGQgb2YgbWFueSBzZWFzxYz", "id_ hello world of many seasŌ "),
    (based.base_n, "NBSWY3DPEB3W64TMMQ======", "hello world"),
    (based.base85, "a Xk~0{Zy<DNWpZUKAZTxQAYpQ4AbD?f b", "a hello there, how are you b"),
    (based.base85, "a BOu!rD]j.8ATD?5+D>\\;+CT;%+F.mJ b", "a hello there, how are you b"),
    (based.base_n, "nbswy3dpeb3w64tmmq======", "hello world"),
]

LEAVES: list[tuple[Callable[[str], str], str]] = [
    (based.base_n, "internationalization https://example.org/path/to/something/longer"),
    (based.base_n, "computeTotalPriceOfAllOrdersOfTheYear\nincludeShippingCosts"),
    (based.base85, 'https://example.org/a?b=c&d=e#f {"a":[1,2,3],"b":{"c":null}} x=(a+b)*c/d-e%f;g=h'),
]


@pytest.mark.parametrize(("decoder", "text", "expected"), READS, ids=lambda value: getattr(value, "__name__", ""))
def test_what_is_read(decoder: Callable[[str], str], text: str, expected: str) -> None:
    """In place, with the text around it."""
    assert expected == decoder(text)


@pytest.mark.parametrize(("decoder", "text"), LEAVES, ids=lambda value: getattr(value, "__name__", ""))
def test_what_is_left(decoder: Callable[[str], str], text: str) -> None:
    """Names of programs, links and numbers say nothing."""
    assert text == decoder(text)


@given(st.text(alphabet="aA9+/-_=\r\n zé\ud800", max_size=120))
@settings(max_examples=60, deadline=None)
def test_total(text: str) -> None:
    """Any text, well-formed or not."""
    for decoder in (based.base_n, based.base85):
        assert len(decoder(text)) <= 2 * len(text) + 16


def test_a_run_that_begins_behind_another() -> None:
    """Lines of the plain alphabet end where the URL's alphabet begins, and what follows is read too."""
    text = "x8/7X77373IABSQA3AANQAG6\nf37FFxb0d0p1pe77-977-9aGVsbG8gdGhlcmUgYWxs"
    assert "hello there all" in based.base_n(text)
    assert plain.base_n(text) == based.base_n(text)

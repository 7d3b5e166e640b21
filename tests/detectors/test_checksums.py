"""Check digits: published examples pass, and a changed digit does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from safeguards_extproc.detectors import checksums

GOOD: list[tuple[Callable[[str], bool], list[str]]] = [
    (checksums.luhn, ["4111111111111111", "378282246310005", "6011111111111117", "79927398713"]),
    (checksums.verhoeff, ["2363", "123451", "999941057058"]),
    (checksums.mod97, ["GB82WEST12345698765432", "DE89370400440532013000", "NO9386011117947"]),
    (checksums.mod11_nhs, ["9434765919", "4010232137"]),
    (checksums.mod11_10, ["86095742719", "47036892816", "65929970489"]),
    (checksums.nif, ["12345678Z", "X1234567L", "Y7654321G"]),
    (checksums.base58check, ["1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy"]),
    (
        checksums.bech32,
        [
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
            "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4",
            "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
        ],
    ),
]


@pytest.mark.parametrize(("check", "numbers"), GOOD, ids=lambda value: getattr(value, "__name__", ""))
def test_published_numbers_pass(check: Callable[[str], bool], numbers: list[str]) -> None:
    """Examples from the standards and from their issuers."""
    assert numbers == [number for number in numbers if check(number)]


@pytest.mark.parametrize(("check", "numbers"), GOOD, ids=lambda value: getattr(value, "__name__", ""))
def test_one_wrong_digit_fails(check: Callable[[str], bool], numbers: list[str]) -> None:
    """Any single digit changed to its neighbour is noticed."""
    for number in numbers:
        for place, digit in enumerate(number):
            if digit in "12345678":
                wrong = number[:place] + str(int(digit) + 1) + number[place + 1 :]
                assert not check(wrong), place


def test_swapped_neighbours_fail_where_the_code_promises_it() -> None:
    """Verhoeff's code notices every swap of two neighbours."""
    number = "999941057058"
    swapped = [
        number[:i] + number[i + 1] + number[i] + number[i + 2 :] for i in range(11) if number[i] != number[i + 1]
    ]
    assert [] == [text for text in swapped if checksums.verhoeff(text)]


def test_crc_in_base_62() -> None:
    """Six digits with leading zeros; a published, revoked token is the example."""
    assert checksums.crc62("zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ", "0mLq17")
    assert not checksums.crc62("zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ", "0mLq18")


@pytest.mark.parametrize("text", ["0OIl", "1" * 60, "", "z" * 80])
def test_what_is_no_base58_at_all(text: str) -> None:
    """Characters outside the alphabet, too long, empty."""
    assert not checksums.base58check(text)


@pytest.mark.parametrize("text", ["bc1", "1qqqqqq", "bc1Qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "bc1bbbbbbbb"])
def test_what_is_no_bech32_at_all(text: str) -> None:
    """Too short, no prefix, mixed case, characters outside the alphabet."""
    assert not checksums.bech32(text)


def test_entropy() -> None:
    """Bits per character: none for one character repeated, two for four alike."""
    assert [0.0, 0.0, 1.0, 2.0] == [checksums.entropy(text) for text in ("", "aaaa", "abab", "abcd")]

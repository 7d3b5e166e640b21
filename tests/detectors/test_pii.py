"""Personal data: good and bad numbers of each kind, near misses, and cuts through each."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.core.decision import Span
from safeguards_extproc.detectors.pii import IBAN_LENGTHS, ROWS, pii
from tests.contract.detector_contract import tail_is_safe
from tests.detectors.samples import PII

DETECTOR = pii("p", {})
SEEDS = st.integers(0, 2**32).map(random.Random)


def marked(text: str) -> list[tuple[str, str]]:
    return [(span.entity, text[span.start : span.end]) for span in DETECTOR.find(text, ()).spans]


def test_every_kind_has_a_sample() -> None:
    """A row without a sample is a row without a test."""
    assert {row.entity for row in ROWS} == set(PII)


@pytest.mark.parametrize("entity", PII)
@given(dice=SEEDS)
@settings(max_examples=8, deadline=None)
def test_it_is_found_where_it_stands(entity: str, dice: random.Random) -> None:
    """In the middle of a sentence, exactly its characters are marked, and it scores."""
    before, core, after = PII[entity](dice)
    text = f"Sure – {before}{core}{after} ok?"
    findings = DETECTOR.find(text, ())
    start = len("Sure – " + before)
    assert Span(start, start + len(core), entity) in findings.spans
    assert findings.scores[f"p.{entity}"] > 0.5


@pytest.mark.parametrize("entity", PII)
@given(dice=SEEDS)
@settings(max_examples=4, deadline=None)
def test_no_cut_lets_its_beginning_go(entity: str, dice: random.Random) -> None:
    """Wherever a stream is cut, the beginning of what would be redacted is held back."""
    tail_is_safe(DETECTOR, "é " + "".join(PII[entity](dice)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("jo@x.org", [("email", "jo@x.org")]),
        ("<jo.o'neil+a_b@mail.x-y.co.uk>.", [("email", "jo.o'neil+a_b@mail.x-y.co.uk")]),
        ("jörg@köln.de", [("email", "jörg@köln.de")]),
        ("a@b.c1", []),
        ("a..b@x.org", [("email", "b@x.org")]),
        ("a@-x.org", []),
        ("a@x", []),
        ("@handle and @other.one", []),
        ("4111111111111111", [("card", "4111111111111111")]),
        ("4111 1111 1111 1111 123", [("card", "4111 1111 1111 1111")]),
        ("45 4111-1111-1111-1111", [("card", "4111-1111-1111-1111")]),
        ("3782 822463 10005", [("card", "3782 822463 10005")]),
        ("4111111111111112", []),
        ("41111111111111111", []),
        ("0.4111111111111111", []),
        ("id4111111111111111", []),
        ("9111111111111111", []),
        ("4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", []),
        ("GB82 WEST 1234 5698 7654 32", [("iban", "GB82 WEST 1234 5698 7654 32")]),
        ("gb82west12345698765432", [("iban", "gb82west12345698765432")]),
        ("GB82WEST12345698765433", []),
        ("GB82WEST123456987654321", []),
        ("ZZ82WEST12345698765432", []),
        ("205-46-4452", [("us_ssn", "205-46-4452")]),
        ("666-46-4452 000-12-1234 912-12-1234 205-00-4452 205-46-0000 078-05-1120", []),
        ("205-46-44521 1205-46-4452 205-46-4452-1", []),
        ("205464452", []),
        ("+44 20 7946 0958", [("phone", "+44 20 7946 0958")]),
        ("(311)905-4466x8827", [("phone", "(311)905-4466x8827")]),
        ("675.792.5614", [("phone", "675.792.5614")]),
        ("in 2024-05-06, from 10 to 20", []),
        ("call 2024-05-06", []),
        ("1234567 units", []),
        ("+1 111 111 1111", []),
        ("10.0.0.12 and 255.255.255.0", [("ip_address", "10.0.0.12"), ("ip_address", "255.255.255.0")]),
        ("1.2.3.4.5 and 256.1.1.1 and 127.0.0.1 and 0.0.0.0 and v1.2.3", []),
        ("fe80::1ff:fe23:4567:890a", [("ip_address", "fe80::1ff:fe23:4567:890a")]),
        ("std::vector a::b 12:30:45 ::1", []),
        ("00:1A:2b:3c:4D:5e", [("mac_address", "00:1A:2b:3c:4D:5e")]),
        ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", [("crypto_address", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa")]),
        ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb", []),
        (
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
            [("crypto_address", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4")],
        ),
        ("0x" + "0" * 40, []),
        ("NHS no: 943 476 5919", [("uk_nhs", "943 476 5919")]),
        ("NHS 9434765918", []),
        ("AB123456C", [("uk_nino", "AB123456C")]),
        ("GB123456A QQ123456C", []),
        ("9999 4105 7058", [("in_aadhaar", "9999 4105 7058")]),
        ("9999 4105 7059", []),
        ("Steuer-ID 86 095 742 719", [("de_tax_id", "86 095 742 719")]),
        ("86095742719", []),
        ("12345678Z X1234567L", [("es_nif", "12345678Z"), ("es_nif", "X1234567L")]),
        ("12345678A", []),
        ("DOB: 1990-02-28", [("date_of_birth", "1990-02-28")]),
        ("born May 3rd, 1985", [("date_of_birth", "May 3rd, 1985")]),
        ("DOB 45/13/1990", []),
        ("on 1990-02-28 it rained", []),
    ],
)
def test_good_and_bad(text: str, expected: list[tuple[str, str]]) -> None:
    """What is marked, and what only looks like it."""
    assert expected == marked(text)


def test_lengths_of_ibans() -> None:
    """Every country of the registry has one length, from Norway's 15 to Russia's 33."""
    assert (15, 33) == (min(IBAN_LENGTHS.values()), max(IBAN_LENGTHS.values()))
    assert all(len(code) == 2 and code.isupper() for code in IBAN_LENGTHS)


@pytest.mark.parametrize(
    ("text", "entity", "tail"),
    [
        ("The meeting went well and all agreed.", "card", 0),
        ("The meeting went well and all agreed ", "email", 0),
        ("The meeting went well and all agreed ", "iban", 0),
        ("pay with 4111 1111 ", "card", len(" 4111 1111 ")),
        ("write to jo.doe@exam", "email", len(" jo.doe@exam")),
        ("paid by GB82 WE", "iban", len(" GB82 WE")),
    ],
)
def test_how_much_is_held_back(text: str, entity: str, tail: int) -> None:
    """Words hold nothing back; the beginning of a number is held with the one character that sets it apart."""
    assert tail == DETECTOR.tail(text, frozenset({entity}))


def test_a_choice_of_kinds() -> None:
    """`entities` leaves the others out altogether."""
    assert pii("p", {"entities": ["email"]}).find("4111111111111111 a@b.co", ()).spans == [Span(17, 23, "email")]

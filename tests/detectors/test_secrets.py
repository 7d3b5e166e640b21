"""Credentials of every kind in the table, placeholders, and cuts through each."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.core.decision import Span
from safeguards_extproc.detectors.secrets import ROWS, secrets
from tests.contract.detector_contract import tail_is_safe
from tests.detectors.samples import CHECKED_GITHUB, SECRETS, fill

DETECTOR = secrets("s", {})
SEEDS = st.integers(0, 2**32).map(random.Random)


def test_every_kind_has_a_sample() -> None:
    """A row without a sample is a row without a test."""
    assert {row.entity for row in ROWS} == set(SECRETS)


@pytest.mark.parametrize("entity", SECRETS)
@given(dice=SEEDS)
@settings(max_examples=8, deadline=None)
def test_it_is_found_where_it_stands(entity: str, dice: random.Random) -> None:
    """In the middle of a sentence, exactly its characters are marked, and it scores."""
    before, core, after = SECRETS[entity](dice)
    text = f"Look: {before}{core}{after} and more"
    findings = DETECTOR.find(text, ())
    start = len("Look: " + before)
    assert Span(start, start + len(core), entity) in findings.spans
    assert findings.scores[f"s.{entity}"] >= 0.8


@pytest.mark.parametrize("entity", SECRETS)
@given(dice=SEEDS)
@settings(max_examples=3, deadline=None)
def test_no_cut_lets_its_beginning_go(entity: str, dice: random.Random) -> None:
    """Wherever a stream is cut, the beginning of the credential is held back."""
    tail_is_safe(DETECTOR, "".join(SECRETS[entity](dice)))


@given(dice=SEEDS)
@settings(max_examples=10, deadline=None)
def test_the_checksum_of_a_token_is_certainty(dice: random.Random) -> None:
    """With its CRC a token scores 1.0; with another it is still random enough to be marked, and scores less."""
    before, core, after = CHECKED_GITHUB(dice)
    assert DETECTOR.find(before + core + after, ()).scores["s.github_token"] == 1.0
    wrong = core[:-1] + ("1" if core[-1] != "1" else "2")
    assert DETECTOR.find(before + wrong + after, ()).scores["s.github_token"] == 0.9


@pytest.mark.parametrize(
    "text",
    [
        "AKIA" + "X" * 16,
        "AKIA" + "IOSFODNN7EXAMPLE",
        "ghp_" + "x" * 36,
        "sk-" + "your-api-key-goes-here-and-so-on",
        "password: required",
        "password = ********",
        "password: <your password>",
        "password: ${DB_PASSWORD}",
        "api_key: YOUR_API_KEY",
        "the password is secret",
        "the password is the one that you chose",
        "token: undefined",
        "postgres://user:password@localhost/db",
        "https://example.org:8080/a@b",
        "eyJub3QiOiJhIGhlYWRlciJ9" + ".eyJub3QiOiJhIGhlYWRlciJ9." + "a" * 43,
        "-----BEGIN PRIVATE KEY----- is the first line of such a file",
        "a commit: " + "0123456789abcdef" * 2 + "01234567",
        "ya29 is a prefix; so is AIza",
    ],
)
def test_what_is_no_credential(text: str) -> None:
    """Placeholders, words about credentials, and numbers that are something else."""
    assert [] == list(DETECTOR.find(text, ()).spans)


def test_a_finished_key_is_not_waited_for() -> None:
    """After the end line nothing is held back; in the middle everything from the first line is."""
    before, core, _ = fill(
        "|-----BEGIN PRIVATE KEY-----\n<b64>\n<b20>==\n-----END PRIVATE KEY-----|", random.Random(1)
    ).split("|")
    assert DETECTOR.tail(before + core + "\n", frozenset({"private_key"})) == 0
    assert DETECTOR.tail(core[:80], frozenset({"private_key"})) == 80


def test_words_hold_nothing_back() -> None:
    """The end of an ordinary sentence is no beginning of a credential."""
    assert DETECTOR.tail("Thank you for the password reset. ", DETECTOR.entities) == 0


def test_a_choice_of_kinds() -> None:
    """`entities` leaves the others out altogether."""
    detector = secrets("s", {"entities": ["jwt"]})
    assert detector.scores == {"s.jwt"}

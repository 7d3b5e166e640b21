"""Strikes: which settled exchanges are any, against whom, and how they travel."""

from dataclasses import replace

import pytest

from safeguards_extproc.core.account import Admission, Identity, Settlement, Usage
from safeguards_extproc.enforcement.strikes import decode, encode, strike
from safeguards_extproc.policy.account_document import StrikeSpec

WHO = Identity({"organisation": "org1", "key": "key1", "end_user": "user1", "model": "small"})
BLOCKED = Settlement(Admission("exchange-1", WHO), Usage(), "block", category="weapons", rule="no-weapons")
ANY = StrikeSpec()


def told(settlement=BLOCKED, *specs):
    return strike(settlement, specs or [ANY], "house", "digest1", 1000.0)


def test_the_smallest_identity_answers():
    """A user's offence is not its organisation's."""
    found = told()

    assert (found.subject_kind, found.subject) == ("end_user", "user1")
    assert (found.record, found.rule, found.category) == ("exchange-1", "no-weapons", "weapons")
    assert (found.policy, found.digest, found.at) == ("house", "digest1", 1000.0)


def test_the_first_row_that_fits_counts():
    """Rows go from the particular to the general."""
    weapons = StrikeSpec(category="weapons", weight=5.0, first=0.0, half_life="7d")
    found = told(BLOCKED, StrikeSpec(category="spam", weight=9.0), weapons, ANY)

    assert (found.weight, found.first, found.half_life) == (5.0, 0.0, 7 * 86_400.0)


@pytest.mark.parametrize(
    ("settlement", "specs"),
    [
        (replace(BLOCKED, outcome="allow"), [ANY]),
        (replace(BLOCKED, refused=True), [ANY]),
        (replace(BLOCKED, judged=False), [ANY]),
        (replace(BLOCKED, admission=Admission("exchange-1", Identity({"model": "small"}))), [ANY]),
        (BLOCKED, [StrikeSpec(category="spam")]),
        (BLOCKED, [StrikeSpec(outcomes=["stop"])]),
    ],
)
def test_what_is_no_strike(settlement, specs):
    """What was allowed, or refused by its admission (asking again is no offence) or because a check failed."""
    assert told(settlement, *specs) is None


def test_a_strike_travels():
    """And comes back the same; what else comes is none."""
    found = told()

    assert decode(encode(found)) == found
    assert decode(b'{"record": 1}') is None
    assert decode(encode(found)[:-4]) is None

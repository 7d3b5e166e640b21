"""Errors say what, where and how to mend it; slugs come from closed sets."""

import pytest

from safeguards_extproc.errors import ConfigError, DetectorError, LimitExceeded, MalformedBody, StoreError


def test_a_config_error_says_where_and_how():
    """File and line first, the hint last."""
    error = ConfigError("unknown key 'than'", where="policy.yaml:7", hint="did you mean 'then'?")

    assert str(error) == "policy.yaml:7: unknown key 'than' (did you mean 'then'?)"


@pytest.mark.parametrize(
    "make", [lambda: MalformedBody("odd"), lambda: DetectorError("odd"), lambda: StoreError("odd")]
)
def test_slugs_are_closed_sets(make):
    """A reason that nobody documented is a bug."""
    with pytest.raises(ValueError, match="odd"):
        make()


def test_places_not_words():
    """A body's error has an offset, a limit its name."""
    assert str(MalformedBody("syntax", offset=7)) == "syntax at byte 7"
    assert str(LimitExceeded("request_bytes")) == "over request_bytes"


def test_a_stores_failure_says_why():
    """One code for metrics, and the reason beside it."""
    error = StoreError("timeout")

    assert (error.code, error.reason, str(error)) == ("store", "timeout", "timeout")

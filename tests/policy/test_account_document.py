"""The keys that say who asks and how much they may: one place an identity, and no header that clients can set."""

from __future__ import annotations

import pydantic
import pytest

from safeguards_extproc.policy.account_document import CampaignSpec, From, seconds


@pytest.mark.parametrize(("written", "expected"), [("90s", 90.0), ("15m", 900.0), ("7d", 604_800.0), ("250ms", 0.25)])
def test_a_time_is_read(written: str, expected: float) -> None:
    """With its unit."""
    assert expected == seconds(written)


def test_a_time_without_a_unit_is_refused() -> None:
    """A bare string is not guessed at."""
    with pytest.raises(ValueError, match="such as 90s"):
        seconds("90")


def test_a_header_that_clients_can_set_is_refused() -> None:
    """Unless the policy says who sets it."""
    with pytest.raises(pydantic.ValidationError, match="a header that clients can set"):
        From(header="x-tenant")
    assert From(header="x-tenant", trusted=True).header == "x-tenant"


def test_an_identity_stands_in_one_place() -> None:
    """Two places in one entry are a mistake; a list has one entry each."""
    with pytest.raises(pydantic.ValidationError, match="exactly one place"):
        From(attribute="source.address", value="x")


def test_a_place_in_the_body_is_written_json() -> None:
    """Under that key, and no other."""
    assert From.model_validate({"json": "$.user"}).json_path == "$.user"
    with pytest.raises(pydantic.ValidationError):
        From.model_validate({"json_path": "$.user"})


def test_a_share_of_refusals_is_a_share() -> None:
    """Ten refusals are none."""
    found = {"name": "x", "detect": "refusals", "threshold": 0.3}
    assert CampaignSpec.model_validate(found).threshold == 0.3
    with pytest.raises(pydantic.ValidationError, match="is a share"):
        CampaignSpec.model_validate({**found, "threshold": 10.0})

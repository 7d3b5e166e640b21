"""Fields that are not wanted in records."""

from __future__ import annotations

import copy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safeguards_extproc.core.record import Items, Phase, Record
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.records.encode import to_json
from safeguards_extproc.records.mask import FIELDS, mask_of
from tests.records.samples import RECORDS

SECRET = Record(
    "1",
    model="m",
    identity={"user": "u", "tenant": "t"},
    request=Phase(
        scores={"user": {"screen.attack": 0.5, "screen.unsafe": 0.25}, "tool": {"screen.attack": 0.125}},
        features={"language": "de", "turns": 3},
        items=Items(dropped_ids=["a"]),
    ),
)


def test_masked_fields_are_empty_and_named() -> None:
    """A field, a key of a map, a label of a kind of text; the rest stays, and so does the record it was made from."""
    before = copy.deepcopy(SECRET)
    paths = ["model", "identity.user", "request.scores.user.screen.attack", "request.items.dropped_ids"]
    mask = mask_of(paths)
    assert mask is not None
    masked = mask(SECRET)
    assert sorted(paths) == masked.masked
    assert ("", {"tenant": "t"}) == (masked.model, masked.identity)
    assert {"user": {"screen.unsafe": 0.25}, "tool": {"screen.attack": 0.125}} == masked.request.scores
    assert ([], SECRET.request.features) == (masked.request.items.dropped_ids, masked.request.features)
    assert before == SECRET


def test_a_field_and_a_key_of_it_are_the_field() -> None:
    """The wider one counts, whichever was said first."""
    for paths in (["identity", "identity.user"], ["identity.user", "identity"]):
        mask = mask_of(paths)
        assert mask is not None
        assert {} == mask(SECRET).identity


def test_without_fields_nothing_is_masked() -> None:
    """And nothing is copied."""
    assert mask_of(()) is None


@pytest.mark.parametrize(
    "path", ["sequence", "outcome", "request.decided", "request.account.bytes_in", "model.x", "identity.", "modle", ""]
)
def test_what_would_say_something_wrong_cannot_be_masked(path: str) -> None:
    """An empty verdict or count is a false one; a slip of the pen is named, with what it may have been."""
    with pytest.raises(ConfigError, match="--mask"):
        mask_of([path])


def test_a_slip_of_the_pen_is_understood() -> None:
    """The hint names the nearest field."""
    with pytest.raises(ConfigError, match="perhaps model"):
        mask_of(["modle"])


@pytest.mark.long
@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(RECORDS, st.sets(st.sampled_from(sorted(FIELDS)), min_size=1))
def test_every_field_of_the_table_can_be_masked_in_every_record(record: Record, paths: set[str]) -> None:
    """What is masked is empty, and written records differ in nothing else."""
    mask = mask_of(paths)
    assert mask is not None
    masked, expected = mask(record), copy.deepcopy(record)
    expected.masked = sorted(paths)
    for path in paths:
        *above, last = path.split(".")
        of = expected
        for name in above:
            of = getattr(of, name)
        setattr(of, last, type(getattr(of, last))())
    assert to_json(expected) == to_json(masked)

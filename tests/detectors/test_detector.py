"""The protocol, and the table that a policy chooses from."""

from __future__ import annotations

import pytest

from safeguards_extproc.detectors import DETECTORS, Detector
from safeguards_extproc.errors import ConfigError

GOOD: dict[str, dict[str, object]] = {"patterns": {"lists": {"a": ["x"]}}, "secrets": {}, "pii": {}}


def test_the_table_and_its_examples_agree() -> None:
    """Every row is tried here."""
    assert set(GOOD) == set(DETECTORS)


@pytest.mark.parametrize("kind", DETECTORS)
def test_a_row_makes_a_detector_of_that_name(kind: str) -> None:
    """The name is the policy's, and stands before every score."""
    detector: Detector = DETECTORS[kind]("mine", GOOD[kind])
    assert detector.name == "mine"
    assert all(score.startswith("mine.") for score in detector.scores)


@pytest.mark.parametrize("kind", DETECTORS)
def test_an_unknown_option_is_refused(kind: str) -> None:
    """With its place and what there is."""
    with pytest.raises(ConfigError) as caught:
        DETECTORS[kind]("mine", {**GOOD[kind], "wrong": 1})
    assert caught.value.where == "wrong"
    assert "known" in caught.value.hint

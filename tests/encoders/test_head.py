"""Calibrated scores are probabilities that rise with the logits."""

from __future__ import annotations

import pytest
import torch

from encoders.head import Calibration, platt

pytestmark = pytest.mark.long


def test_two_knots_are_a_temperature_and_a_bias() -> None:
    """sigmoid(logit / temperature + bias), label by label, far outside the knots as well."""
    logits = torch.linspace(-30, 30, 61)[:, None].expand(61, 2)
    expected = torch.sigmoid(logits / torch.tensor([2.0, 0.5]) + torch.tensor([0.3, -1.0]))
    torch.testing.assert_close(platt([2.0, 0.5], [0.3, -1.0])(logits), expected)


def test_many_knots_are_a_line_through_them() -> None:
    """Each knot is hit, a flat end stays flat, and no score falls where its logit rises."""
    raw = torch.tensor([[-2.0, 0.0, 1.0, 5.0]])
    true = torch.tensor([[-3.0, -3.0, 2.0, 4.0]])
    made = Calibration(raw, true)
    torch.testing.assert_close(made(raw.T), torch.sigmoid(true.T))
    scores = made(torch.linspace(-40, 40, 1001)[:, None])
    assert (scores.diff(dim=0) >= 0).all()
    torch.testing.assert_close(scores[0, 0], torch.sigmoid(torch.tensor(-3.0)))


@pytest.mark.parametrize(
    ("raw", "true"),
    [
        ([[0.0, 1.0]], [[1.0, 0.0]]),
        ([[0.0, 0.0]], [[0.0, 1.0]]),
        ([[0.0]], [[0.0]]),
        ([[0.0, 1.0]], [[0.0, float("nan")]]),
        ([[0.0, 1.0]], [[0.0, 1.0, 2.0]]),
    ],
)
def test_what_falls_or_is_no_number_is_refused(raw: list[list[float]], true: list[list[float]]) -> None:
    """A falling calibration would turn the largest score over windows into another window's."""
    with pytest.raises(ValueError, match="calibration"):
        Calibration(torch.tensor(raw), torch.tensor(true))

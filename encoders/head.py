"""From a text's vector to a probability for each label: a small network, and the correction that makes it honest."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Head(nn.Module):
    """Logits [texts, labels] of vectors [texts, 3 · hidden]: linear, tanh, linear."""

    def __init__(self, inputs: int, width: int, labels: int) -> None:
        super().__init__()
        self.inner = nn.Linear(inputs, width)
        self.outer = nn.Linear(width, labels)

    def forward(self, vectors: Tensor) -> Tensor:
        answer: Tensor = self.outer(torch.tanh(self.inner(vectors)))
        return answer


class Calibration(nn.Module):
    """A rising line through knots for each label, from logits to logits; past its ends it goes on straight.

    `raw` and `true` are [labels, knots], at least two knots. Two knots are a temperature and a bias (Platt), more are
    what an isotonic fit gives. Rising, so the largest score over windows is the score of the largest logit.
    """

    raw: Tensor
    true: Tensor

    def __init__(self, raw: Tensor, true: Tensor) -> None:
        super().__init__()
        if raw.shape != true.shape or raw.dim() != 2 or raw.shape[1] < 2:
            raise ValueError("a calibration has two knots or more for each label")
        if not (torch.isfinite(raw).all() and torch.isfinite(true).all()):
            raise ValueError("a calibration's knots are finite")
        if (raw.diff(dim=1) <= 0).any() or (true.diff(dim=1) < 0).any():
            raise ValueError("a calibration must not fall")
        self.register_buffer("raw", raw.float())
        self.register_buffer("true", true.float())

    def forward(self, logits: Tensor) -> Tensor:
        """Probabilities [texts, labels] of logits [texts, labels]."""
        columns = logits.float().T.contiguous()
        right = torch.searchsorted(self.raw, columns).clamp(1, self.raw.shape[1] - 1)
        low, high = self.raw.gather(1, right - 1), self.raw.gather(1, right)
        below, above = self.true.gather(1, right - 1), self.true.gather(1, right)
        mended = below + (columns - low) * (above - below) / (high - low)
        return torch.sigmoid(mended).T


def platt(temperatures: Sequence[float], biases: Sequence[float]) -> Calibration:
    """sigmoid(logit / temperature + bias) for each label."""
    temperature, bias = torch.tensor(temperatures), torch.tensor(biases)
    raw = torch.tensor([-1.0, 1.0]).expand(len(temperature), 2)
    return Calibration(raw.clone(), raw / temperature[:, None] + bias[:, None])

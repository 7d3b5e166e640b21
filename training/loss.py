"""What a network is fitted to: the labels that somebody judged, and no others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

MISSING = -1.0


def targets(labels: Sequence[Mapping[str, int]], names: Sequence[str]) -> Tensor:
    """[texts, labels]: 0, 1, or MISSING where nobody judged."""
    return torch.tensor([[float(known.get(name, MISSING)) for name in names] for known in labels])


def balance(drawn: Sequence[Mapping[str, int]], names: Sequence[str], most: float = 6.0) -> Tensor:
    """How much more a positive counts than a negative, by label: the root of how much rarer it is, at most `most`."""
    wanted = targets(drawn, names)
    rarer = (wanted == 0).sum(0) / (wanted == 1).sum(0).clamp(min=1)
    return rarer.sqrt().clamp(1.0, most)


def masked_loss(logits: Tensor, wanted: Tensor, smooth: float = 0.0, weights: Tensor | None = None) -> Tensor:
    """Mean cross-entropy over the labels that somebody judged; 0 and 1 are taken `smooth` / 2 nearer to each other, and
    positives count `weights` times (`balance`)."""
    judged = wanted != MISSING
    soft = wanted.clamp(min=0.0) * (1.0 - smooth) + smooth / 2
    losses = functional.binary_cross_entropy_with_logits(logits, soft, reduction="none", pos_weight=weights)
    return (losses * judged).sum() / judged.sum().clamp(min=1)

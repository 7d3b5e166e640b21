"""The network in torch: what training fits and what Triton runs. `forward_numpy` must give the same scores.

Rows of the table are summed by block. A piece of text is described by the mean over its n-grams and by the largest mean
over any `SPAN` neighbouring blocks, number by number, so that a short passage shows in a long text. One hidden layer
follows. A text's score is the largest over its pieces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from .features import NONE, ROWS  # type: ignore[import-not-found]

if TYPE_CHECKING:
    from .features import Features

SPAN = 3


class Network(nn.Module):
    """Logits [texts, labels] of `Features`. The table's last row stands for "no n-gram" and must stay zero."""

    def __init__(self, width: int, hidden: int, labels: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(ROWS + 1, width))
        self.hidden = nn.Linear(2 * width, hidden)
        self.output = nn.Linear(hidden, labels)

    def forward(self, features: Features, drop: float = 0.0) -> Tensor:
        """`drop` is the share of n-grams to leave out, for training."""
        grams, words = torch.from_numpy(features.grams), torch.from_numpy(features.words)
        if drop:
            grams = grams.masked_fill(torch.rand(grams.shape) < drop, NONE)
            words = words.masked_fill(torch.rand(words.shape) < drop, NONE)
        counts = torch.from_numpy(features.counts) * (1 - drop)
        sums = functional.embedding_bag(grams, self.table, mode="sum")
        word_starts = torch.from_numpy(features.word_starts)
        sums = sums + functional.embedding_bag(words.view(-1), self.table, word_starts[:-1] * 2, mode="sum")
        described = describe(sums, counts, torch.from_numpy(features.piece_starts))
        logits: Tensor = self.output(torch.relu(self.hidden(described)))
        starts = features.text_starts
        if len(starts) == len(logits) + 1:
            return logits
        return torch.stack([logits[starts[text] : starts[text + 1]].amax(0) for text in range(len(starts) - 1)])


def describe(sums: Tensor, counts: Tensor, piece_starts: Tensor) -> Tensor:
    """Means and largest span means [pieces, 2 · width] of block sums [blocks, width]."""
    first, lengths = piece_starts[:-1], piece_starts.diff()
    longest = int(lengths.max())
    place = torch.arange(longest)
    inside = place < lengths[:, None]
    index = torch.where(inside, first[:, None] + place, 0)
    by_piece = torch.where(inside[..., None], sums[index], 0.0)
    counted = torch.where(inside, counts[index], 0.0)
    mean = by_piece.sum(1) / counted.sum(1).clamp(min=1.0)[:, None]
    padded, padded_counts = functional.pad(by_piece, (0, 0, SPAN - 1, 0)), functional.pad(counted, (SPAN - 1, 0))
    spans = padded[:, SPAN - 1 :]
    span_counts = padded_counts[:, SPAN - 1 :]
    for back in range(SPAN - 1):
        spans = spans + padded[:, back : back + longest]
        span_counts = span_counts + padded_counts[:, back : back + longest]
    whole = inside & (place >= (lengths.clamp(max=SPAN) - 1)[:, None])
    means = (spans / span_counts.clamp(min=1.0)[..., None]).masked_fill(~whole[..., None], -torch.inf)
    return torch.cat((mean, means.amax(1)), dim=1)

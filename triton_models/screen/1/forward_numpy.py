"""The network in numpy, for serving without torch: the same arithmetic as `forward_torch`, on the same weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from .features import NONE, PER_BLOCK, Features, featurise  # type: ignore[import-not-found]

SPAN = 3

Floats = NDArray[np.float32]


def load(folder: Path) -> Callable[[Sequence[bytes]], Floats]:
    """The model in a version folder: scores [texts, labels] in [0, 1] of at least one UTF-8 text."""
    tensors = load_file(folder / "weights.safetensors")
    width = tensors["table"].shape[1]
    table = np.zeros((NONE + 1, width), dtype=np.float32)
    table[:NONE] = tensors["table"] * tensors["scale"]
    hidden, hidden_bias = np.ascontiguousarray(tensors["hidden.weight"].T), tensors["hidden.bias"]
    output, output_bias = np.ascontiguousarray(tensors["output.weight"].T), tensors["output.bias"]

    def scores(texts: Sequence[bytes]) -> Floats:
        features = featurise(texts)
        described = _describe(_sums(table, features), features)
        logits = np.maximum(described @ hidden + hidden_bias, 0.0) @ output + output_bias
        logits = np.maximum.reduceat(logits, features.text_starts[:-1], axis=0)
        answer: Floats = 1.0 / (1.0 + np.exp(-logits))
        return answer

    return scores


def _sums(table: Floats, features: Features) -> Floats:
    """Sums of the table's rows by block."""
    width = table.shape[1]
    rows = table.take(features.grams.ravel(), axis=0, mode="clip").reshape(-1, PER_BLOCK, width)
    sums: Floats = np.einsum("bkd->bd", rows)
    if len(features.words):
        words = table.take(features.words.ravel(), axis=0, mode="clip").reshape(-1, 2, width)
        running = np.zeros((len(words) + 1, width))
        np.cumsum(words[:, 0] + words[:, 1], axis=0, dtype=np.float64, out=running[1:])
        sums += np.diff(running[features.word_starts], axis=0).astype(np.float32)
    return sums


def _describe(sums: Floats, features: Features) -> Floats:
    """Means and largest span means [pieces, 2 · width]."""
    counts, starts = features.counts, features.piece_starts
    first, lengths = starts[:-1], np.diff(starts)
    mean = np.add.reduceat(sums, first, axis=0) / np.maximum(np.add.reduceat(counts, first), 1.0)[:, None]
    place = np.arange(len(sums)) - np.repeat(first, lengths)
    spans, span_counts = sums.copy(), counts.copy()
    for back in range(1, SPAN):
        reaches = place[back:] >= back
        spans[back:] += sums[:-back] * reaches[:, None]
        span_counts[back:] += counts[:-back] * reaches
    spans /= np.maximum(span_counts, 1.0)[:, None]
    spans[place < np.repeat(np.minimum(lengths, SPAN) - 1, lengths)] = -np.inf
    return np.concatenate((mean, np.maximum.reduceat(spans, first, axis=0)), axis=1)

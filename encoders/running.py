"""Where a model runs: on the processor in shapes as they come, on a GPU in few shapes that are prepared once.

On a GPU the encoder computes in bfloat16, and each shape's pass is captured as a CUDA graph at the start and replayed:
a pass of a small encoder is otherwise mostly the launching of its kernels. https://pytorch.org/docs/stable/cuda.html
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from encoders.bert import Encoder
from encoders.head import Calibration, Head
from encoders.reading import Reading

STEP, MOST_TOKENS = 16, 2048
"""On the processor lengths are rounded up to this, and a batch has this many tokens at most, which stay in cache."""
LENGTHS, SIZES = (32, 64, 128, 256), (1, 2, 4, 8, 16, 32, 64)
"""Numbers of tokens (and the model's window) and of windows for which a GPU is prepared."""

Run = Callable[[Tensor, Tensor | None, Tensor | None], Tensor]
"""Probabilities [windows, labels] of ids, mask and types [windows, tokens]."""
Prepare = Callable[[Tensor, Tensor, Tensor | None], Callable[[], Tensor]]


class Forward(nn.Module):
    """The whole way from ids to probabilities. The head computes in single precision."""

    def __init__(self, encoder: Encoder, head: Head, calibration: Calibration) -> None:
        super().__init__()
        self.encoder, self.head, self.calibration = encoder, head, calibration
        self.requires_grad_(False).eval()

    def forward(self, ids: Tensor, mask: Tensor | None, types: Tensor | None) -> Tensor:
        answer: Tensor = self.calibration(self.head(self.encoder(ids, mask, types).float()))
        return answer


class Runner(Protocol):
    """Runs batches of windows in the shapes that it likes."""

    def padded(self, length: int) -> int:
        """The length to which a window of `length` tokens is padded."""
        ...

    def most(self, length: int) -> int:
        """The most windows of a padded length that go together."""
        ...

    def rows(self, windows: int) -> int:
        """How many rows a batch of so many windows must have; those too many are thrown away."""
        ...

    def run(self, ids: Tensor, mask: Tensor, types: Tensor | None) -> Tensor:
        """See Run; of a shape as asked for above."""
        ...


class AnyShape:
    """Runs what comes as it comes."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def padded(self, length: int) -> int:
        return -(-length // STEP) * STEP

    def most(self, length: int) -> int:
        return max(1, MOST_TOKENS // length)

    def rows(self, windows: int) -> int:
        return windows

    def run(self, ids: Tensor, mask: Tensor, types: Tensor | None) -> Tensor:
        """Without the padding that all windows have, and without a mask where none has any."""
        longest = int(mask.sum(1).max())
        ids, mask = ids[:, :longest], mask[:, :longest]
        return self._run(ids, None if bool(mask.all()) else mask, None if types is None else types[:, :longest])


class FixedShapes:
    """Runs in a few shapes, each with tensors of its own on `device`, into which what comes is copied.

    `prepare` is called once for each shape and gives what computes on its tensors.
    """

    def __init__(self, prepare: Prepare, reading: Reading, device: torch.device) -> None:
        self._lengths = [*(length for length in LENGTHS if length < reading.window), reading.window]
        self._shapes: dict[tuple[int, int], tuple[list[Tensor], Callable[[], Tensor]]] = {}
        for length in reversed(self._lengths):  # the largest first: the smaller ones fit into its memory
            for size in reversed(SIZES):
                ids = torch.zeros((size, length), dtype=torch.int64, device=device)
                mask, types = torch.ones_like(ids, dtype=torch.bool), torch.zeros_like(ids)
                tensors = [ids, mask, types] if reading.pair else [ids, mask]
                self._shapes[size, length] = tensors, prepare(ids, mask, types if reading.pair else None)

    def padded(self, length: int) -> int:
        return next(padded for padded in self._lengths if padded >= length)

    def most(self, length: int) -> int:
        return SIZES[-1]

    def rows(self, windows: int) -> int:
        return next(size for size in SIZES if size >= windows)

    def run(self, ids: Tensor, mask: Tensor, types: Tensor | None) -> Tensor:
        """The answer is overwritten by the next batch of this shape."""
        tensors, compute = self._shapes[ids.shape[0], ids.shape[1]]
        for ours, theirs in zip(tensors, (ids, mask, types), strict=False):
            if theirs is not None:
                ours.copy_(theirs)
        return compute()


def runner(forward: Forward, reading: Reading, device: str) -> Runner:
    """The runner for a device: "cpu", "cuda:0" and so on. The processor's uses the threads that torch is given."""
    if torch.device(device).type != "cuda":
        return AnyShape(forward)
    forward.to(device)
    forward.encoder.bfloat16()
    with torch.cuda.device(device), torch.inference_mode():
        capture = partial(_captured, forward, torch.cuda.graph_pool_handle())
        return FixedShapes(capture, reading, torch.device(device))


def _captured(forward: Forward, pool: Any, ids: Tensor, mask: Tensor, types: Tensor | None) -> Callable[[], Tensor]:
    """A CUDA graph of the pass over these tensors. Three passes before it let libraries choose their kernels.

    Graphs share the memory of `pool`: one answer is read before another graph is replayed.
    """
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            forward(ids, mask, types)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=pool):
        scores: Tensor = forward(ids, mask, types)

    def compute() -> Tensor:
        graph.replay()
        return scores

    return compute

"""Fixed shapes, as a GPU runs them, give what free shapes give. Only the capture itself needs a GPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from encoders.checkpoint import load
from encoders.reading import Reading
from encoders.running import AnyShape, FixedShapes, Forward, runner
from tests.encoders.tiny import make_base, make_model

pytestmark = pytest.mark.long


def forward(folder: Path, reading: Reading) -> Forward:
    make_model(folder, make_base(folder / "base"), ["a", "b"], reading)
    loaded = load(folder)
    return Forward(loaded.encoder, loaded.head, loaded.calibration)


@pytest.mark.parametrize("pair", [False, True])
def test_fixed_shapes_score_as_free_ones_do(tmp_path: Path, pair: bool) -> None:
    """Rows too many, tokens too many, and what an earlier batch left in the tensors: none of it shows."""
    reading = Reading(window=64, overlap=8, pair=pair)
    made = forward(tmp_path, reading)
    shapes: list[tuple[int, ...]] = []

    def prepare(ids: Tensor, mask: Tensor, types: Tensor | None) -> Callable[[], Tensor]:
        shapes.append(tuple(ids.shape))
        return lambda: made(ids, mask, types)

    free, fixed = AnyShape(made), FixedShapes(prepare, reading, torch.device("cpu"))
    assert shapes[0] == (64, 64)
    assert len(set(shapes)) == len(shapes)
    generator = torch.Generator().manual_seed(1)
    for windows, tokens in ((64, 64), (3, 20), (1, 2), (33, 40), (64, 5)):
        length, rows = fixed.padded(tokens), fixed.rows(windows)
        ids = torch.randint(4, 90, (rows, length), generator=generator)
        lengths = torch.randint(1, tokens + 1, (rows, 1), generator=generator)
        mask = torch.arange(length) < lengths
        types = (torch.arange(length) >= lengths // 2).long() if pair else None
        with torch.inference_mode():
            expected = free.run(ids, mask, types)
            torch.testing.assert_close(fixed.run(ids, mask, types), expected, atol=1e-5, rtol=0)


def test_every_window_has_a_shape(tmp_path: Path) -> None:
    """A batch as large and a window as long as can be, and one token more than a shape."""
    reading = Reading(window=48, overlap=8)
    made = forward(tmp_path, reading)
    fixed = FixedShapes(lambda ids, mask, types: lambda: made(ids, mask, types), reading, torch.device("cpu"))
    assert [fixed.padded(length) for length in (1, 32, 33, 48)] == [32, 32, 48, 48]
    assert [fixed.rows(windows) for windows in (1, 2, 3, 33, fixed.most(32))] == [1, 2, 4, 64, 64]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_scores_as_the_processor_does(tmp_path: Path) -> None:
    """Graphs in half precision, to its error."""
    reading = Reading(window=64, overlap=8)
    made = forward(tmp_path, reading)
    ids, mask = torch.randint(4, 90, (2, 32)), torch.arange(32) < torch.tensor([[32], [9]])
    with torch.inference_mode():
        expected = made(ids, mask, None)
        torch.testing.assert_close(
            runner(made, reading, "cuda:0").run(ids, mask, None).cpu(), expected, atol=2e-2, rtol=0
        )

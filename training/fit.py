"""Fits the network to a mixture. The same seed, thread and torch give the same weights.

Adam over masked cross-entropy; n-grams are left out at random so that no single one carries a label. The learning rate
rises for a tenth of the way and falls to zero. Afterwards each label gets a temperature, found on examples held out
from the fit, and the output layer is divided by it.
"""

from __future__ import annotations

import importlib
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save

from safeguards_extproc.adapters.embedded import version_package
from training.data import LABELS
from training.loss import masked_loss, targets
from training.mixture import Mixture


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to fit. `drop` is the share of n-grams left out; the dense layers learn at half the table's `rate`."""

    seed: int = 7
    epochs: int = 5
    batch: int = 96
    rate: float = 0.03
    drop: float = 0.5
    width: int = 14
    hidden: int = 32


def fit(folder: Path, mixture: Mixture, recipe: Recipe) -> Any:
    """A network (forward_torch.Network of the version folder) fitted to the mixture."""
    package = version_package(folder)
    featurise = importlib.import_module(f"{package}.features").featurise
    network = importlib.import_module(f"{package}.forward_torch")
    torch.manual_seed(recipe.seed)
    model = network.Network(recipe.width, recipe.hidden, len(LABELS))
    with torch.no_grad():
        model.table.normal_(0.0, 1e-3)
        model.table[-1] = 0.0
    drawn_by_epoch = [mixture.epoch(recipe.seed * 1000 + epoch) for epoch in range(recipe.epochs)]
    steps = sum(math.ceil(len(drawn) / recipe.batch) for drawn in drawn_by_epoch)
    dense = [*model.hidden.parameters(), *model.output.parameters()]
    groups = [{"params": [model.table], "lr": recipe.rate}, {"params": dense, "lr": recipe.rate / 2}]
    optimiser = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _warmth(step / max(1, steps)))
    for epoch, drawn in enumerate(drawn_by_epoch):
        for group in _batches(drawn, recipe, epoch):
            features = featurise([text.encode("utf-8", "replace") for text, _ in group])
            loss = masked_loss(model(features, recipe.drop), targets([labels for _, labels in group], LABELS))
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            model.table.grad[-1] = 0.0
            optimiser.step()
            schedule.step()
    return model.eval()


def calibrate(model: Any, logits: NDArray[np.float32], wanted: NDArray[np.float32]) -> dict[str, float]:
    """Divide the output layer by the temperatures that make held-out `logits` likeliest; returns them by label."""
    temperatures: dict[str, float] = {}
    for column, name in enumerate(LABELS):
        judged = wanted[:, column] >= 0
        temperature = _temperature(logits[judged, column], wanted[judged, column])
        with torch.no_grad():
            model.output.weight[column] /= temperature
            model.output.bias[column] /= temperature
        temperatures[name] = temperature
    return temperatures


def export(model: Any, path: Path) -> None:
    """Write the weights: the table in 8 bits with a scale per column, the rest as it is."""
    table = model.table.detach()[:-1].numpy()
    scale = np.abs(table).max(axis=0) / 127.0
    tensors = {"table": np.rint(table / scale).astype(np.int8), "scale": scale.astype(np.float32)}
    for name in ("hidden", "output"):
        layer = getattr(model, name)
        tensors[f"{name}.weight"] = layer.weight.detach().numpy()
        tensors[f"{name}.bias"] = layer.bias.detach().numpy()
    path.write_bytes(save(tensors, metadata={"labels": ",".join(LABELS)}))


def _batches(
    drawn: list[tuple[str, Mapping[str, int]]], recipe: Recipe, epoch: int
) -> list[list[tuple[str, Mapping[str, int]]]]:
    """Batches of texts of similar length (padding costs time), in random order."""
    chunk = recipe.batch * 40
    batches = []
    for start in range(0, len(drawn), chunk):
        near = sorted(drawn[start : start + chunk], key=lambda pair: len(pair[0]))
        batches += [near[at : at + recipe.batch] for at in range(0, len(near), recipe.batch)]
    random.Random(recipe.seed + epoch).shuffle(batches)  # noqa: S311
    return batches


def _warmth(progress: float) -> float:
    """The share of the learning rate at a point of the way, 0 to 1."""
    return max(0.0, min(progress / 0.1, (1.0 - progress) / 0.9))


def _temperature(logits: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    if len(logits) == 0 or wanted.min() == wanted.max():
        return 1.0
    signs = np.where(wanted > 0, -1.0, 1.0)
    grid = np.exp(np.linspace(math.log(0.3), math.log(5.0), 200))
    losses = [float(np.logaddexp(0.0, signs * logits / temperature).mean()) for temperature in grid]
    return float(grid[int(np.argmin(losses))])

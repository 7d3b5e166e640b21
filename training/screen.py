"""Retrain `screen`: fit, calibrate, export, measure, and write the card.

    python -m training.screen DATA_DIR [--also FILE.jsonl.gz]... [--cross]

DATA_DIR holds the files that `training.data` reads; `--also` adds files of the format of train.jsonl.gz.
Writes triton_models/screen: the weights, their revision in config.pbtxt, and MODEL_CARD.md. `--cross` also fits without
one source at a time and states what became of it.
The same data, seed and torch give the same bytes. One thread.
"""

from __future__ import annotations

import argparse
import importlib
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from safeguards_extproc.adapters.embedded import version_package
from training import data
from training.card import Crossed, card
from training.corpora import corpora
from training.fit import Recipe, calibrate, export, fit
from training.grammar import read_all
from training.loss import targets
from training.measure import left_out, measure
from training.mixture import HELD, Drawn, Mixture, held_out
from training.revision import revise

MODEL = Path(__file__).parents[1] / "triton_models" / "screen"
VERSION = MODEL / "1"
CROSSED = (("inthewild-jailbreak", "attack"), ("do-not-answer", "harmful"), ("ailuminate", "harmful"))


def split(folder: Path, also: Sequence[Path]) -> tuple[Mixture, list[Drawn]]:
    """What to fit on, and what is held out for calibration. N-grams hardly tell a harmful text from its twin, so the
    twins are mostly left to `guard`: the first stage says what a text is about."""
    examples, groups = [*corpora(folder, also), *data.answers(folder, "train")], read_all()
    fitted = [example for example in examples if data.share(example.key) >= HELD]
    held = [(example.text, example.labels) for example in examples if data.share(example.key) < HELD]
    return Mixture(fitted, groups, bad=1.2, twins=0.3), held + held_out(groups, 4, Recipe().seed)


def train(mixture: Mixture, held: Sequence[Drawn], recipe: Recipe, weights: Path) -> dict[str, float]:
    """Fit, calibrate and export; returns the temperatures."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    network = fit(VERSION, mixture, recipe)
    wanted = targets([known for _, known in held], data.LABELS).numpy()
    temperatures = calibrate(network, _logits(network, [text for text, _ in held]), wanted)
    export(network, weights)
    return temperatures


def cross(mixture: Mixture, held: Sequence[Drawn], recipe: Recipe, folder: Path) -> list[Crossed]:
    """Fit without each source of CROSSED, and measure its label on it with and without."""
    forward = importlib.import_module(f"{version_package(VERSION)}.forward_numpy")
    found = []
    for source, label in CROSSED:
        without = Mixture([example for example in mixture.examples if example.source != source], mixture.groups)
        with tempfile.TemporaryDirectory() as scratch:
            train(without, held, recipe, Path(scratch) / "weights.safetensors")
            after = left_out(forward.load(Path(scratch)), folder, source, label)
        before = left_out(forward.load(VERSION), folder, source, label)
        assert before is not None
        assert after is not None
        found.append(Crossed(source, label, before, after))
    return found


def _logits(network: Any, texts: Sequence[str]) -> Any:
    featurise = importlib.import_module(f"{version_package(VERSION)}.features").featurise
    with torch.no_grad():
        parts = [texts[at : at + 64] for at in range(0, len(texts), 64)]
        found = [network(featurise([text.encode("utf-8", "replace") for text in part])).numpy() for part in parts]
    return np.concatenate(found)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Retrain the model `screen`.")
    parser.add_argument("data", type=Path, metavar="DATA_DIR", help="folder with train.jsonl.gz and the rest")
    parser.add_argument("--also", type=Path, action="append", default=[], help="more lines of the same format")
    parser.add_argument("--cross", action="store_true", help="also leave out one source at a time")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    recipe, began = Recipe(), time.monotonic()
    mixture, held = split(options.data, options.also)
    weights = VERSION / "weights.safetensors"
    temperatures = train(mixture, held, recipe, weights)
    took_s = time.monotonic() - began
    revision = revise(MODEL / "config.pbtxt", weights)
    forward = importlib.import_module(f"{version_package(VERSION)}.forward_numpy")
    measured = measure(forward.load(VERSION), options.data)
    crossed = cross(mixture, held, recipe, options.data) if options.cross else []
    text = card(measured, crossed, temperatures, revision, weights.stat().st_size, took_s)
    (MODEL / "MODEL_CARD.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

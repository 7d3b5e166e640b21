"""Retrain `screen`: fit, calibrate, export, measure, and write the card.

    python -m training.screen DATA_DIR [--cross]

DATA_DIR holds the files that `training.data` reads. Writes triton_models/screen: the weights, their revision in
config.pbtxt, and MODEL_CARD.md. `--cross` also fits without one source at a time and states what became of it.
The same data, seed and torch give the same bytes. One thread.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import tempfile
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch

from safeguards_extproc.adapters.embedded import version_package
from training import data
from training.card import Crossed, card
from training.data import Example
from training.fit import Recipe, calibrate, export, fit, targets
from training.measure import left_out, measure
from training.mixture import Mixture

MODEL = Path(__file__).parents[1] / "triton_models" / "screen"
VERSION = MODEL / "1"
HELD = 0.1
CROSSED = (("inthewild-jailbreak", "attack"), ("do-not-answer", "harmful"), ("ailuminate", "harmful"))


def split(folder: Path) -> tuple[Mixture, list[Example]]:
    """What to fit on, and the tenth that is held out for calibration."""
    examples = [*data.prompts(folder, "train"), *data.answers(folder, "train")]
    fitted = [example for example in examples if data.share(example.key) >= HELD]
    held = [example for example in examples if data.share(example.key) < HELD]
    answers = [dialogue.answer for dialogue in data.dialogues(folder) if not dialogue.held_out]
    return Mixture([*fitted, *answers], [answer.text for answer in answers]), held


def train(mixture: Mixture, held: Sequence[Example], recipe: Recipe, weights: Path) -> dict[str, float]:
    """Fit, calibrate and export; returns the temperatures."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    network = fit(VERSION, mixture, recipe)
    wanted = targets([example.labels for example in held]).numpy()
    temperatures = calibrate(network, _logits(network, [example.text for example in held]), wanted)
    export(network, weights)
    return temperatures


def cross(mixture: Mixture, held: Sequence[Example], recipe: Recipe, folder: Path) -> list[Crossed]:
    """Fit without each source of CROSSED, and measure its label on it with and without."""
    forward = importlib.import_module(f"{version_package(VERSION)}.forward_numpy")
    found = []
    for source, label in CROSSED:
        without = Mixture([example for example in mixture.examples if example.source != source], mixture.documents)
        rest = [example for example in held if example.source != source]
        with tempfile.TemporaryDirectory() as scratch:
            train(without, rest, recipe, Path(scratch) / "weights.safetensors")
            after = left_out(forward.load(Path(scratch)), folder, source, label)
        before = left_out(forward.load(VERSION), folder, source, label)
        assert before is not None
        assert after is not None
        found.append(Crossed(source, label, before, after))
    return found


def revise(config: Path, weights: Path) -> str:
    """Write the revision of the weights (the beginning of their SHA-256) into the model's configuration."""
    revision = sha256(weights.read_bytes()).hexdigest()[:12]
    text = config.read_text(encoding="utf-8")
    pattern = r'(key: "revision" value \{ string_value: ")[^"]*'
    config.write_text(re.sub(pattern, rf"\g<1>{revision}", text), encoding="utf-8")
    return revision


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
    parser.add_argument("--cross", action="store_true", help="also leave out one source at a time")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    recipe, began = Recipe(), time.monotonic()
    mixture, held = split(options.data)
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

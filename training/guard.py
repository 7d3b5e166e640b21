"""Fit `guard`: adapters on MiniLM and a head, calibrated, with a manifest of what they come from.

    python -m training.guard DATA_DIR [--also FILE.jsonl.gz]... [--out FOLDER] [--passes N] [--without SOURCE]

DATA_DIR holds the files that `training.data` reads; `--also` adds files of the format of train.jsonl.gz, such as
`training.public` writes. The same data, seed, number of threads and version of torch give the same weights.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from encoders import checkpoint
from encoders.reading import Reading
from training.corpora import LICENCES, corpora
from training.data import share
from training.grammar import FOLDER, LABELS, read_all
from training.judge import write
from training.loss import targets
from training.mixture import HELD, Mixture, held_out
from training.tune import Recipe, calibrate, fit, prepare

MODEL = Path(__file__).parents[1] / "triton_models" / "guard" / "1"


def about(files: Iterable[Path], counted: Mapping[str, int], recipe: Recipe, took_s: float) -> dict[str, Any]:
    """What the manifest says of the fit; `files` were read, `counted` are the lines of each source."""
    return {
        "code": _revision(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "recipe": asdict(recipe),
        "took_s": round(took_s),
        "data": {path.name: sha256(path.read_bytes()).hexdigest() for path in sorted(files)},
        "sources": {name: {"lines": count, "licence": LICENCES[name]} for name, count in sorted(counted.items())},
    }


def _revision() -> str:
    told = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return told.stdout.strip()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Fit the model `guard`.")
    parser.add_argument("data", type=Path, metavar="DATA_DIR", help="folder with train.jsonl.gz and the rest")
    parser.add_argument("--also", type=Path, action="append", default=[], help="more lines of the same format")
    parser.add_argument("--out", type=Path, default=MODEL, help="where the weights go, a version folder in a model's")
    parser.add_argument("--passes", type=int, default=2, help="how often the corpora are gone through")
    parser.add_argument("--ours", type=int, default=50_000, help="texts of our own in each pass")
    parser.add_argument("--texts", type=int, default=42_000, help="texts in a pass; 6000 make a quick try")
    parser.add_argument("--without", default="", help="a source that is left out")
    options = parser.parse_args()
    recipe, began = Recipe(), time.monotonic()
    base = checkpoint.installed()
    network, fitted = prepare(base, LABELS, recipe)
    examples, groups = corpora(options.data, options.also, options.without), read_all()
    kept = [example for example in examples if share(example.key) >= HELD]
    mixture = Mixture(kept, groups, options.ours)
    say(f"{len(kept)} lines of corpora, {sum(len(group.lines) for group in groups)} of ours")
    passes = [mixture.epoch(recipe.seed * 1000 + number)[: options.texts] for number in range(options.passes)]
    fit(network, fitted, passes, recipe, say)
    held = [(example.text, example.labels) for example in examples if share(example.key) < HELD]
    held += held_out(groups, 4, recipe.seed)
    wanted = targets([known for _, known in held], LABELS).numpy()
    calibration = calibrate(network.read([text for text, _ in held]), wanted)
    options.out.mkdir(parents=True, exist_ok=True)
    files = [*options.data.glob("*.jsonl.gz"), *options.also, *FOLDER.glob("*.yaml")]
    told = about(files, Counter(example.source for example in examples), recipe, time.monotonic() - began)
    told |= {name: getattr(options, name) for name in ("passes", "ours", "texts", "without")}
    revision = checkpoint.save(options.out, network.encoder, network.head, calibration, LABELS, Reading(), base, told)
    say(f"revision {revision}, {told['took_s']} s")
    write(options.out, options.data)


def say(line: str) -> None:
    """Tell whoever waits how far it is."""
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    main()

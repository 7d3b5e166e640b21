"""Fit `exchange`: is this an answer that should not be given to this question? Adapters on MiniLM, over the pair.

    python -m training.exchange DATA_DIR [--out FOLDER]

Beside the judged exchanges of the data it reads pairs of our own. Whether an answer is safe hangs on both halves: the
same words of consent are safe behind a harmless question and unsafe behind a harmful one, and a refusal is safe behind
both (training/replies.yaml).
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from pathlib import Path

from encoders import checkpoint
from encoders.reading import Reading
from training import data
from training.data import share
from training.grammar import FOLDER, Group, read, read_all
from training.guard import about, say
from training.judge import write
from training.loss import targets
from training.mixture import HELD
from training.styles import styled
from training.tune import Recipe, Taught, calibrate, fit, prepare

MODEL = Path(__file__).parents[1] / "triton_models" / "exchange" / "1"
REPLIES = Path(__file__).with_name("replies.yaml")
LABELS = ("unsafe",)
LONGEST_PROMPT, LONGEST_REPLY = 600, 1200
OURS = 9_000
PARTIAL = 0.3
"""How many answers are cut: in a stream the answer is read before it is whole."""


def pairs(folder: Path, part: str) -> list[tuple[str, Taught]]:
    """The judged exchanges of a file, with their keys."""
    return [
        (str(row["id"]), ((row["prompt"][-LONGEST_PROMPT:], row["response"]), {"unsafe": row["labels"]["unsafe"]}))
        for row in data.read(folder, f"exchanges_{part}")
    ]


def invented(groups: Sequence[Group], honest: Sequence[tuple[str, str]], count: int, seed: int) -> list[Taught]:
    """Pairs of our own: questions of the phrase files before replies of every kind."""
    rng = random.Random(seed)  # noqa: S311
    replies = {group.name: group for group in read(REPLIES)}
    bad = [group for group in groups if group.role == "user" and group.labels.get("harmful")]
    good = [group for group in groups if group.role == "user" and not any(group.labels.values())]
    posts = [
        group for group in groups
        if group.role == "user" and not group.labels.get("harmful") and any(group.labels.get(each) for each in _POSTS)
    ]  # fmt: skip
    made: list[Taught] = []
    for _ in range(count):
        asked, reply, unsafe = rng.choices(_KINDS, _WEIGHTS)[0]
        if reply == "answer":
            question, answer = rng.choice(honest)
        else:
            question = styled(rng.choice({"bad": bad, "good": good, "post": posts}[asked]).draw(rng), rng)
            answer = replies[reply].draw(rng)
        made.append(((question[-LONGEST_PROMPT:], _partial(answer, rng)), {"unsafe": unsafe}))
    return made


_POSTS = ("hate", "toxic", "sexist", "violence", "self_harm")
_KINDS = (
    ("bad", "complies", 1), ("bad", "refuses", 0), ("good", "complies", 0), ("good", "refuses", 0),
    ("good", "answer", 0), ("good", "abuses", 1), ("good", "kind", 0), ("post", "abuses", 1), ("post", "kind", 0),
    ("post", "refuses", 0), ("bad", "kind", 0),
)  # fmt: skip
_WEIGHTS = (24, 14, 16, 3, 12, 6, 5, 6, 6, 4, 4)


def _partial(answer: str, rng: random.Random) -> str:
    answer = answer[:LONGEST_REPLY]
    if len(answer) < 80 or rng.random() >= PARTIAL:
        return answer
    return answer[: rng.randint(60, len(answer))]


def answered(folder: Path) -> list[tuple[str, str]]:
    """Real questions with harmless answers: the dialogues that are not held out."""
    return [(each.turns[-1], each.better) for each in data.dialogues(folder) if not each.held_out and each.turns]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Fit the model `exchange`.")
    parser.add_argument("data", type=Path, metavar="DATA_DIR", help="folder with exchanges_train.jsonl.gz and the rest")
    parser.add_argument("--out", type=Path, default=MODEL, help="where the weights go, a version folder in a model's")
    options = parser.parse_args()
    recipe, began = Recipe(), time.monotonic()
    base = checkpoint.installed()
    network, fitted = prepare(base, LABELS, recipe, pair=True)
    judged, groups = pairs(options.data, "train"), read_all()
    drawn = [pair for key, pair in judged if share(key) >= HELD]
    drawn += invented(groups, answered(options.data), OURS, recipe.seed)
    random.Random(recipe.seed).shuffle(drawn)  # noqa: S311
    say(f"{len(drawn)} pairs")
    fit(network, fitted, [drawn], recipe, say)
    held = [pair for key, pair in judged if share(key) < HELD]
    wanted = targets([known for _, known in held], LABELS).numpy()
    calibration = calibrate(network.read([pair for pair, _ in held]), wanted)
    options.out.mkdir(parents=True, exist_ok=True)
    files = [*options.data.glob("*.jsonl.gz"), *FOLDER.glob("*.yaml"), REPLIES]
    told = about(files, {"diasafety": len(judged)}, recipe, time.monotonic() - began)
    revision = checkpoint.save(
        options.out, network.encoder, network.head, calibration, LABELS, Reading(pair=True), base, told
    )
    say(f"revision {revision}, {told['took_s']} s")
    write(options.out, options.data)


if __name__ == "__main__":
    main()

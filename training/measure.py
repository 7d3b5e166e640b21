"""What a model is worth, measured on the exported weights as the service runs them, on texts that no fit has seen.

Labels are those of the sources, never our presumptions. Thresholds are chosen on one half of the ordinary texts and
reported on the other half.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from safeguards_extproc.evaluate.figures import Figures, figures, threshold
from training import data
from training.data import LABELS, ORDINARY, Example
from training.mixture import hide

Scores = NDArray[np.float32]
Forward = Callable[[Sequence[bytes]], Scores]

SHARE = 0.01
LOWEST = 0.5
ON_DOCUMENTS = frozenset({"injection"})
ON_ANSWERS = frozenset({"unsafe"})
ON_PROBES = frozenset({"sexual", "violence", "self_harm"})
HIDDEN_EACH = 4


@dataclass(frozen=True, slots=True)
class Row:
    """One label. `false` of `ordinary` held-out ordinary texts reach `threshold`, and `found` of the positives."""

    label: str
    figures: Figures
    threshold: float
    found: int
    wrong: int
    false: int
    ordinary: int
    by_source: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything that the model card states. `turns` and `answers` map labels to how many reach the threshold."""

    rows: list[Row]
    turns: dict[str, int]
    turns_read: int
    answers: dict[str, int]
    answers_read: int
    hard: int
    hard_read: int
    pairs: float


def score(forward: Forward, texts: Sequence[str]) -> Scores:
    """Scores [texts, labels]."""
    parts = [texts[at : at + 64] for at in range(0, len(texts), 64)]
    return np.concatenate([forward([text.encode("utf-8", "replace") for text in part]) for part in parts])


def measure(forward: Forward, folder: Path) -> Measured:
    """Measure on the development files and the dialogues that training left alone."""
    examples = [*data.prompts(folder, "dev"), *data.answers(folder, "dev")]
    scores = score(forward, [example.text for example in examples])
    kept = [dialogue for dialogue in data.dialogues(folder) if dialogue.held_out]
    answers = score(forward, [dialogue.better for dialogue in kept])
    worse = score(forward, [dialogue.worse for dialogue in kept])
    turns = score(forward, [turn for dialogue in kept for turn in dialogue.turns])
    ordinary = np.array([example.source in ORDINARY for example in examples])
    hosts = [example.text for example in examples if example.source in data.DOCUMENTS]
    hosts += [dialogue.better for dialogue in kept]
    documents = score(forward, hosts)
    hidden = score(forward, _hidden([each.text for each in examples if each.source == "bipia-attack"], hosts))
    probes = list(chain.from_iterable(data.probes().values()))
    probed = score(forward, [example.text for example in probes])
    rows = []
    for column, label in enumerate(LABELS):
        quiet = documents if label in ON_DOCUMENTS else answers if label in ON_ANSWERS else scores[ordinary]
        if label in ON_DOCUMENTS:
            positive, negative, by_source = hidden[:, column], documents[:, column], {}
        else:
            lines, read = (examples, scores) if label not in ON_PROBES else (probes, probed)
            judged = np.array([example.labels.get(label, -1) for example in lines])
            positive, negative = read[judged == 1, column], read[judged == 0, column]
            by_source = _by_source(lines, judged, read[:, column])
        rows.append(_row(label, positive, negative, quiet[:, column], by_source))
    limits = np.array([row.threshold for row in rows])
    hard = np.array([example.source in ("mitre-frr", "purplellama-instruct") for example in examples])
    prompt_labels = [column for column, label in enumerate(LABELS) if label not in ON_DOCUMENTS | ON_ANSWERS]
    return Measured(
        rows,
        dict(zip(LABELS, (turns >= limits).sum(axis=0).tolist(), strict=True)),
        len(turns),
        dict(zip(LABELS, (answers >= limits).sum(axis=0).tolist(), strict=True)),
        len(answers),
        int((scores[hard][:, prompt_labels] >= limits[prompt_labels]).any(axis=1).sum()),
        int(hard.sum()),
        float((worse[:, LABELS.index("unsafe")] > answers[:, LABELS.index("unsafe")]).mean()),
    )


def left_out(forward: Forward, folder: Path, source: str, label: str) -> Figures | None:
    """Figures of `label` for the source's positives among all that other sources judged free of it, in dev."""
    examples = [
        example
        for example in data.prompts(folder, "dev")
        if example.labels.get(label) == 0 or (example.source == source and example.labels.get(label) == 1)
    ]
    scores = score(forward, [example.text for example in examples])[:, LABELS.index(label)]
    return figures(scores, np.array([example.labels[label] == 1 for example in examples]))


def _row(label: str, positive: Scores, negative: Scores, quiet: Scores, by_source: dict[str, str]) -> Row:
    choose, rest = quiet[::2], quiet[1::2]
    limit = max(LOWEST, np.ceil(threshold(choose, SHARE) * 100) / 100)
    every = np.concatenate((positive, negative))
    known = figures(every, np.arange(len(every)) < len(positive))
    assert known is not None, label
    return Row(
        label,
        known,
        float(limit),
        int((positive >= limit).sum()),
        int((negative >= limit).sum()),
        int((rest >= limit).sum()),
        len(rest),
        by_source,
    )


def _by_source(examples: Sequence[Example], judged: NDArray[np.int64], scores: Scores) -> dict[str, str]:
    """ROC-AUC within each source that has both, as text."""
    source = np.array([example.source for example in examples])
    found = {}
    for name in sorted(set(source[judged == 1])):
        inside = (source == name) & (judged >= 0)
        known = figures(scores[inside], judged[inside] == 1)
        if known:
            found[str(name)] = f"{known.roc_auc:.3f}"
    return found


def _hidden(payloads: Sequence[str], hosts: Sequence[str]) -> list[str]:
    rng = random.Random(11)  # noqa: S311
    return [hide(rng.choice(hosts), payload, rng) for payload in payloads for _ in range(HIDDEN_EACH)]

"""Texts that a score was most wrong about, for who asks to see them: the one place where a report gets text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from safeguards_extproc.evaluate.lines import Sample
from safeguards_extproc.evaluate.measure import Label, Scored
from safeguards_extproc.evaluate.variants import judged

LONGEST = 600
"""Characters of a text that are shown."""


@dataclass(frozen=True, slots=True)
class Example:
    """A text, cut to `LONGEST`, where it stands, what a score made of it, and why it is shown."""

    where: str
    text: str = field(repr=False)
    score: str
    value: float
    why: str


def examples(samples: Sequence[Sample], scored: Scored, labels: Sequence[Label], most: int) -> dict[str, list[Example]]:
    """By label, `most` negatives with the highest and `most` positives with the lowest value of the label's best
    score."""
    found = {}
    for label in labels if most else ():
        if not label.scores:
            continue
        name, values = label.scores[0].score, scored.scores[label.scores[0].score]
        truth = scored.judged[label.label]
        shown = []
        for wanted, sign, why in ((0, -1, "negative with a high score"), (1, 1, "positive with a low score")):
            chosen = np.flatnonzero((truth == wanted) & ~np.isnan(values))
            for number in chosen[np.argsort(sign * values[chosen], kind="stable")][:most]:
                sample = samples[int(number)]
                shown.append(Example(sample.where, judged(sample)[:LONGEST], name, float(values[number]), why))
        found[label.label] = shown
    return found

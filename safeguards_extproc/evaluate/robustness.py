"""What is left of each figure when the same texts are said otherwise, at the thresholds of the plain texts.

Measured on a part of the texts, drawn with a fixed seed: so many positives and negatives of each label. A variant is
compared with the plain texts that it could be made of.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from safeguards_extproc.evaluate import figures
from safeguards_extproc.evaluate.figures import Bools
from safeguards_extproc.evaluate.lines import Sample
from safeguards_extproc.evaluate.measure import Compared, Count, Measured, Scored, columns, share
from safeguards_extproc.evaluate.play import Case, Outcome
from safeguards_extproc.evaluate.variants import Variant, case, judged
from safeguards_extproc.policy.compile import CompiledPolicy

EACH = 100
"""Positives, and negatives, of each label that are said in every way."""

LONGEST = 4_000
"""Characters of the longest text that is taken: an encoding makes ten of each."""

SEED = 7

Play = Callable[[str, Sequence[Case]], Awaitable[list[Outcome]]]
"""Plays cases for a step of that name."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A label by one score. `recall` and `false_positives` are over the plain texts' threshold, and `kept` is recall as
    a share of that of the same texts said plainly (None if that is 0); `false_positives_change` is a difference.
    `recall_at_1_percent` has a threshold of its own. The last four are what the policy did."""

    label: str
    score: str
    threshold: float
    recall: Count
    kept: float | None
    false_positives: Count
    false_positives_change: float
    auprc: float
    roc_auc: float
    recall_at_1_percent: float
    calibration_error: float
    positives_blocked: Count
    positives_flagged: Count
    negatives_blocked: Count
    negatives_flagged: Count


@dataclass(frozen=True, slots=True)
class Said:
    """A variant: of how many texts it could be made, how many checks failed, and what is left by label."""

    group: str
    name: str
    texts: int
    errors: int
    labels: list[Kept]


@dataclass(frozen=True, slots=True)
class Robustness:
    """`texts` were drawn; `plain` is how they do as they are. `ways` counts all variants: of an evaluation that goes
    on there are fewer `variants`."""

    texts: int
    plain: Said
    variants: list[Said]
    ways: int = 0


def draw(samples: Sequence[Sample], each: int = EACH, longest: int = LONGEST) -> list[Sample]:
    """At most `each` positives and negatives of every label, none longer than `longest`, in the order of the files."""
    order = [number for number, sample in enumerate(samples) if len(judged(sample)) <= longest]
    random.Random(SEED).shuffle(order)  # noqa: S311
    taken: dict[tuple[str, int], int] = {}
    chosen = []
    for number in order:
        judgements = list(samples[number].labels.items())
        if any(taken.get(judgement, 0) < each for judgement in judgements):
            chosen.append(number)
            for judgement in judgements:
                taken[judgement] = taken.get(judgement, 0) + 1
    return [samples[number] for number in sorted(chosen)]


async def robustness(
    samples: Sequence[Sample],
    ways: Sequence[Variant],
    measured: Measured,
    policy: CompiledPolicy,
    play: Play,
    found: Callable[[Robustness], None] = lambda so_far: None,
) -> Robustness:
    """Say `samples` in every way; `found` hears what is known after each. The thresholds are those of `measured`, from
    each label's best score."""
    headlines = {label.label: label.scores[0] for label in measured.labels if label.scores}
    plain = columns(samples, await play("as it is", [case(sample) for sample in samples]), policy)
    everything = np.ones(len(samples), bool)
    so_far = Robustness(
        len(samples), _said("plain", "as it is", plain, _part(plain, everything), headlines), [], len(ways)
    )
    for number, way in enumerate(ways, 1):
        cases = [way.make(sample) for sample in samples]
        made = np.array([one is not None for one in cases], bool)
        outcomes = await play(
            f"{way.group}: {way.name} ({number} of {len(ways)})", [one for one in cases if one is not None]
        )
        chosen = [sample for sample, there in zip(samples, made, strict=True) if there]
        scored = columns(chosen, outcomes, policy)
        so_far.variants.append(_said(way.group, way.name, scored, _part(plain, made), headlines))
        found(so_far)
    return so_far


def _part(scored: Scored, chosen: Bools) -> Scored:
    return Scored(
        {name: row[chosen] for name, row in scored.scores.items()},
        {name: row[chosen] for name, row in scored.judged.items()},
        scored.blocked[chosen],
        scored.flagged[chosen],
        scored.decided[chosen],
        scored.errors[chosen],
    )


def _said(group: str, name: str, scored: Scored, plain: Scored, headlines: Mapping[str, Compared]) -> Said:
    rows = [_kept(label, headline, scored, plain) for label, headline in headlines.items()]
    return Said(group, name, len(scored.blocked), int(scored.errors.sum()), [row for row in rows if row is not None])


def _kept(label: str, headline: Compared, scored: Scored, plain: Scored) -> Kept | None:
    score, limit = headline.score, np.float32(headline.threshold)
    if label not in scored.judged or score not in scored.scores or score not in plain.scores:
        return None
    scores, labels = scored.pair(label, score)
    known = figures.figures(scores, labels)
    before, truth = plain.pair(label, score)
    if known is None or figures.figures(before, truth) is None:
        return None
    recall, wrong = scores[labels] >= limit, scores[~labels] >= limit
    recall_before, wrong_before = float((before[truth] >= limit).mean()), float((before[~truth] >= limit).mean())
    positive, negative = scored.judged[label] == 1, scored.judged[label] == 0
    return Kept(
        label,
        score,
        headline.threshold,
        share(recall),
        float(recall.mean()) / recall_before if recall_before else None,
        share(wrong),
        float(wrong.mean()) - wrong_before,
        known.auprc,
        known.roc_auc,
        known.recall,
        known.error,
        share(scored.blocked[positive]),
        share(scored.flagged[positive]),
        share(scored.blocked[negative]),
        share(scored.flagged[negative]),
    )

"""From samples and what became of them to figures: each label against each score, and what the policy did.

Scores that a text does not have (a model of a later stage that was not asked, a check that failed) leave it out of that
score's figures; `counts` says how many are in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from safeguards_extproc.core.decision import TERMINAL, Action
from safeguards_extproc.core.text import Kind
from safeguards_extproc.evaluate import combined, figures
from safeguards_extproc.evaluate.figures import Bools, Floats
from safeguards_extproc.evaluate.lines import GROUPS, Sample
from safeguards_extproc.evaluate.matching import ANY, Match, matches
from safeguards_extproc.evaluate.play import Outcome
from safeguards_extproc.policy.cel import Expr
from safeguards_extproc.policy.compile import CompiledPolicy
from safeguards_extproc.policy.decide import Rule
from safeguards_extproc.replay.intervals import Interval, wilson

CASCADE = "cascade"
"""The detector whose score of a label is what a rule makes of several models' scores; where none does, that of the last
model, in the policy's order, that was asked about a text."""


_KINDS = {"user": Kind.USER, "tool": Kind.TOOL, "assistant": Kind.CONTENT}


@dataclass(frozen=True, slots=True)
class Value:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Count:
    """So many of the texts, as a share with Wilson's 95 % interval."""

    count: int
    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Tally:
    """What the policy did to texts. `flagged` is every action but allow, `blocked` among them; `decided` counts rules
    in shadow, too. `errors` are texts of which a check gave no answer, or that could not be read."""

    texts: int
    blocked: Count
    flagged: Count
    decided: Count
    allowed: Count
    errors: Count


@dataclass(frozen=True, slots=True)
class AtLimit:
    """A score at a threshold that a rule of the policy compares it with."""

    rule: str
    threshold: float
    recall: float
    precision: float
    f1: float
    false_positives: float


@dataclass(frozen=True, slots=True)
class Compared:
    """A score against a label, on the texts that have both. `threshold` is the score that 1 % of the negatives
    reach."""

    score: str
    match: Match
    positives: int
    negatives: int
    auprc: Value
    roc_auc: Value
    recall_at_1_percent: Value
    recall_at_0_1_percent: Value
    calibration_error: Value
    best_f1: Value
    best_f1_at: float
    threshold: float
    at_policy: list[AtLimit]


@dataclass(frozen=True, slots=True)
class Reached:
    """The positives (`value` "1") or negatives ("0") of a label in one group: how many reach the threshold of the
    label's best score (recall of positives, false positives of negatives), and by rule how many reach the number that
    it compares a score of the label's name with; `flagged` by the policy, for whatever reason."""

    value: str
    texts: int
    at_1_percent: Count
    at_policy: dict[str, Count]
    flagged: Count


@dataclass(frozen=True, slots=True)
class Label:
    """A label. `policy` is what the policy did to its positives ("1") and negatives ("0"), `by_source` the same apart;
    `f1` takes being blocked, or flagged, for the policy's word on the label. `reached` is by each of `lines.GROUPS` and
    by group. No `scores` and no `reached` without both classes."""

    label: str
    positives: int
    negatives: int
    scores: list[Compared]
    policy: dict[str, Tally]
    by_source: dict[str, dict[str, Tally]]
    f1: dict[str, float]
    reached: dict[str, dict[str, list[Reached]]]


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything that was measured. `groups` are tallies by the members of `lines.GROUPS`, `rules` how many texts each
    rule fired for, `errors` how many each failure had, `asked` of how many of its windows each model was asked."""

    texts: int
    policy: Tally
    labels: list[Label]
    groups: dict[str, dict[str, Tally]]
    rules: dict[str, int]
    errors: dict[str, int]
    asked: dict[str, Count]


@dataclass(frozen=True, slots=True)
class Scored:
    """Samples in columns: `scores` by name (NaN where a text has none), `judged` by label (-1 where nobody did)."""

    scores: Mapping[str, Floats]
    judged: Mapping[str, NDArray[np.int8]]
    blocked: Bools
    flagged: Bools
    decided: Bools
    errors: Bools
    groups: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)

    def pair(self, label: str, score: str) -> tuple[Floats, Bools]:
        """Scores and labels of the texts that have both."""
        judged, scores = self.judged[label], self.scores[score]
        known = (judged >= 0) & ~np.isnan(scores)
        return scores[known], judged[known] == 1


def columns(samples: Sequence[Sample], outcomes: Sequence[Outcome], policy: CompiledPolicy) -> Scored:
    """Of texts that were played to the policy."""
    names = dict.fromkeys(name for outcome in outcomes for name in outcome.scores)
    rows = {name: _column([outcome.scores.get(name, np.nan) for outcome in outcomes]) for name in names}
    labels = sorted({label for sample in samples for label in sample.labels})
    return Scored(
        _with_models(rows, [model.detector for model in policy.models], _joined(policy, rows, samples)),
        {label: np.array([sample.labels.get(label, -1) for sample in samples], np.int8) for label in labels},
        np.array([outcome.action in TERMINAL for outcome in outcomes]),
        np.array([outcome.action is not Action.ALLOW for outcome in outcomes]),
        np.array([outcome.decided is not Action.ALLOW for outcome in outcomes]),
        np.array([bool(outcome.errors) for outcome in outcomes]),
        {name: np.array([sample.groups.get(name, "") for sample in samples]) for name in GROUPS},
    )


def measure(scored: Scored, outcomes: Sequence[Outcome], policy: CompiledPolicy) -> Measured:
    """All figures."""
    limits = thresholds(policy)
    everything = np.ones(len(outcomes), bool)
    return Measured(
        len(outcomes),
        tally(scored, everything),
        [_label(scored, label, limits) for label in scored.judged],
        {name: by_group(scored, everything, name) for name in GROUPS if (scored.groups[name] != "").any()},
        _counted(rule for outcome in outcomes for rule in outcome.rules),
        _counted(error for outcome in outcomes for error in outcome.errors),
        {model.detector: _asked(model.detector, outcomes) for model in policy.models},
    )


def thresholds(policy: CompiledPolicy) -> dict[str, list[tuple[str, float]]]:
    """The rules that compare a score with a number, and that number, by score."""
    found: dict[str, list[tuple[str, float]]] = {}
    together = {joined.expr: f"{CASCADE}.{label}" for label, joined in _joins(policy).items()}
    for rule in _rules(policy):
        for compared, limit in combined.limits(rule.expr):
            for score in [together[compared]] if compared in together else _largest_of(compared):
                found.setdefault(score, []).append((rule.ask.name, limit))
    return found


def tally(scored: Scored, chosen: Bools) -> Tally:
    """What the policy did to the chosen texts."""
    parts = (scored.blocked, scored.flagged, scored.decided, ~scored.flagged, scored.errors)
    return Tally(int(chosen.sum()), *(share(part[chosen]) for part in parts))


def share(which: Bools) -> Count:
    """How many are true, of all there are."""
    return proportion(int(which.sum()), len(which))


def proportion(part: int, whole: int) -> Count:
    """So many, of so many."""
    return Count(part, part / whole if whole else 0.0, *wilson(part, whole))


def by_group(scored: Scored, chosen: Bools, name: str) -> dict[str, Tally]:
    """Tallies of the chosen texts by their group of that name."""
    group = scored.groups[name]
    return {str(value): tally(scored, chosen & (group == value)) for value in np.unique(group[chosen]) if value}


def _label(scored: Scored, label: str, limits: Mapping[str, Sequence[tuple[str, float]]]) -> Label:
    judged = scored.judged[label]
    classes = {"1": judged == 1, "0": judged == 0}
    positives, negatives = (int(chosen.sum()) for chosen in classes.values())
    compared = [_compared(scored, label, score, match, limits) for score, match in matches(label, list(scored.scores))]
    scores = [row for row in compared if row is not None]
    return Label(
        label,
        positives,
        negatives,
        scores,
        {value: tally(scored, chosen) for value, chosen in classes.items()},
        {value: by_group(scored, chosen, "source") for value, chosen in classes.items()},
        {
            name: figures.f1(int((which & classes["1"]).sum()), int((which & classes["0"]).sum()), positives)
            for name, which in (("blocked", scored.blocked), ("flagged", scored.flagged))
        },
        {name: found for name in GROUPS if scores and (found := _reached(scored, label, scores, name))},
    )


def _reached(scored: Scored, label: str, scores: Sequence[Compared], name: str) -> dict[str, list[Reached]]:
    """Of the label's texts in each group of that name."""
    best, judged, group = scores[0], scored.judged[label], scored.groups[name]
    limits = {
        limit.rule: (score.score, limit.threshold)
        for score in scores
        if score.match is Match.NAME
        for limit in score.at_policy
    }
    found: dict[str, list[Reached]] = {}
    for value in np.unique(group[judged >= 0]):
        for judgement in (1, 0):
            chosen = (judged == judgement) & (group == value)
            if not value or not chosen.any():
                continue
            row = Reached(
                str(judgement),
                int(chosen.sum()),
                _over(scored, best.score, best.threshold, chosen),
                {rule: _over(scored, score, limit, chosen) for rule, (score, limit) in limits.items()},
                share(scored.flagged[chosen]),
            )
            found.setdefault(str(value), []).append(row)
    return found


def _over(scored: Scored, score: str, limit: float, chosen: Bools) -> Count:
    """How many of the chosen texts have such a score; one that was not given is none."""
    return share(scored.scores[score][chosen] >= np.float32(limit))


def _compared(
    scored: Scored, label: str, score: str, match: Match, limits: Mapping[str, Sequence[tuple[str, float]]]
) -> Compared | None:
    scores, labels = scored.pair(label, score)
    known, range_ = figures.figures(scores, labels), figures.sure(scores, labels)
    if known is None or range_ is None:
        return None
    return Compared(
        score,
        match,
        known.positives,
        known.negatives,
        _value(known.auprc, range_.auprc),
        _value(known.roc_auc, range_.roc_auc),
        _value(known.recall, range_.recall),
        _value(known.recall_rare, range_.recall_rare),
        _value(known.error, range_.error),
        _value(known.f1, range_.f1),
        known.f1_at,
        figures.threshold(scores[~labels], figures.SHARE),
        [at_limit(rule, limit, scores, labels) for rule, limit in limits.get(score, ())],
    )


def at_limit(rule: str, limit: float, scores: Floats, labels: Bools) -> AtLimit:
    """What a threshold makes of scores."""
    named = scores >= np.float32(limit)
    hits, false, positives = int((named & labels).sum()), int((named & ~labels).sum()), int(labels.sum())
    precision = hits / (hits + false) if hits + false else 0.0
    negatives = len(labels) - positives
    return AtLimit(rule, limit, hits / positives, precision, figures.f1(hits, false, positives), false / negatives)


def _rules(policy: CompiledPolicy) -> Sequence[Rule]:
    """Each once, in the order of the file."""
    return list({rule.ask.name: rule for lane in policy.book.lanes.values() for rule in lane.rules}.values())


def _joins(policy: CompiledPolicy) -> Mapping[str, combined.Joined]:
    return combined.combined(_rules(policy), [model.detector for model in policy.models])


def _joined(policy: CompiledPolicy, rows: Mapping[str, Floats], samples: Sequence[Sample]) -> dict[str, Floats]:
    """What rules make of several models' scores, by label. A text that the rule does not read has no such score."""
    kinds = [Kind.CONTENT if sample.answer is not None else _KINDS[sample.role] for sample in samples]
    found = {}
    for label, joined in _joins(policy).items():
        read = np.array([not joined.kinds or kind in joined.kinds for kind in kinds])
        if read.any() and combined.scores(joined.expr) & rows.keys():
            found[label] = np.where(read, combined.values(joined.expr, rows), np.float32(np.nan))
    return found


def _with_models(rows: Mapping[str, Floats], models: Sequence[str], rules: Mapping[str, Floats]) -> dict[str, Floats]:
    """The scores of models, what several models say of a label joined, the largest score of each model, and what the
    detectors in process found, where that is not the same for every text."""
    asked = {
        model: {name.partition(".")[2]: row for name, row in rows.items() if name.partition(".")[0] == model}
        for model in models
    }
    joined: dict[str, Floats] = {}
    if len(models) > 1:
        for row_by_label in asked.values():
            for label, row in row_by_label.items():
                known = joined.get(label)
                joined[label] = row if known is None else np.where(np.isnan(row), known, row)
        joined |= rules
        asked = {CASCADE: joined, **asked}
    found = {f"{model}.{label}": row for model, by_label in asked.items() for label, row in by_label.items()}
    for model, by_label in asked.items():
        if by_label:
            found[f"{model}.{ANY}"] = np.fmax.reduce(list(by_label.values()))
    for name, row in rows.items():
        if name not in found and len(np.unique(row[~np.isnan(row)])) > 1:
            found[name] = row
    return found


def _column(values: Sequence[float]) -> Floats:
    return np.array(values, np.float32)


def _asked(detector: str, outcomes: Sequence[Outcome]) -> Count:
    counts = [outcome.asked.get(detector, (0, 0)) for outcome in outcomes]
    return proportion(sum(asked for asked, _ in counts), sum(windows for _, windows in counts))


def _value(value: float, range_: Interval) -> Value:
    return Value(value, *range_)


def _counted(names: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items(), key=lambda pair: -pair[1]))


def _largest_of(expr: Expr) -> list[str]:
    if expr.op == "score":
        return [str(expr.value)]
    return [score for arg in expr.args for score in _largest_of(arg)] if expr.op == "max" else []

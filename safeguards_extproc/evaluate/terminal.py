"""The short form of a report, for a terminal: each label with its best score, and what the policy did by source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat

from rich.table import Table

from safeguards_extproc.evaluate.matching import Match
from safeguards_extproc.evaluate.measure import Compared, Count, Label, Tally, Value
from safeguards_extproc.evaluate.report import Report
from safeguards_extproc.evaluate.robustness import Kept, Robustness


def tables(report: Report) -> list[Table]:
    """What to print."""
    measured = report.measured
    groups = {"source": measured.groups.get("source", {})}
    told = [labels(measured.labels), policy(measured.labels), *(group(name, rows) for name, rows in groups.items())]
    told += [functionality(row) for row in measured.labels if "functionality" in row.reached]
    return [*told, *([robust(report.robustness)] if report.robustness else [])]


def summary(report: Report) -> str:
    """One line: how much, how fast, by whom."""
    texts, failed = report.measured.texts, sum(report.measured.errors.values())
    models = ", ".join(map(_model, report.models.items(), repeat(report.measured.asked))) or "no model"
    speed = texts / report.seconds if report.seconds else 0.0
    return (
        f"{texts} texts in {report.seconds:.1f} s ({speed:.0f} a second), {failed} errors; "
        f"policy {report.policy} {report.policy_digest[:12]}, {models}"
    )


def _model(model: tuple[str, str], asked: Mapping[str, Count]) -> str:
    """A model's version, and the share of windows that it was asked about, where that is not all."""
    name, version = model
    share = asked[name].share if name in asked else 1.0
    return f"{name} {version}" + (f" (asked about {100 * share:.1f} % of windows)" if share < 1 else "")


def labels(rows: Sequence[Label]) -> Table:
    """Each label against the scores that answer for it."""
    head = ("label", "positive", "negative", "score", "AUPRC", "ROC-AUC", "recall, 1 % FPR", "0.1 % FPR", "ECE", "F1")
    table = _table("Scores (95 % intervals)", head)
    for row in rows:
        shown = told(row)
        for number, score in enumerate(shown):
            name = (row.label, str(score.positives), str(score.negatives)) if not number else ("", "", "")
            table.add_row(*name, *_figures(score))
        if not shown:
            lacks = "positives" if not row.positives else "negatives" if not row.negatives else "scores"
            table.add_row(row.label, str(row.positives), str(row.negatives), f"no {lacks}", *[""] * 6)
    return table


def told(row: Label) -> list[Compared]:
    """The scores that are called like the label, or else those of any name that a model gives."""
    named = [score for score in row.scores if score.match in (Match.NAME, Match.ALIKE)]
    return named or [score for score in row.scores if score.match is Match.ANY] or row.scores[:1]


def policy(rows: Sequence[Label]) -> Table:
    """What the policy did to the positives and negatives of each label."""
    table = _table("Policy", ("label", "value", "texts", "blocked", "flagged", "errors"))
    for row in rows:
        for value, tally in row.policy.items():
            if tally.texts:
                table.add_row(row.label if value == "1" or not row.positives else "", value, *_tally(tally))
    return table


def group(name: str, rows: Mapping[str, Tally]) -> Table:
    """What the policy did to each group."""
    table = _table(f"Policy by {name}", (name, "texts", "blocked", "flagged", "errors"))
    for value, tally in rows.items():
        table.add_row(value, *_tally(tally))
    return table


def functionality(row: Label) -> Table:
    """Of each functionality the share of positives that are found, or of negatives that are not."""
    head = ("functionality", "value", "texts", "over the threshold of 1 % FPR", "flagged")
    table = _table(f"{row.label} by functionality: recall of 1, false positives of 0", head)
    for name, found in row.reached["functionality"].items():
        for one in found:
            table.add_row(name, one.value, str(one.texts), _count(one.at_1_percent), _count(one.flagged))
    return table


def robust(found: Robustness) -> Table:
    """Of each label the recall that is kept by group of variants: the median, and the least with its variant."""
    head = ("label", "variants", "recall kept, median", "least", "where", "most false positives", "where")
    table = _table(f"Robustness ({found.texts} texts; recall as a share of the plain texts')", head)
    for name in dict.fromkeys(row.label for row in found.plain.labels):
        for group, rows in by_group(found, name).items():
            kept = sorted((row.kept, way) for way, row in rows if row.kept is not None)
            wrong, where = max((row.false_positives_change, way) for way, row in rows)
            middle, least = (kept[len(kept) // 2], kept[0]) if kept else ((0.0, ""), (0.0, ""))
            table.add_row(name, group, f"{middle[0]:.3f}", f"{least[0]:.3f}", least[1], f"{100 * wrong:+.1f} %", where)
    return table


def by_group(found: Robustness, label: str) -> dict[str, list[tuple[str, Kept]]]:
    """A label's rows by group of variants, each with the variant's name."""
    groups: dict[str, list[tuple[str, Kept]]] = {}
    for said in found.variants:
        groups.setdefault(said.group, []).extend((said.name, row) for row in said.labels if row.label == label)
    return {group: rows for group, rows in groups.items() if rows}


def _table(title: str, head: Iterable[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, name in enumerate(head):
        named = number == 0 or name in ("score", "value", "variants", "where")
        table.add_column(name, justify="left" if named else "right", no_wrap=named)
    return table


def _figures(score: Compared) -> list[str]:
    named = (score.auprc, score.roc_auc, score.recall_at_1_percent, score.recall_at_0_1_percent)
    return [score.score, *map(_value, (*named, score.calibration_error, score.best_f1))]


def _value(value: Value) -> str:
    return f"{value.value:.3f} ({value.low:.2f}-{value.high:.2f})"


def _tally(tally: Tally) -> list[str]:
    return [str(tally.texts), *map(_count, (tally.blocked, tally.flagged, tally.errors))]


def _count(count: Count) -> str:
    return f"{100 * count.share:.1f} % ({100 * count.low:.1f}-{100 * count.high:.1f})"

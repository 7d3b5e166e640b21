"""The report as one page that needs nothing else: HTML with its plots inside. Everything that comes from a file is
escaped, and no text of a person is in it unless examples were asked for.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape

from safeguards_extproc.evaluate.examples import Example
from safeguards_extproc.evaluate.measure import Compared, Count, Label, Measured, Reached, Tally, Value
from safeguards_extproc.evaluate.report import Report
from safeguards_extproc.evaluate.robustness import Kept, Robustness, Said
from safeguards_extproc.evaluate.terminal import summary
from safeguards_extproc.replay.html import document, table

LOW, MIDDLE = 0.9, 0.98
"""Shares of recall kept below which a variant is marked."""

FIGURES = ("AUPRC", "ROC-AUC", "recall at 1 % FPR", "recall at 0.1 % FPR", "ECE", "best F1")
DEEDS = ("texts", "blocked", "flagged", "in shadow, too", "allowed", "errors")


def page(report: Report, plots: Mapping[str, bytes], examples: Mapping[str, Sequence[Example]]) -> str:
    """The page. `plots` and `examples` are by label."""
    measured = report.measured
    body = [
        f"<h1>Evaluation of {escape(report.policy)}</h1>",
        f"<p>{escape(summary(report))}</p>",
        _about(report),
        "<h2>Scores</h2><p>95 % intervals: bootstrap for figures, Wilson for shares.</p>",
        _overview(measured),
        *(_label(row, plots.get(row.label, b""), examples.get(row.label, ())) for row in measured.labels),
        "<h2>What the policy did</h2>",
        _tallies("", {"all texts": measured.policy}),
        *(_tallies(name, rows) for name, rows in measured.groups.items()),
        table(("model", "windows asked about"), ((escape(n), _count(share)) for n, share in measured.asked.items())),
        _counts("rule", measured.rules),
        _counts("error", measured.errors),
        _robust(report.robustness) if report.robustness else "",
    ]
    return document(f"Evaluation of {report.policy}", body)


def _about(report: Report) -> str:
    rows = [
        *(("file", f"{file.name}, {file.lines} lines", file.digest) for file in report.files),
        ("policy", report.policy, report.policy_digest),
        *(("model", name, version) for name, version in report.models.items()),
        ("program", "safeguards-extproc", report.version),
    ]
    return table(("", "name", "digest or version"), (tuple(map(escape, row)) for row in rows), named=3)


def _overview(measured: Measured) -> str:
    rows = [
        (escape(row.label), escape(score.score), str(score.positives), str(score.negatives), *_figures(score))
        for row in measured.labels
        for score in row.scores[:1]
    ]
    return table(("label", "score", "positive", "negative", *FIGURES), rows, named=2)


def _label(row: Label, plot: bytes, examples: Sequence[Example]) -> str:
    parts = [f"<h3>{escape(row.label)}</h3><p>{row.positives} positive, {row.negatives} negative. "]
    parts.append(f"F1 of what was blocked {row.f1['blocked']:.3f}, of what was flagged {row.f1['flagged']:.3f}.</p>")
    if plot:
        source = base64.b64encode(plot).decode()
        parts.append(f'<img alt="curves of {escape(row.label)}" src="data:image/png;base64,{source}">')
    compared = [
        (escape(score.score), score.match.value, str(score.positives), str(score.negatives), *_figures(score))
        for score in row.scores
    ]
    if compared:
        listed = table(("score", "match", "positive", "negative", *FIGURES), compared, named=2)
        parts.append(f"<details><summary>every score</summary>{listed}</details>")
    parts.append(_limits(row))
    parts.append(_tallies("value", row.policy))
    for value, rows in row.by_source.items():
        if rows:
            listed = _tallies("source", rows)
            parts.append(f"<details><summary>{escape(row.label)} = {value}, by source</summary>{listed}</details>")
    parts += [_reached(name, rows, opened=name == "functionality") for name, rows in row.reached.items()]
    return "".join(parts) + _examples(examples)


def _reached(name: str, rows: Mapping[str, Sequence[Reached]], *, opened: bool) -> str:
    """Recall (and false positives) of each group, at 1 % false positives of all texts and at the rules' thresholds."""
    rules = list(dict.fromkeys(rule for found in rows.values() for row in found for rule in row.at_policy))
    cells = [
        (
            escape(value),
            row.value,
            str(row.texts),
            _count(row.at_1_percent),
            *(_count(row.at_policy[rule]) for rule in rules),
            _count(row.flagged),
        )
        for value, found in rows.items()
        for row in found
    ]
    head = (name, "value", "texts", "over the threshold of 1 % FPR", *(f"over {rule}'s" for rule in rules), "flagged")
    mark = " open" if opened else ""
    return f"<details{mark}><summary>recall and false positives by {name}</summary>{table(head, cells)}</details>"


def _limits(row: Label) -> str:
    rows = [
        (
            escape(limit.rule),
            escape(score.score),
            f"{limit.threshold:.3g}",
            *(f"{value:.3f}" for value in (limit.recall, limit.precision, limit.f1, limit.false_positives)),
        )
        for score in row.scores
        for limit in score.at_policy
    ]
    head = ("rule", "score", "threshold", "recall", "precision", "F1", "false positives")
    return f"<details><summary>at the policy's thresholds</summary>{table(head, rows, 2)}</details>" if rows else ""


def _tallies(name: str, rows: Mapping[str, Tally]) -> str:
    filled = [
        (
            escape(value),
            str(tally.texts),
            *map(_count, (tally.blocked, tally.flagged, tally.decided, tally.allowed, tally.errors)),
        )
        for value, tally in rows.items()
        if tally.texts
    ]
    return table((name, *DEEDS), filled)


def _counts(name: str, counts: Mapping[str, int]) -> str:
    return table((name, "texts"), ((escape(key), str(count)) for key, count in counts.items())) if counts else ""


def _robust(found: Robustness) -> str:
    """A table of recall kept, a row for each variant, and one of false positives."""
    names = [row.label for row in found.plain.labels]
    parts = [
        f"<h2>Robustness</h2><p>{found.texts} texts said in other ways. Recall at the plain texts' threshold (1 % of "
        "their negatives), as a share of the plain texts' recall; beside it the change of false positives, in points. "
        f'Marked: <span class="low">under {LOW}</span>, <span class="mid">under {MIDDLE}</span>.</p>',
        _plain(found.plain),
    ]
    for group in dict.fromkeys(said.group for said in found.variants):
        said = [each for each in found.variants if each.group == group]
        rows = "".join(_variant(each, names) for each in said)
        head = "".join(f"<th>{escape(name)}</th>" for name in (group, "texts", "errors", *names))
        parts.append(f"<table><tr>{head}</tr>{rows}</table>")
    return "".join(parts)


def _plain(said: Said) -> str:
    head = ("plain", "score", "threshold", "recall", "false positives", "AUPRC", "ROC-AUC", "blocked", "flagged")
    rows = [
        (
            escape(row.label),
            escape(row.score),
            f"{row.threshold:.3f}",
            _count(row.recall),
            _count(row.false_positives),
            f"{row.auprc:.3f}",
            f"{row.roc_auc:.3f}",
            _count(row.positives_blocked),
            _count(row.positives_flagged),
        )
        for row in said.labels
    ]
    return table(head, rows, named=2)


def _variant(said: Said, names: Sequence[str]) -> str:
    by_label = {row.label: row for row in said.labels}
    cells = "".join(_kept(by_label.get(name)) for name in names)
    return f"<tr><td>{escape(said.name)}</td><td>{said.texts}</td><td>{said.errors}</td>{cells}</tr>"


def _kept(row: Kept | None) -> str:
    if row is None or row.kept is None:
        return "<td>–</td>"
    mark = ' class="low"' if row.kept < LOW else ' class="mid"' if row.kept < MIDDLE else ""
    title = f"recall {row.recall.share:.3f}, AUPRC {row.auprc:.3f}, ROC-AUC {row.roc_auc:.3f}"
    change = f"{100 * row.false_positives_change:+.1f}"
    return f'<td{mark} title="{title}">{row.kept:.3f} <small>{change}</small></td>'


def _examples(examples: Sequence[Example]) -> str:
    shown = "".join(
        f"<p>{escape(each.why)}, {escape(each.score)} {each.value:.3f} <small>{escape(each.where)}</small></p>"
        f"<pre>{escape(each.text)}</pre>"
        for each in examples
    )
    return f"<details><summary>examples</summary>{shown}</details>" if shown else ""


def _figures(score: Compared) -> list[str]:
    named = (score.auprc, score.roc_auc, score.recall_at_1_percent, score.recall_at_0_1_percent)
    return [*map(_value, (*named, score.calibration_error, score.best_f1))]


def _value(value: Value) -> str:
    return f"{value.value:.3f} <small>{value.low:.3f}–{value.high:.3f}</small>"


def _count(count: Count) -> str:
    return f"{100 * count.share:.2f} % <small>{100 * count.low:.2f}–{100 * count.high:.2f}</small>"

"""A replay's report as one page that needs nothing else: for whoever decides whether a policy goes on.

The one rule: what happened comes first, then where, then how it is known. Everything that comes from a file is escaped,
and text of a person is in it only where it was given as an example's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from safeguards_extproc.replay.charts import both_ways, curves, intervals
from safeguards_extproc.replay.compare import Example, Tally
from safeguards_extproc.replay.html import document, table
from safeguards_extproc.replay.measures import Figure
from safeguards_extproc.replay.report import Report, Row
from safeguards_extproc.replay.terminal import headline
from safeguards_extproc.replay.verdict import MUST_ALLOW, MUST_BLOCK

DRAWN = 20
"""Bars of a chart."""

DESERVED = {MUST_BLOCK: "must be blocked: refused (recall)", MUST_ALLOW: "must be allowed: refused (false positives)"}


def page(found: Report, texts: Mapping[str, str]) -> str:
    """The page. `texts` are of examples, by the record's id, where they may be shown."""
    title = f"Replay of {found.about.after.name}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(headline(found))}</p>",
        _gate(found),
        "<ul>" + "".join(f"<li>{escape(finding)}</li>" for finding in found.findings) + "</ul>"
        if found.findings
        else "",
        "<h2>How many are refused</h2><p>Shares with their 95 % intervals: Wilson's of a share, Agresti and Min's of a "
        "change.</p>",
        intervals([("before", *found.refused_before), ("after", *found.refused_after)]),
        table(("", "share of exchanges"), _shares(found)),
        _labels(found),
        "<h2>What changes</h2>",
        table(
            ("outcome before", "after", "exchanges"), ((escape(a), escape(b), f"{n:,}") for a, b, n in found.changes), 2
        ),
        *(_dimension(name, rows) for name, rows in found.by.items()),
        _identities(found),
        _latency(found),
        _differences(found),
        *(_examples(name, some, texts) for name, some in found.examples.items()),
        _about(found),
    ]
    return document(title, parts)


def _gate(found: Report) -> str:
    rows = [
        (
            escape(each.measure),
            escape(each.bound),
            "not measured" if each.value is None else f"{each.value:.6g}",
            "" if each.low is None or each.high is None else f"{each.low:.6g} – {each.high:.6g}",
            f'<span class="{"good" if each.passed else "low"}">{"held" if each.passed else "not held"}</span>',
        )
        for each in found.gate
    ]
    said = "held" if found.passed else "not held"
    return f"<h2>The gate is {said}</h2>{table(('measure', 'bound', 'value', 'interval', ''), rows, 2)}" if rows else ""


def _shares(found: Report) -> Sequence[tuple[str, str]]:
    total = found.total
    return [
        ("refused before", f"{total.refused_before:,} of {total.exchanges:,}, {_percent(found.refused_before)}"),
        ("refused after", f"{total.refused_after:,}, {_percent(found.refused_after)}"),
        ("change", _percent(found.refused_change)),
        ("newly blocked", f"{total.newly_blocked:,}"),
        ("newly allowed", f"{total.newly_allowed:,}"),
        ("changed in any way", f"{total.changed:,}"),
        *((f"not decided: {escape(why)}", f"{count:,}") for why, count in found.undecided.items()),
        *((escape(note), f"{count:,}") for note, count in found.notes.items()),
    ]


def _labels(found: Report) -> str:
    rows = [
        (DESERVED[label], f"{each.exchanges:,}", _percent(each.before), _percent(each.after), _percent(each.change))
        for label, each in found.labelled.items()
    ]
    return f"<h2>Against labels</h2>{table(('', 'exchanges', 'before', 'after', 'change'), rows)}" if rows else ""


def _dimension(name: str, rows: Sequence[Row]) -> str:
    """Of a dimension that says something."""
    if not any(row.tally.changed for row in rows):
        return ""
    bars = [(row.value, row.tally.newly_blocked, row.tally.newly_allowed) for row in rows[:DRAWN]]
    head = (name, "exchanges", "changed", "refused before", "refused after", "newly blocked", "newly allowed", "change")
    cells = ((escape(row.value), *_counts(row.tally), _percent(row.change)) for row in rows)
    return f"<h3>By {name}</h3>{both_ways(bars, ('newly blocked', 'newly allowed'))}{table(head, cells)}"


def _counts(tally: Tally) -> Sequence[str]:
    counts = (
        tally.exchanges,
        tally.changed,
        tally.refused_before,
        tally.refused_after,
        tally.newly_blocked,
        tally.newly_allowed,
    )
    return [f"{count:,}" for count in counts]


def _identities(found: Report) -> str:
    if not found.moves:
        return ""
    rows = ((escape(a), escape(b), f"{n:,}") for a, b, n in found.moves)
    named = (tuple(map(escape, each)) for each in found.identities)
    who = table(("kind", "pseudonym", "before", "after"), named, 4)
    return (
        f"<h2>Where identities would stand</h2><p>{found.identities_changed:,} would stand elsewhere, if all had begun "
        f"in good standing and only these strikes counted.</p>{table(('step before', 'after', 'identities'), rows, 2)}"
        f"<details><summary>who</summary>{who}</details>"
    )


def _latency(found: Report) -> str:
    if not found.curves:
        return ""
    rows = ((f"p{100 * each.share:g}", _ms(each.before), _ms(each.after)) for each in found.latency)
    return (
        "<h2>Latency</h2><p>From the last byte of a request to its verdict: the share of exchanges that had it by "
        "then.</p>"
        f"{curves(found.curves, 'ms')}{table(('', 'before, ms', 'after, ms'), rows)}"
    )


def _differences(found: Report) -> str:
    rows = [
        (escape(each.where), escape(each.before), escape(each.after), escape(", ".join(each.rules)))
        for each in found.differences
    ]
    return f"<h2>How the policies differ</h2>{table(('', 'before', 'after', 'rules'), rows, 4)}" if rows else ""


def _examples(name: str, some: Sequence[Example], texts: Mapping[str, str]) -> str:
    rows = [
        (
            escape(each.id),
            escape(each.route),
            escape(" ".join((each.before, each.rule_before))),
            escape(" ".join((each.after, each.rule_after))),
            escape(f"{each.producer} {each.epoch} {each.sequence}".strip()),
        )
        for each in some
    ]
    shown = "".join(
        f"<h4>{escape(each.id)}</h4><pre>{escape(texts[each.id])}</pre>" for each in some if each.id in texts
    )
    listed = table(("record", "route", "before", "after", "producer, epoch, number"), rows, 5)
    return f"<details><summary>Examples: {escape(name)}</summary>{listed}{shown}</details>"


def _about(found: Report) -> str:
    about = found.about
    before = about.before
    rows = [
        ("policy", escape(about.after.name), escape(about.after.digest)),
        (
            "before",
            escape(before.name) if before else "as it was decided then",
            escape(before.digest) if before else "",
        ),
        *(("file", escape(name), "") for name in about.files),
        ("program", "safeguards-extproc", escape(about.version)),
        ("took", f"{found.seconds:.1f} s", escape(about.way)),
    ]
    again = f"<p>Again:</p><pre>{escape(about.command)}</pre>"
    return f"<h2>How this was found</h2>{table(('', 'name', 'digest or version'), rows, 3)}{again}"


def _percent(figure: Figure) -> str:
    return f"{100 * figure.value:.3f} % <small>{100 * figure.low:.3f} – {100 * figure.high:.3f}</small>"


def _ms(figure: Figure | None) -> str:
    return "–" if figure is None else f"{figure.value:.3g} <small>{figure.low:.3g} – {figure.high:.3g}</small>"

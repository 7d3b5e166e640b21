"""A replay's report in a few lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from safeguards_extproc.replay.measures import Figure
from safeguards_extproc.replay.report import Report
from safeguards_extproc.replay.verdict import MUST_ALLOW, MUST_BLOCK

LINES = 8
"""Rows of a dimension that are shown."""


def headline(found: Report) -> str:
    """The whole of it in a sentence."""
    total, about = found.total, found.about
    against = f"than {about.before.name}" if about.before else "than was decided then"
    said = f"{total.exchanges:,} exchanges: {about.after.name} decides {total.changed:,} otherwise {against}; "
    said += f"{total.newly_blocked:,} newly blocked, {total.newly_allowed:,} newly allowed."
    undecided = sum(found.undecided.values())
    return said + (f" {undecided:,} could not be decided." if undecided else "")


def lines(found: Report) -> Iterator[str]:
    """What a person reads first."""
    yield headline(found)
    rate = " → ".join(f"{100 * each.value:.3f} %" for each in (found.refused_before, found.refused_after))
    yield f"  refused      {rate}, change {_percent(found.refused_change)}"
    for label, name in ((MUST_BLOCK, "recall"), (MUST_ALLOW, "false alarms")):
        if labelled := found.labelled.get(label):
            both = f"{_percent(labelled.before)} → {_percent(labelled.after)}"
            yield f"  {name:12} {both} of {labelled.exchanges:,}"
    for each in found.latency:
        if each.before or each.after:
            yield f"  {f'p{100 * each.share:g}':12} {_ms(each.before)} → {_ms(each.after)}"
    if found.moves:
        yield f"  identities   {found.identities_changed:,} would stand elsewhere"
    for name, rows in found.by.items():
        for row in [row for row in rows if row.tally.changed][:LINES]:
            tally = row.tally
            changes = (
                f"+{tally.newly_blocked:,} −{tally.newly_allowed:,}, {tally.changed:,} of {tally.exchanges:,} changed"
            )
            yield f"  {name:12} {row.value}: {changes}"
    for finding in found.findings:
        yield f"  {finding}"
    for why, count in {**found.undecided, **found.notes}.items():
        yield f"  {count:,}: {why}"
    for held in found.gate:
        value = "not measured" if held.value is None else f"{held.value:.6g}"
        yield f"  {'held' if held.passed else 'NOT HELD':12} {held.measure} {held.bound}: {value}"
    yield f"  again: {found.about.command}"


def _percent(figure: Figure) -> str:
    return f"{100 * figure.value:.3f} % ({100 * figure.low:.3f} to {100 * figure.high:.3f})"


def _ms(figure: Figure | None) -> str:
    return "–" if figure is None else f"{figure.value:.3g} ms"

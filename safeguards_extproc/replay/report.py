"""What a replay found, as data: the one structure that terminal, JSON, page and gate are made from.

`SCHEMA` changes when a member goes or means something else; members may be added.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from safeguards_extproc.policy.compile import CompiledPolicy
from safeguards_extproc.replay.compare import NEWLY_ALLOWED, NEWLY_BLOCKED, Comparison, Example, Tally
from safeguards_extproc.replay.differences import Difference, differences
from safeguards_extproc.replay.gate import Passed
from safeguards_extproc.replay.histogram import Histogram
from safeguards_extproc.replay.identities import Stands
from safeguards_extproc.replay.intervals import paired, wilson
from safeguards_extproc.replay.measures import Figure
from safeguards_extproc.replay.verdict import MUST_ALLOW, MUST_BLOCK

SCHEMA = 1
DIGITS = 6
MOST = 100
"""Values of a dimension and identities that are listed, those that change most first; all are counted."""

PERCENTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Named:
    """A policy, by its name and digest."""

    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class About:
    """What was replayed: `command` reproduces it. `before` is None where it is what was decided then."""

    version: str
    way: str
    command: str
    files: list[str]
    after: Named
    before: Named | None


@dataclass(frozen=True, slots=True)
class Row:
    """A value of a dimension, its exchanges, and the change of its share of refusals."""

    value: str
    tally: Tally
    change: Figure


@dataclass(frozen=True, slots=True)
class Labelled:
    """Of exchanges of which somebody has said what they deserve: how many are refused. For those that must be blocked
    that is recall, for those that must be allowed it is false positives."""

    exchanges: int
    before: Figure
    after: Figure
    change: Figure


@dataclass(frozen=True, slots=True)
class Percentile:
    """Milliseconds; None where nobody measured."""

    share: float
    before: Figure | None
    after: Figure | None


@dataclass(frozen=True, slots=True)
class Report:
    """`refused_*` are shares of all exchanges. `changes` are outcomes before and after and how many, `moves` are steps
    of identities in the same way. `findings` say in words what changed, and what in the policy has to do with it."""

    about: About
    seconds: float
    total: Tally
    refused_before: Figure
    refused_after: Figure
    refused_change: Figure
    changes: list[tuple[str, str, int]]
    by: dict[str, list[Row]]
    labelled: dict[str, Labelled]
    latency: list[Percentile]
    moves: list[tuple[str, str, int]]
    identities: list[Stands]
    identities_changed: int
    differences: list[Difference]
    findings: list[str]
    examples: dict[str, list[Example]]
    undecided: dict[str, int]
    notes: dict[str, int]
    curves: dict[str, list[tuple[float, float]]]
    gate: list[Passed] = field(default_factory=list)
    schema: int = SCHEMA

    @property
    def passed(self) -> bool:
        """Whether the gate lets it pass."""
        return all(each.passed for each in self.gate)


def report(
    about: About, comparison: Comparison, after: CompiledPolicy, before: CompiledPolicy | None, seconds: float
) -> Report:
    """The report of a comparison."""
    total = comparison.total
    moves, moved = comparison.identities.changed()
    different = differences(before.document, after.document) if before is not None else []
    return Report(
        about=about,
        seconds=seconds,
        total=total,
        refused_before=share(total.refused_before, total.exchanges),
        refused_after=share(total.refused_after, total.exchanges),
        refused_change=change(total),
        changes=[
            (*key, count) for key, count in sorted(comparison.changes.items(), key=lambda item: (-item[1], item[0]))
        ],
        by={name: _rows(tallies) for name, tallies in comparison.by.items()},
        labelled={
            label: Labelled(
                tally.exchanges,
                share(tally.refused_before, tally.exchanges),
                share(tally.refused_after, tally.exchanges),
                change(tally),
            )
            for label, tally in comparison.labelled.items()
            if tally.exchanges
        },
        latency=[
            Percentile(at, _quantile(comparison.before_ms, at), _quantile(comparison.after_ms, at))
            for at in PERCENTILES
        ],
        moves=[(*key, count) for key, count in sorted(moves.items(), key=lambda item: (-item[1], item[0]))],
        identities=moved[:MOST],
        identities_changed=len(moved),
        differences=different,
        findings=[*_findings(comparison, different), *_absent(comparison, after)],
        examples={
            f"{kind}, {rule}" if rule else kind: some for (kind, rule), some in sorted(comparison.examples.items())
        },
        undecided=dict(comparison.undecided.most_common()),
        notes=dict(comparison.notes.most_common()),
        curves={
            name: histogram.curve()
            for name, histogram in (("before", comparison.before_ms), ("after", comparison.after_ms))
            if histogram.size
        },
    )


def share(part: int, whole: int) -> Figure:
    """A share and its interval."""
    return Figure(part / whole if whole else math.nan, *wilson(part, whole))


def change(tally: Tally) -> Figure:
    """Of the share of refusals."""
    gained, lost, whole = tally.newly_blocked, tally.newly_allowed, tally.exchanges
    return Figure((gained - lost) / whole if whole else math.nan, *paired(gained, lost, whole))


def encode(found: Report) -> str:
    """The report as JSON; numbers have six digits, and what is no number is null."""
    return json.dumps(plain(found), indent=1, ensure_ascii=False) + "\n"


def plain(value: Any) -> Any:
    """What JSON can say of it."""
    match value:
        case tuple() if hasattr(value, "_asdict"):
            return plain(value._asdict())
        case dict():
            return {name: plain(member) for name, member in value.items()}
        case list() | tuple():
            return [plain(member) for member in value]
        case float():
            return round(value, DIGITS) if math.isfinite(value) else None
        case _ if dataclasses.is_dataclass(value):
            return {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
        case _:
            return value


def _quantile(histogram: Histogram, at: float) -> Figure | None:
    return Figure(*histogram.quantile(at)) if histogram.size else None


def _rows(tallies: Mapping[str, Tally]) -> list[Row]:
    """Those that change most first, then the largest."""
    found = sorted(tallies.items(), key=lambda item: (-item[1].changed, -item[1].exchanges, item[0]))
    return [Row(value or "(none)", tally, change(tally)) for value, tally in found[:MOST]]


def _findings(comparison: Comparison, different: Sequence[Difference]) -> list[str]:
    """A sentence for each rule that refuses more or less than before."""
    found = []
    for kind, verb in ((NEWLY_ALLOWED, "refused before"), (NEWLY_BLOCKED, "refuses now")):
        of = {NEWLY_ALLOWED: "newly_allowed", NEWLY_BLOCKED: "newly_blocked"}[kind]
        rows = [(getattr(tally, of), rule) for rule, tally in comparison.by["rule"].items()]
        for count, rule in sorted(((count, rule) for count, rule in rows if count), key=lambda row: (-row[0], row[1])):
            why = "; ".join(each.line for each in different if rule in each.rules)
            found.append(f"{kind}: {count} that {rule} {verb}" + (f" ({why})" if why else ""))
    missed = comparison.labelled[MUST_BLOCK]
    if missed.newly_allowed:
        found.append(f"of those that must be blocked, {missed.newly_allowed} are newly allowed")
    wrong = comparison.labelled[MUST_ALLOW]
    if wrong.newly_blocked:
        found.append(f"of those that must be allowed, {wrong.newly_blocked} are newly blocked")
    return found


def _absent(comparison: Comparison, after: CompiledPolicy) -> list[str]:
    """Scores that rules read and no record holds: the detector was not there, or has been renamed."""
    if not comparison.seen:
        return []
    lacking: dict[str, list[str]] = {}
    for lane in after.book.lanes.values():
        for rule in lane.rules:
            for name in sorted(rule.scores - comparison.seen):
                rules = lacking.setdefault(name, [])
                if rule.ask.name not in rules:
                    rules.append(rule.ask.name)
    return [f"no record holds the score {name}, which {', '.join(rules)} reads" for name, rules in lacking.items()]

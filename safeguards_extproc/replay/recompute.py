"""The query that decides records again, and what its rows mean.

The one rule: it says exactly what settle.decide says of each record. Rows that SQL cannot decide (several limits at
once, values that fit into no column) are marked, and settle.decide itself decides them; rows that nothing can decide
are marked too.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from safeguards_extproc.core.account import ANSWERABLE
from safeguards_extproc.core.decision import Action, Release
from safeguards_extproc.core.text import Direction
from safeguards_extproc.policy.asks import Asked, asks, first, first_item
from safeguards_extproc.policy.compile import CompiledPolicy
from safeguards_extproc.policy.sql import literal
from safeguards_extproc.records.query import column as quoted
from safeguards_extproc.replay.columns import Columns
from safeguards_extproc.replay.facts import ITEM_MASK, MASKS
from safeguards_extproc.replay.settle import READ, How, Routes, Said, Was, routes, settle
from safeguards_extproc.replay.verdict import Side, Verdict

INDIVIDUAL = ("id", "producer", "epoch", "sequence", "time", "kind", "subject")
"""Columns of a row that are needed of some exchanges only."""


class Way(enum.IntEnum):
    """How a row is decided."""

    SQL = 0
    PYTHON = 1
    NOT = 2


@dataclass(frozen=True, slots=True)
class Decider:
    """One policy's part of the query: what can fire in each direction."""

    policy: CompiledPolicy
    routes: Routes
    asked: Mapping[Direction, Sequence[Asked]]
    answer: Columns

    @classmethod
    def of(cls, policy: CompiledPolicy, types: Mapping[str, str]) -> Decider:
        columns = {direction: Columns(direction, types) for direction in Direction}
        found = {
            direction: asks(policy.book, policy.limits, policy.admits, direction, columns[direction])
            for direction in Direction
        }
        return cls(policy, routes(policy), found, columns[Direction.RESPONSE])

    def said(self, direction: Direction, lead: int, top: int) -> Said:
        """What two places in `asked` stand for: the first that leads, and the first with rules in shadow counted."""
        asked = self.asked[direction]
        if top < 0:
            return Said()
        if lead < 0:
            return Said(decided=asked[top].action.value, fired=True)
        led = asked[lead]
        return Said(asked[top].action.value, led.action.value, led.name, led.category, True, led.true)

    @property
    def lists(self) -> Mapping[str, str]:
        """Columns that are made of the items of an answer, where rules drop some."""
        rules = self.policy.book.dropping.rules
        names = sorted({name for rule in rules for name in rule.scores})
        return self.answer.lists_of(names, self.policy.book.detectors) if rules else {}

    def first_item(self, *, enforced: bool) -> str:
        """The place in `asked` of what fires first for an item of an answer."""
        return first_item(self.asked[Direction.RESPONSE], self.answer, enforced=enforced)

    @property
    def unseen(self) -> Sequence[str]:
        """Routes whose exchanges nobody looks into."""
        return [name for name, how in self.routes.by.items() if not how.inspect]


KEYS = (
    *(f"{direction.value}.{name}" for direction in Direction for name in ("decided", "action", "applied", "cause")),
    *("route", "gate", "release", "outcome", "rule", "category"),
)
"""Columns of the record that say how an exchange went."""

FLAGS = tuple(f"{direction.value}_{name}" for direction in Direction for name in ("judged", "forced", "opened"))


def query(source: str, deciders: Sequence[Decider], labels: str = "") -> str:
    """The query over `source`, something to select from. A row has KEYS, FLAGS, tenant, judged, admitted, deserved, a
    `lead` and a `top` for each decider and direction, latency_ms, way, and INDIVIDUAL. `labels` names a table of id and
    deserved."""
    fires = [
        f"{_item(at, number, asked) if asked.item else asked.fires} AS {_name(at, direction, number)}"
        for at, decider in enumerate(deciders)
        for direction in Direction
        for number, asked in enumerate(decider.asked[direction])
    ]
    lists = {name: sql for decider in deciders for name, sql in decider.lists.items()}
    items = {
        _items(at, enforced): decider.first_item(enforced=enforced)
        for at, decider in enumerate(deciders)
        if any(each.item for each in decider.asked[Direction.RESPONSE])
        for enforced in (True, False)
    }
    for more in filter(None, (lists, items)):
        source = f"(SELECT *, {', '.join(f'{sql} AS {name}' for name, sql in more.items())} FROM {source})"  # noqa: S608
    chosen = [
        *(f"coalesce({quoted(name)}, '') AS {quoted(name)}" for name in KEYS),
        *_flags(),
        "coalesce(identity['tenant'], '') AS tenant",
        f"{_judged()} AS judged",
        "(len(list_filter(limits, lambda l: l.enforced AND NOT l.allowed)) = 0) AS admitted",
        f"CASE WHEN {quoted('request.decided_ms')} >= 0 THEN greatest(0.0, {quoted('request.decided_ms')} - "
        f"greatest({quoted('request.ended_ms')}, {quoted('request.headers_ms')})) END AS latency_ms",
        f"{_way(deciders)} AS way",
        *_who(),
        *fires,
    ]
    places = [
        f"CAST({_first(at, decider, direction, enforced)} AS SMALLINT) AS {name}"
        for at, decider in enumerate(deciders)
        for direction in Direction
        for name, enforced in ((f"lead_{at}_{direction.value}", True), (f"top_{at}_{direction.value}", False))
    ]
    deserved, joined = "''", ""
    if labels:
        deserved, joined = "coalesce(l.deserved, '')", f" LEFT JOIN {labels} AS l ON l.id = d.id"
    names = [*KEYS, *FLAGS, "tenant", "judged", "admitted", "latency_ms", "way", *INDIVIDUAL]
    columns = ", ".join([*(f"d.{quoted(name)}" for name in names), f"{deserved} AS deserved", *places])
    return f"WITH d AS (SELECT {', '.join(chosen)} FROM {source}) SELECT {columns} FROM d{joined}"  # noqa: S608


def group_names(deciders: Sequence[Decider]) -> list[str]:
    """Columns of the query's rows that say everything but whose exchange it was."""
    places = [
        f"{name}_{at}_{direction.value}"
        for at in range(len(deciders))
        for direction in Direction
        for name in ("lead", "top")
    ]
    return [*KEYS, *FLAGS, "tenant", "judged", "admitted", "deserved", "way", *places]


def python_only(source: str, deciders: Sequence[Decider]) -> str:
    """The query for whole rows that settle.decide has to decide."""
    return f"SELECT * FROM {source} WHERE {_way(deciders)} = {Way.PYTHON.value}"  # noqa: S608


def verdicts(row: Mapping[str, object], deciders: Sequence[Decider]) -> list[Verdict]:
    """What each decider makes of a row of the query, without what is INDIVIDUAL; by the record itself for none."""
    request, response = (_was(row, direction) for direction in Direction)
    before = How(True, str(row["gate"]), str(row["release"]))
    route, tenant = str(row["route"]), str(row["tenant"])
    if not deciders:
        led = str(row["outcome"]), str(row["rule"]), str(row["category"])
        sides = request.side, response.side
        return [
            Verdict("", "", "", 0, "", route, tenant, "", "", *sides, *led, bool(row["judged"] and row["admitted"]))
        ]
    found = []
    for at, decider in enumerate(deciders):
        said = [
            decider.said(direction, _int(row[f"lead_{at}_{direction.value}"]), _int(row[f"top_{at}_{direction.value}"]))
            for direction in Direction
        ]
        came = settle(request, response, *said, before, decider.routes.of(route, before))
        found.append(Verdict("", "", "", 0, "", route, tenant, "", "", *came[:-1], came.true and bool(row["admitted"])))
    return found


def _int(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError("a place is a number")
    return value


def _was(row: Mapping[str, object], direction: Direction) -> Was:
    name = direction.value
    side = Side(*(str(row[f"{name}.{part}"]) for part in ("decided", "action", "applied")))
    flags = (bool(row[f"{name}_{part}"]) for part in ("judged", "forced", "opened"))
    return Was(side, str(row[f"{name}.cause"]), *flags)


def _name(at: int, direction: Direction, number: int) -> str:
    return f"f_{at}_{direction.value}_{number}"


def _items(at: int, enforced: bool) -> str:
    """The column of what fires first for an item."""
    return f"{'lead' if enforced else 'top'}_item_{at}"


def _item(at: int, number: int, asked: Asked) -> str:
    return f"coalesce({_items(at, asked.enforced)} = {number}, FALSE)"


def _first(at: int, decider: Decider, direction: Direction, enforced: bool) -> str:
    asked = decider.asked[direction]
    names = [_name(at, direction, number) for number in range(len(asked))]
    if direction is Direction.REQUEST and (unseen := decider.unseen):
        routes_ = ", ".join(map(literal, unseen))
        names = [
            name if each.admission else f"({name} AND route NOT IN ({routes_}))"
            for name, each in zip(names, asked, strict=True)
        ]
    return first(asked, names, enforced=enforced)


def _flags() -> Iterable[str]:
    """FLAGS, as settle.judged, settle.forced and settle.was have them."""
    for direction in Direction:
        d = direction.value
        fired, action = quoted(f"{d}.fired"), quoted(f"{d}.action")
        judged = f"{quoted(f'{d}.decided_ms')} >= 0 OR len({fired}) > 0"
        if direction is Direction.RESPONSE:
            judged += f" OR {quoted(f'{d}.account.coverage')} IN ({', '.join(map(literal, READ))})"
        block = literal(Action.BLOCK.value)
        enforced = f"lambda f: f.mode = 'enforce' AND f.action = {block}"
        forced = f"CASE WHEN {action} = {block} THEN len(list_filter({fired}, {enforced})) = 0 ELSE FALSE END"
        opened = f"{quoted(f'{d}.account.windows')} > 1 OR release <> {literal(Release.WINDOW.value)}"
        yield f"({judged}) AS {d}_judged"
        yield f"({forced}) AS {d}_forced"
        left = f"{quoted(f'{d}.first_release_ms')} >= 0 AND {quoted(f'{d}.account.frames')} > 0"
        yield f"({left} AND ({opened})) AS {d}_opened"


def _judged() -> str:
    """Whether the rule that led was true, as verdict.judged has it, admission left out."""
    led = "lambda f: f.rule = rule AND f.cause = 'true'"
    lists = (quoted(f"{direction.value}.fired") for direction in Direction)
    return "(rule <> '' AND (" + " OR ".join(f"len(list_filter({name}, {led})) > 0" for name in lists) + "))"


def _who() -> Iterable[str]:
    yield from ("id", "producer", "epoch", "sequence", "time")
    named = [(f"identity['{kind}']", kind) for kind in ANSWERABLE]
    yield "CASE" + "".join(f" WHEN {name} IS NOT NULL THEN '{kind}'" for name, kind in named) + " ELSE '' END AS kind"
    yield f"coalesce({', '.join(name for name, _ in named)}, '') AS subject"


def _way(deciders: Sequence[Decider]) -> str:
    """Way of a row."""
    masks = [f"{d.value}.{field}" for d in Direction for field in MASKS]
    whole = ", ".join(map(literal, ["request", "response", "account", "limits"]))
    masked = f"m IN ({whole})" + "".join(
        f" OR m = {literal(mask)} OR starts_with(m, {literal(mask + '.')})" for mask in masks
    )
    no = f"len(list_filter(masked, lambda m: {masked})) > 0"
    python = ["cardinality(rest) > 0"]
    if any(decider.policy.book.dropping.rules for decider in deciders):
        known, listed = f"coalesce({quoted('response.item_facts.known')}, '')", quoted("response.items.listed")
        no += f" OR {known} = 'none' OR ({known} = '' AND {listed} > 0)"
        no += f" OR ({known} <> '' AND len(list_filter(masked, lambda m: starts_with(m, {literal(ITEM_MASK)}))) > 0)"
    if any(len(decider.policy.limits) > 1 for decider in deciders):
        python.append("len(list_filter(limits, lambda l: NOT l.allowed)) > 1")
    for direction in Direction:
        reasons = {"", *(reason for decider in deciders for reason in decider.policy.book.uninspectable)}
        known = ", ".join(map(literal, sorted(reasons)))
        python.append(f"{quoted(f'{direction.value}.account.uninspectable')} NOT IN ({known})")
    python_ = " OR ".join(python)
    return f"CASE WHEN {no} THEN {Way.NOT.value} WHEN {python_} THEN {Way.PYTHON.value} ELSE {Way.SQL.value} END"

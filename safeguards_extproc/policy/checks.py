"""What keys of a document mean together: each check finds mistakes that no single key shows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from safeguards_extproc.core.actions import Point, possible
from safeguards_extproc.core.decision import Action
from safeguards_extproc.core.text import Direction, Kind
from safeguards_extproc.policy.decide import Reach, Rule
from safeguards_extproc.policy.document import Classification, Document, Match, RouteSpec, RuleSpec
from safeguards_extproc.policy.problems import Problem, suggest
from safeguards_extproc.policy.routes import matches_all
from safeguards_extproc.policy.source import Path, Source
from safeguards_extproc.wire.paths import normalise

BOTH = frozenset(Direction)

KINDS: dict[Direction, frozenset[Kind]] = {
    Direction.REQUEST: frozenset(Kind) - {Kind.CONTENT, Kind.REFUSAL, Kind.ERROR},
    Direction.RESPONSE: frozenset(
        {Kind.CONTENT, Kind.REASONING, Kind.REFUSAL, Kind.TOOL, Kind.TOOL_CALL, Kind.OTHER, Kind.ERROR}
    ),
}
"""Kinds of text that a direction can hold. Hosted tools put their results into responses."""

FIELDS = {"entities": "redact", "instruction": "steer", "headers": "reroute"}
"""Keys of a rule that belong to one action, which needs them."""

OPTIONAL = {"retry_after_s": "throttle"}
"""Keys of a rule that belong to one action, which has a default for them."""

PLACEHOLDER = frozenset({"placeholder", "restore"})
"""Keys of a rule that may stand with then: redact."""

EDITS = frozenset({"redact", "drop", "steer", "reroute"})
"""Actions that change what goes on, so it must wait for them."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a policy's detectors and this program offer."""

    reaches: Mapping[str, Reach]
    labels: Mapping[str, frozenset[str] | None]
    entities: frozenset[str] | None
    formats: Collection[str]


def check(document: Document, source: Source, inventory: Inventory, rules: Mapping[int, Rule]) -> Iterator[Problem]:
    """Every mistake. `rules` holds the rules whose conditions could be read, by their index."""
    yield from _unique(document, source)
    yield from _detectors(document, source)
    for index, spec in enumerate(document.rules):
        yield from _action(spec, ("rules", index), source, inventory)
        if index in rules:
            yield from _reach(spec, rules[index], ("rules", index), source, inventory)
    yield from _routes(document, source, inventory)
    yield from _edits(document, source)
    yield from _examples(document, source, inventory)


def directions(on: str) -> frozenset[Direction]:
    """`on: any` is both."""
    return BOTH if on == "any" else frozenset({Direction(on)})


def _unique(document: Document, source: Source) -> Iterator[Problem]:
    for key in ("rules", "routes", "limits", "examples"):
        seen: dict[str, int] = {}
        for index, row in enumerate(getattr(document, key)):
            if row.name in seen:
                where = source.where((key, seen[row.name], "name"))
                yield source.problem((key, index, "name"), f"{row.name!r} stands twice", f"first at {where}")
            seen.setdefault(row.name, index)


def _detectors(document: Document, source: Source) -> Iterator[Problem]:
    for name, spec in document.detectors.items():
        if not isinstance(spec, Classification):
            continue
        for index, label in enumerate(spec.labels):
            if label in spec.labels[:index]:
                yield source.problem(("detectors", name, "labels", index), f"{label!r} stands twice")
        if spec.reads == "exchange" and "on" in spec.model_fields_set and "request" in spec.on:
            why = "an exchange is read once there is an answer"
            yield source.problem(("detectors", name, "on"), why, "write on: [response], or reads: text")
        if spec.hedge_ms is not None and spec.hedge_ms >= spec.budget_ms:
            yield source.problem(("detectors", name, "hedge_ms"), "must be less than budget_ms")


def _action(spec: RuleSpec, path: Path, source: Source, inventory: Inventory) -> Iterator[Problem]:
    points = possible(Action(spec.then))
    able = {Direction.REQUEST if point is Point.PROMPT else Direction.RESPONSE for point in points}
    if not directions(spec.on) <= able:
        where = " or ".join(sorted(able))
        phases = "; ".join(point.value for point in points)
        key = "on" if "on" in spec.model_fields_set else "then"
        yield source.problem((*path, key), f"{spec.then} is possible in: {phases}", f"write on: {where}")
    for key, action in (FIELDS | OPTIONAL).items():
        given = getattr(spec, key) is not None
        if given and spec.then != action:
            yield source.problem((*path, key), f"belongs to then: {action}, not to then: {spec.then}")
        if not given and spec.then == action and key in FIELDS:
            yield source.problem((*path, "then"), f"then: {action} needs {key}")
    yield from _placeholder(spec, path, source)
    known = inventory.entities
    for index, entity in enumerate(spec.entities or ()):
        if known is not None and entity != "*" and entity not in known:
            yield source.problem(
                (*path, "entities", index), f"no detector marks {entity!r}", suggest(entity, [*known, "*"])
            )


def _placeholder(spec: RuleSpec, path: Path, source: Source) -> Iterator[Problem]:
    for key in sorted(PLACEHOLDER & spec.model_fields_set):
        if spec.then != "redact":
            yield source.problem((*path, key), f"belongs to then: redact, not to then: {spec.then}")
    if spec.restore and spec.placeholder != "numbered":
        hint = "write placeholder: numbered"
        yield source.problem((*path, "restore"), "a mark does not tell which text it stands for", hint)
    if spec.placeholder == "numbered" and spec.on == "response":
        why = "numbers are for requests, whose text is known whole before the first is given"
        yield source.problem((*path, "placeholder"), why, "write on: request or on: any")


def _reach(spec: RuleSpec, rule: Rule, path: Path, source: Source, inventory: Inventory) -> Iterator[Problem]:
    held = frozenset().union(*(KINDS[direction] for direction in rule.directions))
    for index, kind in enumerate(spec.kinds):
        if kind not in held:
            yield source.problem((*path, "in", index), f"a {spec.on} holds no text of kind {kind.value!r}")
    seen = (rule.kinds or held) & held
    for score in sorted(rule.scores):
        detector = score.partition(".")[0]
        reach = inventory.reaches[detector]
        if not rule.directions & reach.directions:
            yield source.problem(
                (*path, "when"), f"reads {score}, but {detector} does not run on: {spec.on}", f"detectors.{detector}.on"
            )
        elif reach.kinds and seen and not seen & reach.kinds:
            kinds = ", ".join(sorted(kind.value for kind in reach.kinds))
            yield source.problem(
                (*path, "when"), f"reads {score}, but {detector} runs in: [{kinds}] only", f"detectors.{detector}.in"
            )


def _routes(document: Document, source: Source, inventory: Inventory) -> Iterator[Problem]:
    everything = ""
    for index, spec in enumerate(document.routes):
        path: Path = ("routes", index)
        if everything:
            yield source.problem(path, "is never reached", f"route {everything!r} before it matches everything")
        if matches_all(spec.match):
            everything = everything or spec.name
        yield from normal_paths(spec.match, (*path, "match"), source)
        if spec.format != "auto" and spec.format not in inventory.formats:
            hint = suggest(spec.format, [*inventory.formats, "auto"])
            yield source.problem((*path, "format"), f"unknown format {spec.format!r}", hint)
        window = spec.window
        if window.first > window.largest:
            yield source.problem((*path, "window"), "first must not be more than largest")
        if window.overlap >= window.largest:
            yield source.problem((*path, "window"), "overlap must be less than largest")


def normal_paths(match: Match, path: Path, source: Source) -> Iterator[Problem]:
    """Patterns of paths that no path can fit."""
    for number, pattern in enumerate(match.paths):
        normal = normalise(pattern)[0]
        if normal != pattern:
            where = (*path, "paths", number)
            yield source.problem(where, "never matches: paths are compared in normal form", f"write {normal}")


def _edits(document: Document, source: Source) -> Iterator[Problem]:
    """A rule in shadow counts too: what loads in shadow loads when it is enforced."""
    for index, spec in enumerate(document.rules):
        if spec.then not in EDITS:
            continue
        for route in document.routes:
            if not route.inspect:
                continue
            for what, key, value, why in _in_the_way(spec, route):
                at, other = ("restore", "restore") if what == "restore" else ("then", "on")
                yield source.problem(
                    ("rules", index, at),
                    f"{what} cannot work on route {route.name!r} with {key}: {value}, {why}",
                    f"{source.where(('routes', document.routes.index(route), key))} or {other}: of this rule",
                )


def _in_the_way(spec: RuleSpec, route: RouteSpec) -> Iterator[tuple[str, str, str, str]]:
    on = directions(spec.on)
    if Direction.REQUEST in on and route.gate != "hold":
        yield spec.then, "gate", route.gate, "because the request has gone on before the verdict"
    if Direction.RESPONSE in on and spec.then in ("redact", "drop") and route.release != "window":
        yield spec.then, "release", route.release, "because the answer has gone on before the verdict"
    elif spec.restore and route.release != "window":
        yield "restore", "release", route.release, "because the answer has gone on before it could be changed"


def _examples(document: Document, source: Source, inventory: Inventory) -> Iterator[Problem]:
    asked = [name for name, spec in document.detectors.items() if isinstance(spec, Classification)]
    for index, example in enumerate(document.examples):
        path: Path = ("examples", index)
        if example.kind is not None and example.kind not in KINDS[Direction(example.on)]:
            yield source.problem((*path, "in"), f"a {example.on} holds no text of kind {example.kind.value!r}")
        if example.item and example.on == "request":
            yield source.problem((*path, "item"), "only an answer lists items", "write on: response")
        for score in example.scores:
            yield from _score(score, (*path, "scores", score), source, inventory.labels)
        for detector in example.failed:
            if detector not in asked:
                where: Path = (*path, "failed", detector)
                yield source.problem(where, f"{detector!r} is no classification detector", suggest(detector, asked))


def _score(score: str, path: Path, source: Source, known: Mapping[str, frozenset[str] | None]) -> Iterator[Problem]:
    detector, _, label = score.partition(".")
    labels = known.get(detector)
    if detector not in known:
        yield source.problem(path, f"unknown detector {detector!r}", suggest(detector, known))
    elif labels is not None and label not in labels:
        yield source.problem(path, f"detector {detector!r} has no label {label!r}", suggest(label, labels))


def in_order(problems: Sequence[Problem]) -> list[Problem]:
    """By line."""
    return sorted(problems, key=lambda problem: int(problem.where.rpartition(":")[2] or 0))

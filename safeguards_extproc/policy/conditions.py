"""When a model is asked: `when` of a detector, over the scores of one window. Checked as a whole, since conditions that
wait for each other would wait for ever."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from safeguards_extproc.core.decision import Escalation, Value
from safeguards_extproc.core.text import Direction
from safeguards_extproc.policy.cel import CelError, Expr, Names, excerpt, parse, scores
from safeguards_extproc.policy.closure import Rules, build
from safeguards_extproc.policy.decide import Reach
from safeguards_extproc.policy.document import Classification, Document
from safeguards_extproc.policy.problems import Problem
from safeguards_extproc.policy.source import Path, Source


@dataclass(frozen=True, slots=True)
class Condition:
    """A detector's condition, the scores ("detector.label") that it reads, and those that the detector gives."""

    text: str
    expr: Expr
    scores: frozenset[str]
    own: tuple[str, ...]
    run: Mapping[Direction, Rules]

    @property
    def detectors(self) -> frozenset[str]:
        """Those whose scores it reads."""
        return frozenset(score.partition(".")[0] for score in self.scores)

    def holds(self, direction: Direction, scores: Mapping[str, float], features: Mapping[str, Value]) -> bool | None:
        """Whether it is true of a window; None if that is unknown."""
        true: list[int] = []
        unknown: list[int] = []
        self.run[direction](true.append, unknown.append, features.get, scores.get)
        return True if true else None if unknown else False


def conditions(document: Document, source: Source, names: Names, problems: list[Problem]) -> dict[str, Condition]:
    """By detector, each after those that it reads. What is wrong with them is added to `problems`."""
    found: dict[str, Condition] = {}
    for name, spec in document.detectors.items():
        if not isinstance(spec, Classification) or spec.when is None:
            continue
        try:
            expr = parse(spec.when, names)
        except CelError as error:
            where: Path = ("detectors", name, "when")
            problems.append(source.problem(where, excerpt(spec.when, error), error.hint))
            continue
        run = {direction: build([(0, expr)], 1, direction) for direction in Direction}
        own = tuple(f"{name}.{label}" for label in spec.labels)
        found[name] = Condition(spec.when, expr, scores(expr), own, run)
    ordered: dict[str, Condition] = {}
    while ready := [name for name in found if not found[name].detectors & found.keys()]:
        for name in ready:
            ordered[name] = found.pop(name)
    for name in found:
        cycle = _cycle(name, found)
        if cycle:
            message = "reads its own scores" if len(cycle) == 1 else f"waits for itself: {' → '.join([*cycle, name])}"
            problems.append(source.problem(("detectors", name, "when"), message))
    return ordered


def check(
    document: Document, source: Source, found: Mapping[str, Condition], reaches: Mapping[str, Reach]
) -> Iterator[Problem]:
    """Keys that need each other, and scores that are never there."""
    for name, spec in document.detectors.items():
        if not isinstance(spec, Classification):
            continue
        if spec.escalate_at_most is not None:
            where: Path = ("detectors", name, "escalate_at_most")
            if spec.when is None:
                yield source.problem(where, "belongs to a detector with when", "without when it is always asked")
            if "on_failure" not in spec.model_fields_set:
                hint = "write on_failure: degrade, flag, allow or block"
                yield source.problem(
                    where, "needs on_failure, which says what it means that the share is used up", hint
                )
        if name in found:
            yield from _unreachable(name, found[name], source, reaches)


def escalation(condition: Condition, spec: Classification) -> Escalation:
    """What the core must know of it."""
    at_most = 1.0 if spec.escalate_at_most is None else spec.escalate_at_most
    return Escalation(condition.detectors, condition.own, at_most, early=not _asks_whether(condition.expr))


def _asks_whether(expr: Expr) -> bool:
    """Whether it asks if there is a score: the answer is no until it is there, and then another."""
    return expr.op == "has" or any(map(_asks_whether, expr.args))


def _cycle(name: str, found: Mapping[str, Condition]) -> list[str]:
    """The shortest way from a detector back to itself, the last step left out; empty if there is none."""
    ways, seen = [[name]], {name}
    while ways:
        way = ways.pop(0)
        reads = found[way[-1]].detectors
        if name in reads:
            return way
        for other in sorted((reads & found.keys()) - seen):
            seen.add(other)
            ways.append([*way, other])
    return []


def _unreachable(name: str, condition: Condition, source: Source, reaches: Mapping[str, Reach]) -> Iterator[Problem]:
    own = reaches[name]
    for score in sorted(condition.scores):
        other = score.partition(".")[0]
        reach = reaches[other]
        if not own.directions & reach.directions:
            key, what = "on", f"{other} does not run on: {' or '.join(sorted(own.directions))}"
        elif own.kinds and reach.kinds and not own.kinds & reach.kinds:
            key, what = "in", f"{other} runs in: [{', '.join(sorted(kind.value for kind in reach.kinds))}] only"
        else:
            continue
        yield source.problem(("detectors", name, "when"), f"reads {score}, but {what}", f"detectors.{other}.{key}")

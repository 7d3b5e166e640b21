"""What the policy's rules make of several models' scores of one label: what is judged is what they act on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from safeguards_extproc.core.text import Kind
from safeguards_extproc.evaluate.figures import Floats
from safeguards_extproc.policy.cel import Expr
from safeguards_extproc.policy.decide import Rule

_OPERATORS: Mapping[str, Callable[[Floats, Floats], Floats]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "max": np.maximum, "min": np.minimum
}  # fmt: skip


def limits(expr: Expr) -> Iterator[tuple[Expr, float]]:
    """What a condition compares with a number from below, with the lowest value for which that is true."""
    match expr.args:
        case (left, Expr(op="literal", value=int() | float() as limit)) if expr.op in (">", ">="):
            yield left, _from(limit, expr.op == ">")
        case (Expr(op="literal", value=int() | float() as limit), right) if expr.op in ("<", "<="):
            yield right, _from(limit, expr.op == "<")
        case _:
            for arg in expr.args:
                yield from limits(arg)


@dataclass(frozen=True, slots=True)
class Joined:
    """What a rule compares, and of which kinds of text; no kinds is all."""

    expr: Expr
    kinds: frozenset[Kind]


def combined(rules: Iterable[Rule], models: Iterable[str]) -> dict[str, Joined]:
    """By label, what a rule compares that joins its scores of several of `models`; of more than one such, the one that
    joins most."""
    known = set(models)
    found: dict[str, Joined] = {}
    for rule, expr in ((each, expr) for each in rules for expr, _ in limits(each.expr)):
        names = scores(expr)
        labels = {name.partition(".")[2] for name in names}
        detectors = {name.partition(".")[0] for name in names}
        if len(labels) == 1 and len(detectors) > 1 and detectors <= known and _computed(expr):
            (label,) = labels
            if label not in found or len(names) > len(scores(found[label].expr)):
                found[label] = Joined(expr, rule.kinds)
    return found


def scores(expr: Expr) -> frozenset[str]:
    """The scores ("detector.label") that an expression reads."""
    own = frozenset({str(expr.value)} if expr.op == "score" else ())
    return own.union(*(scores(arg) for arg in expr.args))


def values(expr: Expr, rows: Mapping[str, Floats]) -> Floats:
    """Its value for each text. A score that a text does not have is 0, as for the policy, if it has any other."""
    names = [name for name in scores(expr) if name in rows]
    none = np.logical_and.reduce([np.isnan(rows[name]) for name in names])
    return np.where(none, np.nan, _value(expr, {name: np.nan_to_num(rows[name]) for name in names}))


def _value(expr: Expr, rows: Mapping[str, Floats]) -> Floats:
    match expr:
        case Expr(op="score", value=name):
            return rows.get(name, np.zeros(1, np.float32))
        case Expr(op="literal", value=value):
            return np.full(1, value, np.float32)
    first, *others = (_value(arg, rows) for arg in expr.args)
    for other in others:
        first = _OPERATORS[expr.op](first, other)
    return first


def _computed(expr: Expr) -> bool:
    return expr.op in ("score", "literal") or (expr.op in _OPERATORS and all(map(_computed, expr.args)))


def _from(limit: float, above: bool) -> float:
    return float(np.nextafter(np.float32(limit), np.float32(np.inf))) if above else float(limit)

"""CEL's operators on values of which one may be missing: None goes in for UNKNOWN and comes out for it.

An operand of a type that an operator does not take gives None too, as does what int64 cannot hold and what has no
answer: CEL calls all of these errors. Numbers compare across int and double by their mathematical value, as the CEL
specification has it. Nothing here raises.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

Operator = Callable[..., Any]


def _class(value: object) -> str:
    """Types that compare with each other have one name; "" for what is no value."""
    match value:
        case bool():
            return "bool"
        case int() | float():
            return "number"
        case str():
            return "string"
    return ""


def _comparison(compare: Callable[[Any, Any], bool], *, ordered: bool) -> Operator:
    def compared(left: Any, right: Any) -> bool | None:
        kind = _class(left)
        if not kind or kind != _class(right) or (ordered and kind == "bool"):
            return None
        return compare(left, right)

    return compared


def _arithmetic(whole: Callable[[int, int], int | None], real: Callable[[float, float], float] | None) -> Operator:
    def computed(left: Any, right: Any) -> int | float | None:
        if type(left) is int and type(right) is int:
            value = whole(left, right)
            return value if value is not None and -(1 << 63) <= value < 1 << 63 else None
        if real is not None and type(left) is float and type(right) is float:
            return real(left, right)
        return None

    return computed


def _quotient(left: int, right: int) -> int | None:
    if right == 0:
        return None
    value = abs(left) // abs(right)
    return value if (left < 0) == (right < 0) else -value


def _remainder(left: int, right: int) -> int | None:
    if right == 0:
        return None
    value = abs(left) % abs(right)
    return -value if left < 0 else value


def _ratio(left: float, right: float) -> float:
    if right != 0:
        return left / right
    if left == 0 or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


def negated(value: Any) -> int | float | None:
    if type(value) is float:
        return -value
    return -value if type(value) is int and value > -(1 << 63) else None


def truth(value: Any) -> bool | None:
    """A value where a condition is due."""
    return value if value is True or value is False else None


def text(value: Any) -> str | None:
    return value if type(value) is str else None


def member(item: Any, items: tuple[Any, ...]) -> bool | None:
    """`in`: true if one is equal; unknown if none is and one could not be compared."""
    if item is None or None in items:
        return None
    equal = OPERATORS["=="]
    found = [equal(item, other) for other in items]
    return True if True in found else None if None in found else False


def size(value: Any) -> int | None:
    """Characters of a string, members of a list, if every member is known."""
    if type(value) is tuple:
        return None if None in value else len(value)
    return len(value) if type(value) is str else None


def _extreme(better: Callable[[Any, Any], bool]) -> Operator:
    def best(items: tuple[Any, ...]) -> int | float | None:
        if any(_class(item) != "number" for item in items):
            return None
        found: int | float = items[0]
        for item in items:
            if better(item, found):
                found = item
        return found

    return best


def min_of(*numbers: float) -> float:
    return min(numbers)


def max_of(*numbers: float) -> float:
    return max(numbers)


def _test(holds: Callable[[str, str], bool]) -> Operator:
    def tested(left: Any, right: Any) -> bool | None:
        return holds(left, right) if type(left) is str and type(right) is str else None

    return tested


def matcher(search: Callable[[str], Any]) -> Operator:
    """matches() with a compiled pattern. A lone surrogate, which UTF-8 cannot hold, is looked at as "?"."""

    def matches(value: Any) -> bool | None:
        if type(value) is not str:
            return None
        return search(value if value.isascii() else value.encode("utf-8", "replace").decode()) is not None

    return matches


OPERATORS: dict[str, Operator] = {
    "==": _comparison(operator.eq, ordered=False),
    "!=": _comparison(operator.ne, ordered=False),
    "<": _comparison(operator.lt, ordered=True),
    "<=": _comparison(operator.le, ordered=True),
    ">": _comparison(operator.gt, ordered=True),
    ">=": _comparison(operator.ge, ordered=True),
    "+": _arithmetic(operator.add, operator.add),
    "-": _arithmetic(operator.sub, operator.sub),
    "*": _arithmetic(operator.mul, operator.mul),
    "/": _arithmetic(_quotient, _ratio),
    "%": _arithmetic(_remainder, None),
    "neg": negated,
    "in": member,
    "size": size,
    "min": _extreme(operator.lt),
    "max": _extreme(operator.gt),
    "min of known": min_of,
    "max of known": max_of,
    "startsWith": _test(str.startswith),
    "endsWith": _test(str.endswith),
    "contains": _test(str.__contains__),
    "truth": truth,
    "text": text,
}

"""Conditions as SQL: for a table of facts what closure.py makes a function of, and to the letter the same.

NULL stands for unknown, and SQL's AND and OR treat it as CEL treats an error. A table's columns have one type each, so
what a feature is, is known before the first row is looked at. Where two types can meet nevertheless (`?`, min, max), a
value has one expression for each type, of which at most one is not NULL in a row.

The SQL is DuckDB's. What is not the same there is written out: NaN equals itself and exceeds all there, integers that
meet doubles become doubles, and overflow is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from safeguards_extproc.core.text import Direction
from safeguards_extproc.policy.cel import Expr, Type

Score = Callable[[str], str]
"""The SQL of "detector.label", as the rule's view sees it: a DOUBLE that is no NaN, or NULL."""

Feature = Callable[[str], "tuple[str, Type] | None"]
"""The column of a feature and its type; None where the table has none."""

NULL = "NULL"
EXACT = float(1 << 53)
"""Whole numbers below this are the same as doubles."""

BOUND = "CAST('9223372036854775808' AS DOUBLE)"
SWAPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
SIGN = {"==": "=", "!=": "<>"}
NUMBERS = (Type.INT, Type.DOUBLE)
TESTS = {"startsWith": "starts_with", "endsWith": "suffix", "contains": "contains"}


def literal(value: bool | int | float | str) -> str:
    """A constant."""
    match value:
        case bool():
            return "TRUE" if value else "FALSE"
        case int():
            return f"CAST('{value}' AS BIGINT)"
        case float():
            return f"CAST('{value!r}' AS DOUBLE)"
    parts = ("'" + part.replace("'", "''") + "'" for part in value.split("\0"))
    return "(" + " || chr(0) || ".join(parts) + ")"


def condition(expr: Expr, direction: Direction, score: Score, feature: Feature) -> str:
    """A BOOLEAN expression: whether the condition holds, NULL where that is unknown."""
    return _Writer(direction, score, feature).truth(expr)


@dataclass(frozen=True, slots=True)
class _Value:
    """SQL by type; no type is unknown in every row. `nan`: a double may be none. `constant` is a literal's value."""

    by: dict[Type, str] = field(default_factory=dict)
    nan: bool = False
    constant: Any = None

    @property
    def unknown(self) -> str:
        """Whether it is unknown in a row."""
        if self.constant is not None:
            return "FALSE"
        return _all([f"{sql} IS NULL" for sql in self.by.values()]) if self.by else "TRUE"


UNKNOWN = _Value()


class _Writer:
    def __init__(self, direction: Direction, score: Score, feature: Feature) -> None:
        self._direction, self._score, self._feature = direction, score, feature

    def truth(self, expr: Expr) -> str:
        return self._value(expr).by.get(Type.BOOL, NULL)

    def _value(self, expr: Expr) -> _Value:
        match expr.op:
            case "literal":
                return _constant(expr.type, expr.value)
            case "direction":
                return _constant(Type.STRING, self._direction.value)
            case "score":
                return _of(Type.DOUBLE, self._score(expr.value))
            case "feature":
                found = self._feature(expr.value)
                if found is None or (expr.type is Type.STRING and found[1] is not Type.STRING):
                    return UNKNOWN
                return _Value({found[1]: found[0]})
            case "has":
                return _Value({Type.BOOL: self._has(expr.args[0])})
            case "&&" | "||":
                word = " AND " if expr.op == "&&" else " OR "
                return _Value({Type.BOOL: f"({word.join(self.truth(arg) for arg in expr.args)})"})
            case "!":
                return _of(Type.BOOL, _not(self.truth(expr.args[0])))
            case "?":
                return self._choice(expr)
            case "matches":
                text = self._value(expr.args[0]).by.get(Type.STRING, NULL)
                return _of(Type.BOOL, text, f"regexp_matches({text}, {literal(expr.args[1].value)})")
        args = expr.args[0].args if expr.args[0].op == "list" and expr.op in ("min", "max") else expr.args
        if expr.op == "in":
            return _member(self._value(args[0]), [self._value(item) for item in args[1].args])
        if expr.op == "size":
            return self._size(args[0])
        values = [self._value(arg) for arg in args]
        match expr.op:
            case "==" | "!=" | "<" | "<=" | ">" | ">=":
                return _of(Type.BOOL, _compared(expr.op, *values))
            case "min" | "max":
                return _extreme("<" if expr.op == "min" else ">", values)
            case "neg":
                return _negated(values[0])
            case "+" | "-" | "*" | "/" | "%":
                return _computed(expr.op, *values)
        left, right = (value.by.get(Type.STRING, NULL) for value in values)
        return _Value({Type.BOOL: f"{TESTS[expr.op]}({left}, {right})"}) if NULL not in (left, right) else UNKNOWN

    def _has(self, of: Expr) -> str:
        if of.op == "score":
            sql = self._score(of.value)
            return "FALSE" if sql == NULL else f"({sql} IS NOT NULL)"
        found = self._feature(of.value)
        return "FALSE" if found is None else f"({found[0]} IS NOT NULL)"

    def _choice(self, expr: Expr) -> _Value:
        test = self.truth(expr.args[0])
        if test == NULL:
            return UNKNOWN
        yes, no = (self._value(arg) for arg in expr.args[1:])
        by = {}
        for type_ in {**yes.by, **no.by}:
            then, else_ = yes.by.get(type_, NULL), no.by.get(type_, NULL)
            by[type_] = f"(CASE {test} WHEN TRUE THEN {then} WHEN FALSE THEN {else_} END)"
        return _Value(by, yes.nan or no.nan)

    def _size(self, of: Expr) -> _Value:
        if of.op != "list":
            text = self._value(of).by.get(Type.STRING, NULL)
            return _of(Type.INT, text, f"length({text})")
        unknown = _some([self._value(item).unknown for item in of.args])
        return _Value({Type.INT: f"(CASE WHEN {unknown} THEN NULL ELSE {literal(len(of.args))} END)"})


def _of(type_: Type, operand: str, sql: str = "") -> _Value:
    """A value of one type; unknown where its operand always is."""
    return UNKNOWN if operand == NULL else _Value({type_: sql or operand})


def _constant(type_: Type, value: Any) -> _Value:
    return _Value({type_: literal(value)}, nan=value != value, constant=value)


def _not(test: str) -> str:
    return test if test == NULL else f"(NOT {test})"


def _all(tests: Sequence[str]) -> str:
    return f"({' AND '.join(tests)})"


def _some(tests: Sequence[str]) -> str:
    """Whether one of them holds; none of them is ever NULL."""
    left = [test for test in tests if test != "FALSE"]
    return f"({' OR '.join(left)})" if left else "FALSE"


def _first(choices: Sequence[str]) -> str:
    """The one that is not NULL, of expressions of which at most one is not."""
    return NULL if not choices else choices[0] if len(choices) == 1 else f"coalesce({', '.join(choices)})"


def _compared(op: str, left: _Value, right: _Value) -> str:
    """By mathematical value, strings by code points; NULL where the types do not compare."""
    choices = []
    for one, a in left.by.items():
        for other, b in right.by.items():
            if one is other and (one is not Type.BOOL or op in SIGN):
                nan = one is Type.DOUBLE and (left.nan or right.nan)
                choices.append(_real(op, a, b) if nan else _plain(op, a, b))
            elif one is Type.INT and other is Type.DOUBLE:
                choices.append(_mixed(op, a, b, right))
            elif one is Type.DOUBLE and other is Type.INT:
                choices.append(_mixed(SWAPPED[op], b, a, left))
    return _first(choices)


def _plain(op: str, a: str, b: str) -> str:
    return f"({a} {SIGN.get(op, op)} {b})"


def _real(op: str, a: str, b: str) -> str:
    """Doubles as IEEE 754 compares them."""
    unknown, nan = f"{a} IS NULL OR {b} IS NULL", f"isnan({a}) OR isnan({b})"
    return f"(CASE WHEN {unknown} THEN NULL WHEN {nan} THEN {literal(op == '!=')} ELSE {_plain(op, a, b)} END)"


def _mixed(op: str, whole: str, real: str, value: _Value) -> str:
    """A BIGINT with a DOUBLE, exactly."""
    if value.constant is not None and abs(value.constant) < EXACT:
        return _plain(op, f"CAST({whole} AS DOUBLE)", real)
    above = f"CASE WHEN {whole} IS NULL OR {real} IS NULL THEN NULL WHEN isnan({real}) THEN {literal(op == '!=')}"
    above += f" WHEN {real} >= {BOUND} THEN {literal(op in ('<', '<=', '!='))}"
    above += f" WHEN {real} < -{BOUND} THEN {literal(op in ('>', '>=', '!='))}"
    floor, ceil = (f"CAST({name}({real}) AS HUGEINT)" for name in ("floor", "ceil"))
    match op:
        case "<" | ">=":
            return f"({above} ELSE {whole} {op} {ceil} END)"
        case "<=" | ">":
            return f"({above} ELSE {whole} {op} {floor} END)"
    same = f"({whole} = {floor} AND {floor} = {ceil})"
    return f"({above} ELSE {same if op == '==' else _not(same)} END)"


def _negated(value: _Value) -> _Value:
    by = {}
    if Type.INT in value.by:
        by[Type.INT] = _int64(f"-CAST({value.by[Type.INT]} AS HUGEINT)")
    if Type.DOUBLE in value.by:
        by[Type.DOUBLE] = f"(-{value.by[Type.DOUBLE]})"
    return _Value(by, value.nan)


def _computed(op: str, left: _Value, right: _Value) -> _Value:
    by = {}
    if Type.INT in left.by and Type.INT in right.by:
        a, b = f"CAST({left.by[Type.INT]} AS HUGEINT)", right.by[Type.INT]
        match op:
            case "/":
                by[Type.INT] = _int64(f"{a} // NULLIF({b}, 0)")
            case "%":
                by[Type.INT] = _int64(f"{a} % NULLIF({b}, 0)")
            case _:
                by[Type.INT] = _int64(f"{a} {op} CAST({b} AS HUGEINT)")
    if op != "%" and Type.DOUBLE in left.by and Type.DOUBLE in right.by:
        by[Type.DOUBLE] = f"({left.by[Type.DOUBLE]} {op} {right.by[Type.DOUBLE]})"
    return _Value(by, nan=Type.DOUBLE in by)


def _int64(huge: str) -> str:
    """NULL where 64 bits do not hold it."""
    return f"TRY_CAST({huge} AS BIGINT)"


def _member(item: _Value, items: Sequence[_Value]) -> _Value:
    """`in`: NULL if anything is unknown; true if one is equal; NULL if one could not be compared; else false."""
    if not items:
        return _Value({Type.BOOL: f"(CASE WHEN {item.unknown} THEN NULL ELSE FALSE END)"})
    if len(item.by) == 1 and not item.nan and all(each.constant is not None and not each.nan for each in items):
        ((type_, sql),) = item.by.items()
        if all(type_ in each.by for each in items):
            return _Value({Type.BOOL: f"({sql} IN ({', '.join(each.by[type_] for each in items)}))"})
    unknown = _some([item.unknown, *(each.unknown for each in items)])
    equal = " OR ".join(_compared("==", item, each) for each in items)
    return _Value({Type.BOOL: f"(CASE WHEN {unknown} THEN NULL ELSE ({equal}) END)"})


def _extreme(better: str, values: Sequence[_Value]) -> _Value:
    """The first that none is better than; NULL if one of them is no number. A NaN is best in the first place only, as
    nothing compares with it."""
    numbers = [
        _Value({type_: sql for type_, sql in value.by.items() if type_ in NUMBERS}, value.nan, value.constant)
        for value in values
    ]
    unknown = _some([value.unknown for value in numbers])
    types = {type_ for value in numbers for type_ in value.by}
    if len(types) == 1 and not any(value.nan for value in numbers):
        (type_,) = types
        if any(type_ not in value.by for value in numbers):
            return UNKNOWN
        best = f"{'least' if better == '<' else 'greatest'}({', '.join(value.by[type_] for value in numbers)})"
        return _Value({type_: best if unknown == "FALSE" else f"(CASE WHEN {unknown} THEN NULL ELSE {best} END)"})
    whens = []
    for at, value in enumerate(numbers):
        tests = [f"{_compared(better, other, value)} IS NOT TRUE" for other in numbers if other is not value]
        if at and value.nan and Type.DOUBLE in value.by:
            tests.append(f"isnan({value.by[Type.DOUBLE]}) IS NOT TRUE")
        whens.append((_all(tests) if tests else "TRUE", value))
    return _Value(
        {
            type_: f"(CASE WHEN {unknown} THEN NULL "
            + " ".join(f"WHEN {test} THEN {value.by.get(type_, NULL)}" for test, value in whens)
            + " END)"
            for type_ in types
        },
        any(value.nan for value in numbers),
    )

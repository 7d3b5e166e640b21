"""A condition, read and checked before it ever runs: CEL text becomes a typed expression, or an error with a caret.

cel-python parses (github.com/google/cel-spec defines the language). What a condition may say is a part of CEL:
scores.<detector>.<label>, features.<name>, thresholds.<name>, direction, route, format, model; has(); && || ! ?:;
== != < <= > >= in; + - * / %; size, min, max, startsWith, endsWith, contains, matches (RE2). Names and types that are
wrong are found here. CEL's literals are fixed: where an int literal meets a double, it is taken as a double.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import re2  # type: ignore[import-untyped]
from celpy.celparser import CELParseError, CELParser
from celpy.evaluation import celstr

from safeguards_extproc.policy.problems import suggest

DEEPEST = 48
"""Levels that an expression may have."""


class Type(enum.StrEnum):
    """What a value is. DYN is known only when it is seen: a feature."""

    BOOL = "bool"
    INT = "int"
    DOUBLE = "double"
    STRING = "string"
    LIST = "list"
    DYN = "dyn"


@dataclass(frozen=True, slots=True)
class Expr:
    """A node. `op` is a CEL operator or function, or "literal", "score", "feature", "direction", "has".

    `value` is a literal's value, "detector.label" of a score, the name of a feature; has() holds its one operand.
    """

    op: str
    type: Type
    args: tuple[Expr, ...] = ()
    value: Any = None


@dataclass(frozen=True, slots=True)
class Names:
    """What a condition may name. A detector whose labels are None may be asked for any label."""

    labels: Mapping[str, frozenset[str] | None]
    thresholds: Mapping[str, float] = field(default_factory=dict)


class CelError(Exception):
    """A condition that cannot be used. `column` counts from 1, 0 where unknown; `hint` says how to mend it."""

    def __init__(self, message: str, column: int = 0, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.column, self.hint = message, column, hint


WORDS = ("route", "format", "model")
"""Features that have a name of their own, and are strings."""

FEATURES = dict.fromkeys(("account_step", "campaign", "limit", "limit_near"), Type.STRING)
"""Features whose type is known: of the admission, those that are strings."""

_ORDER = {"relation_lt": "<", "relation_le": "<=", "relation_gt": ">", "relation_ge": ">="}
_EQUAL = {"relation_eq": "==", "relation_ne": "!="}
_SUM = {
    "addition_add": "+",
    "addition_sub": "-",
    "multiplication_mul": "*",
    "multiplication_div": "/",
    "multiplication_mod": "%",
}
_NUMBERS = frozenset({Type.INT, Type.DOUBLE, Type.DYN})
_TESTS = frozenset({"startsWith", "endsWith", "contains", "matches"})
_FUNCTIONS = ("has", "size", "min", "max", *sorted(_TESTS))


@functools.cache
def _parser() -> CELParser:
    return CELParser()


def parse(text: str, names: Names) -> Expr:
    """Read and check a condition. Raises CelError."""
    try:
        tree = _parser().parse(text)
    except CELParseError as error:
        column = error.column if isinstance(error.column, int) and error.column > 0 else len(text) + 1
        raise CelError("not a CEL expression", column, "write for example scores.screen.attack >= 0.9") from None
    expr = _Reader(names).read(tree, 0)
    if expr.type not in (Type.BOOL, Type.DYN):
        raise CelError(f"a condition is true or false, this is {_a(expr.type)}", 1, "compare it with something")
    return expr


def scores(expr: Expr) -> frozenset[str]:
    """The scores ("detector.label") that an expression reads, those that has() only asks for included."""
    if expr.op == "score":
        return frozenset({expr.value})
    return frozenset().union(*map(scores, expr.args))


def excerpt(text: str, error: CelError) -> str:
    """The error's message, and below it the condition with a caret where the mistake is."""
    if not error.column or "\n" in text:
        return error.message
    return f"{error.message}\n  {text}\n  {' ' * (error.column - 1)}^"


class _Reader:
    """Turns lark's tree of cel-python's grammar into `Expr`."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def read(self, tree: Any, depth: int) -> Expr:
        while len(tree.children) == 1 and hasattr(tree.children[0], "children") and tree.data != "list_lit":
            tree = tree.children[0]
        column = _column(tree)
        if depth > DEEPEST:
            raise CelError(f"nested deeper than {DEEPEST} levels", column)
        below = depth + 1
        kids: list[Any] = tree.children
        match str(tree.data):
            case "expr":
                return self._choice([self.read(kid, below) for kid in kids], column)
            case "conditionalor" | "conditionaland" as name:
                return self._logic(name, tree, below)
            case "relation" | "addition" | "multiplication":
                left, right = self.read(kids[0].children[0], below), self.read(kids[1], below)
                return self._binary(str(kids[0].data), left, right, column)
            case "unary":
                return self._unary(str(kids[0].data), self.read(kids[1], below), column)
            case "literal":
                return _literal(kids[0], column)
            case "ident" | "member_dot":
                return self._name(_dotted(tree), column)
            case "list_lit":
                items = [self.read(kid, below) for kid in kids[0].children] if kids else []
                return _list(items, column)
            case "ident_arg":
                return self._call(str(kids[0]), self._arguments(kids[1:], below), column)
            case "member_dot_arg":
                receiver = self.read(kids[0], below)
                return self._call(str(kids[1]), [receiver, *self._arguments(kids[2:], below)], column)
            case "member_index":
                raise CelError("an index is not allowed here", column, "write features.name")
            case _:
                raise CelError("maps, messages and absolute names are not allowed here", column)

    def _arguments(self, kids: Sequence[Any], depth: int) -> list[Expr]:
        return [self.read(kid, depth) for kid in kids[0].children] if kids else []

    def _logic(self, name: str, tree: Any, depth: int) -> Expr:
        op, parts = ("||" if name == "conditionalor" else "&&"), []
        node: Any = tree
        while node.data == name and len(node.children) == 2:
            parts.append(node.children[1])
            node = node.children[0].children[0] if len(node.children[0].children) == 1 else node.children[0]
        parts.append(node)
        args = []
        for part in reversed(parts):
            arg = self.read(part, depth)
            _want(arg, (Type.BOOL,), f"{op} joins conditions", _column(part))
            args.append(arg)
        return Expr(op, Type.BOOL, tuple(args))

    def _choice(self, args: list[Expr], column: int) -> Expr:
        condition, yes, no = args
        _want(condition, (Type.BOOL,), "what stands before ? is a condition", column)
        yes, no = _alike(yes, no)
        if Type.LIST in (yes.type, no.type):
            raise CelError("a list cannot be chosen with ?", column)
        if Type.DYN not in (yes.type, no.type) and yes.type is not no.type:
            raise CelError(f"? chooses between {_a(yes.type)} and {_a(no.type)}", column, "both must be of one type")
        return Expr("?", yes.type if yes.type is no.type else Type.DYN, (condition, yes, no))

    def _binary(self, rule: str, left: Expr, right: Expr, column: int) -> Expr:
        if rule == "relation_in":
            if right.type is not Type.LIST:
                raise CelError(f"in looks into a list, not {_a(right.type)}", column, "write x in ['a', 'b']")
            return Expr("in", Type.BOOL, _member(left, right, column))
        left, right = _alike(left, right)
        types = {left.type, right.type}
        if op := _SUM.get(rule, ""):
            _want(left, tuple(_NUMBERS), f"{op} takes numbers", column)
            _want(right, tuple(_NUMBERS), f"{op} takes numbers", column)
            if types == {Type.INT, Type.DOUBLE}:
                raise CelError(f"{op} of an int and a double", column)
            if op == "%" and Type.DOUBLE in types:
                raise CelError("% takes whole numbers", column)
            return Expr(op, left.type if left.type is right.type else Type.DYN, (left, right))
        op = _ORDER.get(rule, "") or _EQUAL[rule]
        if Type.LIST in types or (rule in _ORDER and Type.BOOL in types):
            raise CelError(f"{op} does not compare {_a(left.type)} with {_a(right.type)}", column)
        if Type.DYN not in types and len(types) > 1 and not types <= _NUMBERS:
            raise CelError(f"{_a(left.type)} and {_a(right.type)} cannot be compared", column)
        return Expr(op, Type.BOOL, (left, right))

    def _unary(self, rule: str, arg: Expr, column: int) -> Expr:
        if rule == "unary_not":
            _want(arg, (Type.BOOL,), "! turns a condition round", column)
            return Expr("!", Type.BOOL, (arg,))
        _want(arg, tuple(_NUMBERS), "- takes a number", column)
        if arg.op == "literal" and arg.value != -(1 << 63):
            return replace(arg, value=-arg.value)
        return Expr("neg", arg.type, (arg,))

    def _name(self, path: list[str], column: int) -> Expr:
        match path:
            case ["direction"]:
                return Expr("direction", Type.STRING)
            case [word] if word in WORDS:
                return Expr("feature", Type.STRING, value=word)
            case ["features", name]:
                return Expr("feature", FEATURES.get(name, Type.DYN), value=name)
            case ["thresholds", name]:
                if name not in self._names.thresholds:
                    raise CelError(f"unknown threshold {name!r}", column, suggest(name, self._names.thresholds))
                return Expr("literal", Type.DOUBLE, value=float(self._names.thresholds[name]))
            case ["scores", detector, label]:
                return self._score(detector, label, column)
            case ["scores", *_]:
                raise CelError("a score is named scores.<detector>.<label>", column)
        known = ["scores", "features", "thresholds", "direction", *WORDS]
        raise CelError(f"unknown name {'.'.join(path)!r}", column, suggest(path[0], known))

    def _score(self, detector: str, label: str, column: int) -> Expr:
        if detector not in self._names.labels:
            raise CelError(f"unknown detector {detector!r}", column, suggest(detector, self._names.labels))
        labels = self._names.labels[detector]
        if labels is not None and label not in labels:
            raise CelError(f"detector {detector!r} has no label {label!r}", column, suggest(label, labels))
        return Expr("score", Type.DOUBLE, value=f"{detector}.{label}")

    def _call(self, name: str, args: list[Expr], column: int) -> Expr:
        match name, args:
            case "has", [Expr(op="score" | "feature")]:
                return Expr("has", Type.BOOL, (args[0],))
            case "has", _:
                raise CelError("has() asks for one score or feature", column, "write has(scores.screen.attack)")
            case "size", [arg]:
                _want(arg, (Type.STRING, Type.LIST), "size() takes a string or a list", column)
                return Expr("size", Type.INT, (arg,))
            case "min" | "max", [Expr(op="list", args=items)] if items:
                return _extreme(name, list(items), column)
            case "min" | "max", [_, _, *_]:
                return _extreme(name, args, column)
            case _, [text, pattern] if name in _TESTS:
                _want(text, (Type.STRING,), f"{name}() looks into a string", column)
                _want(pattern, (Type.STRING,), f"{name}() takes a string", column)
                if name == "matches":
                    _check_pattern(pattern, column)
                return Expr(name, Type.BOOL, (text, pattern))
        if name in _FUNCTIONS:
            raise CelError(f"{name}() does not take these arguments", column)
        raise CelError(f"unknown function {name!r}", column, suggest(name, _FUNCTIONS))


def _column(tree: Any) -> int:
    """Where a part of the condition begins; 0 where lark does not know, as for true and false."""
    return getattr(tree.meta, "column", None) or 0


def _a(type_: Type) -> str:
    return f"an {type_}" if type_ is Type.INT else f"a {type_}"


def _want(arg: Expr, types: tuple[Type, ...], message: str, column: int) -> None:
    if arg.type is not Type.DYN and arg.type not in types:
        raise CelError(f"{message}, this is {_a(arg.type)}", column)


def _double(arg: Expr) -> Expr:
    literal = arg.op == "literal" and arg.type is Type.INT
    return Expr("literal", Type.DOUBLE, value=float(arg.value)) if literal else arg


def _alike(left: Expr, right: Expr) -> tuple[Expr, Expr]:
    """Where a double meets an int literal, the literal becomes a double."""
    if Type.DOUBLE in (left.type, right.type):
        return _double(left), _double(right)
    return left, right


def _list(items: list[Expr], column: int) -> Expr:
    if any(item.type is Type.DOUBLE for item in items):
        items = [_double(item) for item in items]
    if any(item.type is Type.LIST for item in items):
        raise CelError("a list of lists is not allowed here", column)
    if len({item.type for item in items} - {Type.DYN}) > 1:
        raise CelError("what a list holds must be of one type", column)
    return Expr("list", Type.LIST, tuple(items))


def _member(item: Expr, items: Expr, column: int) -> tuple[Expr, Expr]:
    if item.type is Type.LIST:
        raise CelError("a list is not looked up in a list", column)
    held = [arg.type for arg in items.args if arg.type is not Type.DYN]
    if item.type is Type.DOUBLE or Type.DOUBLE in held:
        item, items = _double(item), replace(items, args=tuple(map(_double, items.args)))
        held = [arg.type for arg in items.args if arg.type is not Type.DYN]
    if held and item.type not in (held[0], Type.DYN) and not {item.type, held[0]} <= _NUMBERS:
        raise CelError(f"{_a(item.type)} is not in a list of {held[0]}", column)
    return item, items


def _extreme(name: str, args: list[Expr], column: int) -> Expr:
    args = list(_list(args, column).args)
    for arg in args:
        _want(arg, tuple(_NUMBERS), f"{name}() takes numbers", column)
    types = {arg.type for arg in args}
    return Expr(name, types.pop() if len(types) == 1 else Type.DYN, tuple(args))


def _check_pattern(pattern: Expr, column: int) -> None:
    if pattern.op != "literal":
        raise CelError("matches() takes a pattern written out", column)
    try:
        compile_pattern(pattern.value)
    except re2.error as error:
        raise CelError("not a pattern that RE2 knows", column, _why(error)) from None


def compile_pattern(pattern: str) -> Any:
    """The RE2 expression, without RE2's messages on standard error. Raises re2.error."""
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options)


def _why(error: Exception) -> str:
    reason = error.args[0] if error.args else ""
    return reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)


def _literal(token: Any, column: int) -> Expr:
    text = str(token)
    match token.type:
        case "INT_LIT":
            value = int(text, 16) if "x" in text else int(text)
            if not -(1 << 63) <= value < 1 << 63:
                raise CelError("an int has 64 bits", column)
            return Expr("literal", Type.INT, value=value)
        case "FLOAT_LIT":
            return Expr("literal", Type.DOUBLE, value=float(text))
        case "STRING_LIT" | "MLSTRING_LIT":
            return Expr("literal", Type.STRING, value=str(celstr(token)))
        case "BOOL_LIT":
            return Expr("literal", Type.BOOL, value=text == "true")
    raise CelError("null, bytes and unsigned numbers are not allowed here", column)


def _dotted(tree: Any) -> list[str]:
    path: list[str] = []
    while tree.data != "ident":
        if tree.data == "member_dot":
            path.append(str(tree.children[1]))
        elif tree.data not in ("member", "primary"):
            raise CelError("only names have members", _column(tree))
        tree = tree.children[0]
    path.append(str(tree.children[0]))
    return path[::-1]

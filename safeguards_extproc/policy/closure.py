"""All rules of a direction become one Python function, built as a syntax tree from checked expressions.

Only what is written here can be in that tree: constants, local names, comparisons, and calls of OPERATORS. The
function sees no builtins. A missing score is None, and None runs through `&&` and `||` as CEL's errors do: false &&
unknown is false, true || unknown is true.
"""

from __future__ import annotations

import ast
import itertools
import types
from collections.abc import Callable, Sequence
from typing import Any

from safeguards_extproc.core.text import Direction
from safeguards_extproc.policy.cel import Expr, Type, compile_pattern
from safeguards_extproc.policy.operators import OPERATORS, matcher

Rules = Callable[..., None]
"""rules(true, unknown, feature, *views): calls `true(i)` or `unknown(i)` for each rule that is not false. `feature` and
each view are `dict.get`s: of the features, and of the scores of one set of kinds."""

_COMPARE: dict[str, type[ast.cmpop]] = {
    "==": ast.Eq,
    "!=": ast.NotEq,
    "<": ast.Lt,
    "<=": ast.LtE,
    ">": ast.Gt,
    ">=": ast.GtE,
}


def build(rules: Sequence[tuple[int, Expr]], views: int, direction: Direction) -> Rules:
    """The function for rules given as (index of the view whose scores it sees, condition)."""
    writer = _Writer(direction)
    body: list[ast.stmt] = []
    for number, (view, expr) in enumerate(rules):
        body += writer.rule(number, view, expr)
    names = ["true", "unknown", "feature", *(f"view{i}" for i in range(views))]
    module = ast.parse(f"def rules({', '.join(names)}): pass")
    function = module.body[0]
    if not isinstance(function, ast.FunctionDef):
        raise AssertionError("a def is a function")
    function.body = [*writer.loads, *body, *function.body]
    ast.fix_missing_locations(module)
    constants = compile(module, "<policy>", "exec").co_consts
    code = next(constant for constant in constants if isinstance(constant, types.CodeType))
    return types.FunctionType(code, {"__builtins__": {}, **writer.operators})


def nullable(expr: Expr) -> bool:
    """Whether the value can be unknown."""
    match expr.op:
        case "literal" | "direction" | "has":
            return False
        case "&&" | "||" | "!" | "?" | "list" | "==" | "!=" | "<" | "<=" | ">" | ">=":
            return any(arg.type is Type.DYN or nullable(arg) for arg in expr.args)
    return True


def _load(name: str) -> ast.expr:
    return ast.Name(name, ast.Load())


def _call(name: str, *args: ast.expr) -> ast.expr:
    return ast.Call(_load(name), list(args), [])


def _is(value: ast.expr, constant: bool | None) -> ast.expr:
    return ast.Compare(value, [ast.Is()], [ast.Constant(constant)])


def _any(tests: list[ast.expr]) -> ast.expr:
    return tests[0] if len(tests) == 1 else ast.BoolOp(ast.Or(), tests)


class _Writer:
    """Writes conditions as Python expressions; collects what has to be looked up first."""

    def __init__(self, direction: Direction) -> None:
        self.loads: list[ast.stmt] = []
        self.operators: dict[str, Any] = {}
        self._direction = direction
        self._locals: dict[tuple[str, str], str] = {}
        self._counter = itertools.count()
        self._view = 0

    def rule(self, number: int, view: int, expr: Expr) -> list[ast.stmt]:
        """Statements that report rule `number` if it is true or unknown."""
        self._view = view
        value = self._condition(expr)

        def report(name: str) -> ast.stmt:
            return ast.Expr(_call(name, ast.Constant(number)))

        if not (nullable(expr) or expr.type is Type.DYN):
            return [ast.If(value, [report("true")], [])]
        result = ast.Name("result", ast.Store())
        unknown: list[ast.stmt] = [ast.If(_is(_load("result"), None), [report("unknown")], [])]
        return [ast.Assign([result], value), ast.If(_load("result"), [report("true")], unknown)]

    def _expr(self, expr: Expr) -> ast.expr:
        match expr.op:
            case "literal":
                return ast.Constant(expr.value)
            case "direction":
                return ast.Constant(self._direction.value)
            case "score":
                return _load(self._local(f"view{self._view}", expr.value))
            case "feature":
                name = self._local("feature", expr.value)
                return self._operator("text", _load(name)) if expr.type is Type.STRING else _load(name)
            case "has":
                of = expr.args[0]
                name = self._local("feature" if of.op == "feature" else f"view{self._view}", of.value)
                return ast.Compare(_load(name), [ast.IsNot()], [ast.Constant(None)])
            case "&&":
                return self._logic(expr, False)
            case "||":
                return self._logic(expr, True)
            case "!":
                return self._strict(expr, [self._condition(expr.args[0])], lambda args: ast.UnaryOp(ast.Not(), args[0]))
            case "?":
                return self._choice(expr)
            case "==" | "!=" | "<" | "<=" | ">" | ">=" if Type.DYN not in (expr.args[0].type, expr.args[1].type):
                compare = _COMPARE[expr.op]()
                return self._strict(
                    expr, [self._expr(arg) for arg in expr.args], lambda a: ast.Compare(a[0], [compare], [a[1]])
                )
            case "matches":
                return self._matches(expr)
            case "list":
                return ast.Tuple([self._expr(arg) for arg in expr.args], ast.Load())
            case "min" | "max" if all(arg.type is expr.type is not Type.DYN for arg in expr.args):
                values = [self._expr(arg) for arg in expr.args]
                return self._strict(expr, values, lambda known: self._operator(f"{expr.op} of known", *known))
            case "min" | "max":
                return self._operator(expr.op, ast.Tuple([self._expr(arg) for arg in expr.args], ast.Load()))
        return self._operator(expr.op, *(self._expr(arg) for arg in expr.args))

    def _condition(self, expr: Expr) -> ast.expr:
        value = self._expr(expr)
        return self._operator("truth", value) if expr.type is Type.DYN else value

    def _local(self, getter: str, key: str) -> str:
        name = self._locals.get((getter, key))
        if name is None:
            name = self._locals[getter, key] = f"fact{len(self._locals)}"
            self.loads.append(ast.Assign([ast.Name(name, ast.Store())], _call(getter, ast.Constant(key))))
        return name

    def _operator(self, op: str, *args: ast.expr) -> ast.expr:
        name = f"operator_{list(OPERATORS).index(op)}"
        self.operators[name] = OPERATORS[op]
        return _call(name, *args)

    def _matches(self, expr: Expr) -> ast.expr:
        name = f"matches_{len(self.operators)}"
        self.operators[name] = matcher(compile_pattern(expr.args[1].value).search)
        return _call(name, self._expr(expr.args[0]))

    def _named(self, value: ast.expr) -> tuple[ast.expr, ast.expr]:
        """The value as it is first written, and as it is referred to after."""
        if isinstance(value, ast.Name | ast.Constant):
            return value, value
        name = f"part{next(self._counter)}"
        return ast.NamedExpr(ast.Name(name, ast.Store()), value), _load(name)

    def _strict(self, expr: Expr, values: list[ast.expr], then: Callable[[list[ast.expr]], ast.expr]) -> ast.expr:
        """`then` of the values, or None if one of them is None."""
        tests, again = [], []
        for arg, value in zip(expr.args, values, strict=True):
            if nullable(arg) or arg.type is Type.DYN:
                first, later = self._named(value)
                tests.append(_is(first, None))
                again.append(later)
            else:
                again.append(value)
        return ast.IfExp(_any(tests), ast.Constant(None), then(again)) if tests else then(again)

    def _logic(self, expr: Expr, decisive: bool) -> ast.expr:
        """`decisive` if an operand is; else None if an operand is None; else the opposite."""
        if not nullable(expr):
            return ast.BoolOp(ast.Or() if decisive else ast.And(), [self._expr(arg) for arg in expr.args])
        decides, missing = [], []
        for arg in expr.args:
            value = self._condition(arg)
            if not (nullable(arg) or arg.type is Type.DYN):
                decides.append(value if decisive else ast.UnaryOp(ast.Not(), value))
                continue
            first, later = self._named(value)
            decides.append(_is(first, decisive))
            missing.append(_is(later, None))
        rest = ast.IfExp(_any(missing), ast.Constant(None), ast.Constant(not decisive))
        return ast.IfExp(_any(decides), ast.Constant(decisive), rest)

    def _choice(self, expr: Expr) -> ast.expr:
        condition, yes, no = expr.args
        value = self._condition(condition)
        if not (nullable(condition) or condition.type is Type.DYN):
            return ast.IfExp(value, self._expr(yes), self._expr(no))
        first, later = self._named(value)
        return ast.IfExp(_is(first, None), ast.Constant(None), ast.IfExp(later, self._expr(yes), self._expr(no)))

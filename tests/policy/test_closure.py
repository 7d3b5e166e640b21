"""A compiled condition says what CEL says: cel-python itself is the judge, on random conditions and random facts."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping
from typing import Any

import celpy
import pytest
from celpy import celtypes
from celpy.evaluation import CELEvalError
from hypothesis import find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from safeguards_extproc.core.text import Direction
from safeguards_extproc.policy.cel import Expr, Names, parse
from safeguards_extproc.policy.closure import build, nullable

LABELS = ("a", "b", "c")
NAMES = Names({"s": frozenset(LABELS), "t": frozenset(LABELS)})

Facts = tuple[Mapping[str, float], Mapping[str, Any]]


def value_of(expr: Expr, facts: Facts, direction: Direction = Direction.REQUEST) -> bool | None:
    """One condition's value, None for unknown."""
    true: list[int] = []
    unknown: list[int] = []
    build([(0, expr)], 1, direction)(true.append, unknown.append, facts[1].get, facts[0].get)
    return True if true else None if unknown else False


def ours(text: str, facts: Facts) -> object:
    """True, False or None, by the compiled condition."""
    return value_of(parse(text, NAMES), facts)


JUDGE = celpy.Environment()


def theirs(text: str, facts: Facts) -> object:
    """The same by cel-python; its errors are our unknown."""
    scores, features = facts
    held = {detector: celtypes.MapType() for detector in NAMES.labels}
    for name, score in scores.items():
        detector, _, label = name.partition(".")
        held[detector][celtypes.StringType(label)] = celtypes.DoubleType(score)
    given_ = {celtypes.StringType(name): value_in_cel(value) for name, value in features.items()}
    top = {word: value_in_cel(features[word]) for word in ("model", "route", "format") if word in features}
    activation = {
        "scores": celtypes.MapType({celtypes.StringType(name): value for name, value in held.items()}),
        "features": celtypes.MapType(given_),
        "direction": celtypes.StringType("request"),
        **top,
    }
    program = JUDGE.program(JUDGE.compile(text), functions={"max": extreme(max), "min": extreme(min)})
    try:
        value = program.evaluate(activation)
    except CELEvalError:
        return None
    return bool(value) if isinstance(value, celtypes.BoolType | bool) else None


def value_in_cel(value: Any) -> Any:
    match value:
        case bool():
            return celtypes.BoolType(value)
        case int():
            return celtypes.IntType(value)
        case float():
            return celtypes.DoubleType(value)
    return celtypes.StringType(value)


def extreme(choose: Callable[[list[Any]], Any]) -> Callable[[Any], Any]:
    """cel-python has no max and min; a list that holds an error is one already."""
    return lambda items: choose(list(items))


SCORE = st.sampled_from([f"scores.{d}.{label}" for d in NAMES.labels for label in LABELS])
LEVEL = st.sampled_from(["0.0", "0.25", "0.5", "0.75", "1.0", ".5", "1", "2.5e-1"])
DOUBLE = st.sampled_from(["0.0", "0.25", "0.5"])
INT = st.sampled_from(
    ["0", "1", "2", "-3", "7", "9223372036854775807", "features.n", "size(features.word)", "size([1, 2])"]
)
STRING = st.sampled_from(["'x'", "'y'", '"xy"', "features.word", "model", "direction", "'request'"])
COMPARE = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
ORDER = st.sampled_from(["<", "<=", ">", ">="])


def joined(*parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map(" ".join)


REAL = st.recursive(
    SCORE | DOUBLE | st.sampled_from(["2.5e-1", ".75"]),
    lambda real: (
        st.tuples(real, st.sampled_from("+-*"), real).map(lambda t: f"({t[0]} {t[1]} {t[2]})")
        | st.tuples(SCORE, SCORE).map(lambda t: f"max([{t[0]}, {t[1]}])")
        | st.tuples(SCORE, SCORE, SCORE).map(lambda t: f"min([{', '.join(t)}])")
        | SCORE.map(lambda s: f"-{s}")
    ),
    max_leaves=3,
)
WHOLE = st.recursive(
    INT, lambda i: st.tuples(i, st.sampled_from("+-*/%"), i).map(lambda t: f"({t[0]} {t[1]} {t[2]})"), max_leaves=3
)
ATOM = (
    joined(SCORE, ORDER, LEVEL)
    | joined(SCORE, COMPARE, DOUBLE)
    | joined(REAL, ORDER, REAL)
    | joined(WHOLE, COMPARE, WHOLE)
    | joined(STRING, COMPARE, STRING)
    | st.tuples(STRING, st.sampled_from(["startsWith", "endsWith", "contains"]), STRING).map(
        lambda t: f"{t[0]}.{t[1]}({t[2]})"
    )
    | STRING.map(lambda s: f"{s}.matches('^x.?$')")
    | st.tuples(SCORE, DOUBLE, DOUBLE).map(lambda t: f"{t[0]} in [{t[1]}, {t[2]}]")
    | st.tuples(STRING, STRING).map(lambda t: f"{t[0]} in ['x', {t[1]}]")
    | SCORE.map(lambda s: f"has({s})")
    | st.sampled_from(["has(features.n)", "has(features.word)", "features.yes", "true", "false", "1 / 0 == 1"])
)
CONDITION = st.recursive(
    ATOM,
    lambda c: (
        st.tuples(c, st.sampled_from(["&&", "||"]), c).map(lambda t: f"({t[0]} {t[1]} {t[2]})")
        | st.tuples(c, c, c).map(lambda t: f"({t[0]} ? {t[1]} : {t[2]})")
        | c.map(lambda x: f"!({x})")
        | st.tuples(c, st.sampled_from(["==", "!="]), c).map(lambda t: f"(({t[0]}) {t[1]} ({t[2]}))")
    ),
    max_leaves=6,
)
SCORES = st.dictionaries(
    st.sampled_from([f"{d}.{label}" for d in NAMES.labels for label in LABELS]),
    st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]),
)
FEATURES = st.fixed_dictionaries(
    {},
    optional={
        "n": st.integers(-3, 7) | st.just((1 << 63) - 1),
        "word": st.sampled_from(["", "x", "xy", "y\u00e9"]),
        "yes": st.booleans(),
        "model": st.sampled_from(["x", "xyz"]),
    },
)
FACTS: st.SearchStrategy[Facts] = st.tuples(SCORES, FEATURES)


@pytest.mark.long
@given(CONDITION, FACTS)
@settings(max_examples=100, deadline=None)
def test_says_what_cel_says(text: str, facts: Facts) -> None:
    """True, false and unknown alike."""
    assert ours(text, facts) == theirs(text, facts)


def naive(expr: Expr, scores: Mapping[str, float]) -> Any:
    """A plausible fault: Python's own `and` and `or`, from left to right, as if None were false."""
    match expr.op:
        case "&&":
            return functools.reduce(lambda x, y: x and y, [naive(arg, scores) for arg in expr.args])
        case "||":
            return functools.reduce(lambda x, y: x or y, [naive(arg, scores) for arg in expr.args])
        case ">=":
            value = scores.get(expr.args[0].value)
            return None if value is None else operator.ge(value, expr.args[1].value)
    raise AssertionError(expr.op)


@pytest.mark.long
def test_the_judge_bites() -> None:
    """On conditions of `&&` and `||` alone, cel-python finds the fault and finds none in ours."""
    atom = joined(SCORE, st.just(">="), st.just("0.5"))
    texts = st.tuples(atom, st.sampled_from(["&&", "||"]), atom).map(" ".join)

    def differs(by: Callable[[str, Facts], object]) -> Callable[[tuple[str, Facts]], bool]:
        return lambda case: by(*case) != theirs(*case)

    cases: st.SearchStrategy[tuple[str, Facts]] = st.tuples(texts, st.tuples(SCORES, st.just({})))
    quick = settings(max_examples=300, deadline=None, database=None, derandomize=True)
    find(cases, differs(lambda text, facts: naive(parse(text, NAMES), facts[0])), settings=quick)
    with pytest.raises(NoSuchExample):
        find(cases, differs(ours), settings=quick)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("features.i > 2.5", True),
        ("features.i == 3.0", True),
        ("features.i in [1.0, 3.0]", True),
        ("features.r > 1", True),
        ("features.b == 1", None),
        ("features.i && true", None),
        ("features.i", None),
        ("features.word > 1", None),
        ("features.i + 0.5 > 1.0", None),
        ("1.0 / 0.0 > 5.0", True),
        ("-1.0 / 0.0 < 0.0", True),
        ("max(features.i, features.r) > 2", True),
        ("model == 'x'", None),
    ],
)
def test_where_cel_python_differs_from_the_specification(text: str, expected: object) -> None:
    """Numbers compare across int and double, a bool is no number, doubles divide as IEEE 754 says, and `model` is a
    string or unknown."""
    assert ours(text, ({}, {"i": 3, "r": 1.5, "b": True, "word": "x", "model": 7})) == expected


def test_direction_is_part_of_the_function() -> None:
    """The same condition, built for the other direction, is the other way round."""
    expr = parse("direction == 'request'", NAMES)
    assert value_of(expr, ({}, {}), Direction.REQUEST) is True
    assert value_of(expr, ({}, {}), Direction.RESPONSE) is False
    assert not nullable(expr)


def test_rules_share_one_function() -> None:
    """Each rule reads its own view of the scores and reports by its number."""
    rules = [
        (view, parse(f"scores.s.{label} >= 0.5", NAMES)) for view, label in ((0, "a"), (1, "a"), (1, "b"), (0, "c"))
    ]
    true: list[int] = []
    unknown: list[int] = []
    run = build(rules, 2, Direction.REQUEST)
    run(true.append, unknown.append, {}.get, {"s.a": 0.9}.get, {"s.a": 0.1, "s.b": 0.5}.get)
    assert (sorted(true, reverse=True), unknown) == ([2, 0], [3])


def test_nothing_of_python_is_reachable() -> None:
    """The function sees operators and its arguments; strings of the policy are constants and never code."""
    text = "model == '__import__(\"os\").system(\"true\")' || features.__class__ == 'x'"
    run: Any = build([(0, parse(text, NAMES))], 1, Direction.REQUEST)
    assert run.__globals__["__builtins__"] == {}
    assert all(name == "__builtins__" or name.startswith("operator_") for name in run.__globals__)

"""A condition as SQL says what its closure says, true, false and unknown alike; cel-python is the third witness."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from safeguards_extproc.core.text import Direction
from safeguards_extproc.policy import sql
from safeguards_extproc.policy.cel import Expr, Type, parse
from safeguards_extproc.policy.closure import build
from tests.policy.random_rules import FEATURES, NAMES, SCORES, FactsMaker, Rules
from tests.policy.test_closure import Facts, theirs

SQL_TYPES = {int: (pa.int64(), Type.INT), float: (pa.float64(), Type.DOUBLE), str: (pa.string(), Type.STRING)}
TYPES = {name: SQL_TYPES.get(type(of[0]), (pa.bool_(), Type.BOOL)) for name, of in FEATURES.items()}


def table(rows: Sequence[Facts]) -> pa.Table:
    """Facts as rows; NULL where one is missing."""
    scores = {f"score {name}": pa.array([row[0].get(name) for row in rows], pa.float64()) for name in SCORES}
    features = {f"feature {name}": pa.array([row[1].get(name) for row in rows], TYPES[name][0]) for name in FEATURES}
    return pa.table({**scores, **features})


def feature(name: str) -> tuple[str, Type] | None:
    return (f'"feature {name}"', TYPES[name][1]) if name in TYPES else None


def as_sql(expr: Expr, direction: Direction = Direction.REQUEST) -> str:
    return sql.condition(expr, direction, lambda name: f'"score {name}"', feature)


def by_sql(text: str, db: duckdb.DuckDBPyConnection) -> list[bool | None]:
    """The condition of each row of the table `facts`."""
    return [value for (value,) in db.execute(f"SELECT {text} FROM facts").fetchall()]


def by_closure(expr: Expr, rows: Sequence[Facts]) -> list[bool | None]:
    run = build([(0, expr)], 1, Direction.REQUEST)
    values: list[bool | None] = []
    for scores, features in rows:
        true: list[int] = []
        unknown: list[int] = []
        run(true.append, unknown.append, features.get, scores.get)
        values.append(True if true else None if unknown else False)
    return values


def differences(
    seed: int, rules: int, rows: int, write: Callable[[Expr], str] = as_sql, witnessed: int = 0
) -> list[tuple[str, Facts, Any, Any]]:
    """Where SQL and closure disagree on random conditions and facts. cel-python is heard on the first `witnessed` rows
    of a condition, where it keeps to the specification."""
    conditions, maker = Rules(seed), FactsMaker(seed)
    facts: list[Facts] = [(maker.scores(), maker.features()) for _ in range(rows)]
    found: list[tuple[str, Facts, Any, Any]] = []
    with duckdb.connect() as db:
        db.register("facts", table(facts))
        for _ in range(rules):
            text = conditions.condition()
            expr = parse(text, NAMES)
            ours, closed = by_sql(write(expr), db), by_closure(expr, facts)
            found += [(text, *each) for each in zip(facts, ours, closed, strict=True) if each[1] is not each[2]]
            if not any(word in text for word in ("features.", "thresholds.", "/", "format", "min(", "max(")):
                said: list[Any] = [theirs(text, row) for row in facts[:witnessed]]
                pairs = zip(facts, ours, said, strict=False)
                found += [(text, *each) for each in pairs if each[1] is not each[2]]
    return found


@pytest.mark.long
def test_sql_says_what_the_closure_says() -> None:
    """Conditions with every operator, over facts with extremes, of which a third is missing."""
    assert [] == differences(seed=11, rules=40, rows=500, witnessed=2)


def test_the_comparison_bites() -> None:
    """A writer that takes what is unknown for false is found out, and NaN is not what the database holds it for."""

    def lenient(expr: Expr) -> str:
        return f"coalesce({as_sql(expr)}, FALSE)"

    assert differences(seed=11, rules=10, rows=50, write=lenient)
    naive = "((1.0 / 0.0) - (1.0 / 0.0)) == 1.0"
    with duckdb.connect() as db:
        db.register("facts", table([({}, {})]))
        assert [False] == by_sql(as_sql(parse("(0.0 / 0.0) > 1.0", NAMES)), db)
        assert [True] == by_sql("CAST('nan' AS DOUBLE) > 1.0", db)
        assert [False] == by_sql(as_sql(parse(naive, NAMES)), db)


@pytest.mark.parametrize(
    ("text", "features", "expected"),
    [
        ("features.n + 1 > 0", {"n": (1 << 63) - 1}, None),
        ("features.n == 9007199254740993", {"n": (1 << 53) + 1}, True),
        ("features.n == features.r", {"n": (1 << 53) + 1, "r": 9007199254740992.0}, False),
        ("features.n / 0 == 1", {"n": 1}, None),
        ("features.n / -2 == -3", {"n": 7}, True),
        ("features.n % -2 == 1", {"n": 7}, True),
        ("size(features.word) == 2", {"word": "y\u00e9"}, True),
        ("features.word.matches('x.y')", {"word": "x\ny"}, False),
        ("features.word == 'it\\'s'", {"word": "it's"}, True),
        ("features.gone || true", {}, True),
        ("features.gone || false", {}, None),
        ("!has(features.gone)", {}, True),
        ("format == 'x'", {"format": 1}, None),
        ("max(features.n, features.r) == 3", {"n": 3, "r": 2.5}, True),
        ("(features.yes ? features.n : features.r) + 1 == 2", {"yes": True, "n": 1, "r": 1.0}, True),
        ("(features.yes ? features.n : features.r) + 1 == 2", {"yes": False, "n": 1, "r": 1.0}, None),
    ],
)
def test_where_databases_differ_from_the_language(text: str, features: dict[str, Any], expected: object) -> None:
    """Overflow and division by zero are unknown, whole numbers compare exactly, types are not mixed."""
    expr = parse(text, NAMES)
    row: Facts = ({}, features)
    with duckdb.connect() as db:
        db.register("facts", table([row]))
        assert [expected] == by_sql(as_sql(expr), db)
    assert [expected] == by_closure(expr, [row])


def test_strings_of_a_policy_are_constants() -> None:
    """A quote ends nothing, and a zero byte is a character."""
    word = "'; DROP TABLE facts; --\0x"
    with duckdb.connect() as db:
        assert (word,) == db.execute(f"SELECT {sql.literal(word)}").fetchone()


def main() -> None:
    """`python -m tests.policy.test_sql --pairs 1000000`: a campaign, with cel-python heard on a sample."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rows = 1_000
    rules = -(-options.pairs // rows)
    found = differences(options.seed, rules, rows, witnessed=5)
    for text, facts, ours, other in found[:10]:
        sys.stdout.write(f"{text} {facts}: SQL says {ours}, not {other}\n")
    sys.stdout.write(f"{rules} conditions on {rows} rows, {rules * rows} pairs: {len(found)} differences\n")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()

"""docs/evasions.md and the tests name the same evasions."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.evasions import test_framing, test_placement, test_structure, test_syntax, test_text, test_transport
from tests.evasions.scene import numbers

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "docs" / "evasions.md").read_text()
HERE = "tests/evasions/"

PLAYED: Mapping[str, set[int]] = {
    f"{HERE}test_transport.py::test_transport": numbers(test_transport.ROWS),
    f"{HERE}test_syntax.py::test_syntax": numbers(test_syntax.ROWS),
    f"{HERE}test_framing.py::test_framing": numbers(test_framing.ROWS),
    f"{HERE}test_placement.py::test_placement": numbers(test_placement.ROWS),
    f"{HERE}test_structure.py::test_structure": numbers(test_structure.ROWS),
    f"{HERE}test_text.py::test_disguise": set(test_text.DISGUISES),
    f"{HERE}test_text.py::test_what_only_a_model_understands": set(test_text.FOR_THE_MODEL),
}
"""Which evasions each table of rows plays."""


def told(table: str) -> dict[int, list[str]]:
    """The tests that the table names, by the number of the evasion."""
    rows = re.findall(r"^\| (\d+) \| [^|]+ \| [^|]+ \| ([^|]+) \|$", table, re.MULTILINE)
    assert len({number for number, _ in rows}) == len(rows), "a number twice"
    return {int(number): re.findall(r"`([^`]+)`", tests) for number, tests in rows}


def agrees(table: str) -> None:
    """Each of the 58 once, each with tests that exist, and with a table of rows exactly where it has rows in it."""
    rows = told(table)
    assert list(range(1, 59)) == list(rows)
    for number, tests in rows.items():
        assert tests, number
        for test in tests:
            path, _, name = test.partition("::")
            tree = ast.parse((ROOT / path).read_text())
            assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, test
        assert {test for test, played in PLAYED.items() if number in played} == set(tests) & PLAYED.keys(), number


@pytest.mark.long
def test_the_table_and_the_tests_agree() -> None:
    """None of the 58 is told and not played, or played and not told."""
    agrees(TABLE)


@pytest.mark.long
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("| 42 |", "| 43 |"),
        ("| 53 |", "| LIII |"),
        ("test_structure.py::test_trying_again", "test_structure.py::test_gone"),
        ("| 50 | leet | same | `tests/evasions/test_text.py", "| 50 | leet | same | `tests/evasions/test_structure.py"),
    ],
)
def test_that_a_difference_is_found(old: str, new: str) -> None:
    """Planted faults."""
    assert old in TABLE
    with pytest.raises(AssertionError):
        agrees(TABLE.replace(old, new))


def test_the_readme_leads_to_the_table() -> None:
    """One link."""
    assert "(docs/evasions.md)" in (ROOT / "README.md").read_text()

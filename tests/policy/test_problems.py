"""Every mistake is told at once, with its place and how to mend it."""

from __future__ import annotations

from safeguards_extproc.errors import ConfigError
from safeguards_extproc.policy.problems import PolicyError, Problem, suggest

FIRST = Problem("p.yaml:3", "rules[0].then", "must be 'block'", "did you mean 'block'?")
SECOND = Problem("p.yaml:9", "", "a second document")


def test_one_problem_reads_as_one_line() -> None:
    """Place, path, message, hint."""
    error = PolicyError([FIRST])
    assert str(error) == "p.yaml:3: rules[0].then: must be 'block' (did you mean 'block'?)"
    assert (error.where, error.hint) == ("p.yaml:3", "did you mean 'block'?")
    assert isinstance(error, ConfigError)


def test_several_problems_read_as_a_list() -> None:
    """Their number, then a line each; the list stays at hand."""
    error = PolicyError([FIRST, SECOND])
    assert str(error).splitlines() == ["2 problems", str(FIRST), "p.yaml:9: a second document"]
    assert error.problems == (FIRST, SECOND)


def test_suggestions() -> None:
    """The nearest word; all words where none is near; nothing where they are too many."""
    assert suggest("thn", ["then", "when"]) == "did you mean 'then'?"
    assert suggest("xyz", ["then", "when"]) == "known: then, when"
    assert suggest("xyz", [f"word{i}" for i in range(100)]) == ""
    assert suggest("xyz", []) == ""

"""How commands say what they found."""

import json

import pytest

from safeguards_extproc import cli_say
from safeguards_extproc.errors import ConfigError


def test_rows_are_a_table_or_json(capsys):
    """The table has the columns that people want, JSON has all."""
    found = [{"id": 1, "flags": ["a", "b"], "more": None, "at_most": 0.25}]
    cli_say.rows("one", found, ("id", "flags", "at_most"), as_json=False)
    table = capsys.readouterr().out
    cli_say.rows("one", found, ("id",), as_json=True)

    assert "a, b" in table
    assert "at most" in table
    assert json.loads(capsys.readouterr().out) == found


def test_one_is_lines_without_what_says_nothing(capsys):
    """A line each."""
    cli_say.one("user1", {"step": "good", "tools": False, "rule": "", "flags": []}, as_json=False)

    assert capsys.readouterr().out == "user1\n  step   good\n"


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, ""), (True, "yes"), (0.1, "0.1"), ({"a": 1}, "a=1"), (frozenset("ba"), "a, b"), (7, "7")],
)
def test_values_as_people_read_them(value, said):
    """What is empty says nothing."""
    assert cli_say.cell(value) == said


def test_times_and_spans():
    """As RFC 3339 and the policy write them."""
    assert cli_say.moment(0) == ""
    assert cli_say.moment(1_800_000_000) == "2027-01-15T08:00:00Z"
    assert [cli_say.span("--for", given) for given in ("", "90s", "24h")] == [0.0, 90.0, 86_400.0]
    for wrong in ("soon", "0s", "-1h"):
        with pytest.raises(ConfigError, match="must be a time such as"):
            cli_say.span("--for", wrong)

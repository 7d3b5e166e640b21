"""The `entities` option of the built-in tables."""

from __future__ import annotations

import pytest

from safeguards_extproc.detectors.scanner import Row
from safeguards_extproc.detectors.selection import chosen
from safeguards_extproc.errors import ConfigError

ROWS = (Row("card", "1"), Row("email", "2"), Row("card", "3"))


def test_all_by_default() -> None:
    """Without the option every row runs."""
    assert list(ROWS) == chosen(ROWS, {})


def test_a_subset() -> None:
    """Every row of the named entities, in the table's order."""
    assert [ROWS[0], ROWS[2]] == chosen(ROWS, {"entities": ["card"]})


@pytest.mark.parametrize(
    ("options", "where", "hint"),
    [
        ({"entity": []}, "entity", "entities"),
        ({"entities": "card"}, "entities", "card, email"),
        ({"entities": []}, "entities", "card, email"),
        ({"entities": ["card", "emial"]}, "entities[1]", "did you mean email?"),
        ({"entities": [7]}, "entities[0]", "card, email"),
    ],
)
def test_what_is_refused(options: dict[str, object], where: str, hint: str) -> None:
    """Unknown names are told with their place and what was meant."""
    with pytest.raises(ConfigError) as caught:
        chosen(ROWS, options)
    assert where == caught.value.where
    assert hint in caught.value.hint

"""The README's table is what values.yaml says."""

from __future__ import annotations

import pytest

from tools.chart import BEGIN, CHART, END, table, written

VALUES = """
# -- How many
replicas: 2
image:
  # -- Where
  registry: ""
# -- All of these
labels:
  a: "1"
"""


def test_the_table_follows_the_comments() -> None:
    """A row for each value, in order; what is described as a whole is one row."""
    assert [
        "| Value | Default | Meaning |",
        "|---|---|---|",
        "| `replicas` | `2` | How many |",
        '| `image.registry` | `""` | Where |',
        '| `labels` | `{"a": "1"}` | All of these |',
    ] == table(VALUES).splitlines()


def test_a_value_without_words_is_a_mistake() -> None:
    """Every value is described."""
    with pytest.raises(ValueError, match=r"no comment describes image\.tag"):
        table(VALUES.replace("  # -- Where\n  registry", "  tag"))


def test_the_text_around_the_table_stays() -> None:
    """Only what stands between the two marks is written anew."""
    assert f"above\n{BEGIN}{table(VALUES)}{END}below\n" == written(f"above\n{BEGIN}old\n{END}below\n", VALUES)


def test_the_readme_is_current() -> None:
    """`python -m tools.chart` would change nothing."""
    readme = (CHART / "README.md").read_text("utf-8")
    assert readme == written(readme, (CHART / "values.yaml").read_text("utf-8"))


def test_the_check_of_the_readme_bites() -> None:
    """A default that changed makes another README."""
    readme = (CHART / "README.md").read_text("utf-8")
    values = (CHART / "values.yaml").read_text("utf-8").replace("replicas: 2\n", "replicas: 3\n", 1)
    assert readme != written(readme, values)

"""`python -m bench.compare A.json B.json`: what is otherwise in B, row by row, and by how much.

What changed by less than `--above` percent is left out. Times of another machine say nothing; ratios within a run may.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.report import NAMES, SECTIONS, cell, machine

console = Console(width=150)


def rows(figures: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...], str, float]]:
    """Section, what a row is about, what was measured, how much."""
    for section in SECTIONS:
        for row in figures.get(section, []):
            about = tuple(
                f"{row[name]:g} {name}" if not isinstance(row[name], str) else row[name]
                for name in NAMES
                if name in row
            )
            for name, value in row.items():
                if name not in NAMES and isinstance(value, int | float):
                    yield section, about, name, value


def changed(first: Mapping[str, Any], second: Mapping[str, Any], above: float) -> list[tuple[str, ...]]:
    """Section, row, measure, both figures and how much more the second is; in the order of the first."""
    now = {key: value for *key_, value in rows(second) for key in [tuple(key_)]}
    found: list[tuple[str, ...]] = []
    for section, about, name, before in rows(first):
        after = now.get((section, about, name))
        if after is None or not before:
            continue
        more = after / before - 1
        if abs(more) * 100 >= above:
            found.append((section, ", ".join(about), name, cell(name, before), cell(name, after), f"{more:+.0%}"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--above", type=float, default=10.0, help="percent")
    options = parser.parse_args()
    first, second = (json.loads(path.read_text()) for path in (options.first, options.second))
    for path, figures in ((options.first, first), (options.second, second)):
        console.print(f"{path.name}: {machine(figures['machine'])}")
    table = Table("section", "of", "measure", options.first.stem, options.second.stem, "")
    for row in changed(first, second, options.above):
        table.add_row(*row)
    console.print(table)


if __name__ == "__main__":
    main()

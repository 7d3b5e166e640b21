"""How commands say what they found: a table for people, JSON with --json; times and spans as people write them."""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from safeguards_extproc.errors import ConfigError
from safeguards_extproc.policy.account_document import seconds


def rows(title: str, found: Sequence[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    """`found` as a table of `columns`, or all of it as one JSON list."""
    if as_json:
        print_json(list(found))
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", header_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in found:
        table.add_row(*(Text(cell(row.get(column, ""))) for column in columns))
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def one(title: str, found: Mapping[str, Any], *, as_json: bool) -> None:
    """`found` as lines of name and value, empty ones left out, or as one JSON object."""
    if as_json:
        print_json(found)
        return
    width = max((len(name) for name in found), default=0)
    lines = [f"  {name.replace('_', ' '):{width}}  {cell(value)}" for name, value in found.items() if cell(value)]
    sys.stdout.write("\n".join([title, *lines]) + "\n")


def print_json(found: object) -> None:
    """`found` as JSON on standard output."""
    sys.stdout.write(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


def cell(value: object) -> str:
    """A value as a person reads it; "" for what says nothing."""
    match value:
        case None | False:
            return ""
        case True:
            return "yes"
        case float():
            return f"{value:.4g}"
        case list() | tuple() | frozenset() | set():
            return ", ".join(sorted(map(str, value)) if isinstance(value, frozenset | set) else map(str, value))
        case dict():
            return ", ".join(f"{name}={cell(each)}" for name, each in value.items())
        case _:
            return str(value)


def moment(at: float) -> str:
    """A time as RFC 3339 has it, UTC, to the second; "" for 0."""
    return datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if at else ""


def span(option: str, given: str) -> float:
    """Seconds of "90s", "15m", "24h", "7d"; 0 for "". ConfigError if it is no such time."""
    if not given:
        return 0.0
    try:
        found = seconds(given)
    except ValueError as error:
        raise ConfigError(f"{given!r} {error}", where=option) from None
    if not isinstance(found, float) or found <= 0:
        raise ConfigError(f"{given!r} must be a time such as 90s, 15m, 24h or 7d", where=option)
    return found

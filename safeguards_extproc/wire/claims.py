"""Who claims a path: the longest claim wins, and of two as long the one that asks for a query.

A claim is the end of a path. `{model}` in it stands for what may hold slashes and is the model's name, and `{version}`
after it for one segment.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from safeguards_extproc.core.text import Format

Search = Callable[[str], "re.Match[str] | None"]
MODEL = "{model}"
VERSION = "{version}"


@dataclass(frozen=True, slots=True)
class Row:
    """A format, and the paths that it claims for POST, in small letters, whatever stands before them.

    `query` is a "name=value" without which the row claims nothing, "" for none.
    """

    format: Format
    paths: tuple[str, ...]
    query: str = ""


class Claims:
    """The claims of all rows. Raises ValueError if two formats claim the same, or one claims any end of a path."""

    def __init__(self, rows: Sequence[Row]) -> None:
        claimed: dict[tuple[str, str], Format] = {}
        for row in rows:
            for path in row.paths:
                if path.endswith("}"):
                    raise ValueError(f"{row.format.name} claims {path}, whose end is the client's choice")
                other = claimed.setdefault((path, row.query), row.format)
                if other is not row.format:
                    raise ValueError(f"{other.name} and {row.format.name} both claim {path}")
        self._claims: dict[str, list[tuple[str, Search | None, str, Format]]] = {}
        for path, query in sorted(claimed, key=lambda claim: (-_length(claim[0]), not claim[1])):
            claim = (path.rpartition("}")[2], _model(path), query, claimed[path, query])
            self._claims.setdefault(_verb(path), []).append(claim)

    def find(self, path: str, query: str, name: str = "") -> tuple[Format, str] | None:
        """The format that claims a normalised path, and the model in it; only the one called `name`, if given."""
        for end, model, wanted, format_ in self._claims.get(_verb(path), ()):
            if not path.endswith(end) or (name and format_.name != name):
                continue
            match = model(path) if model is not None else None
            if model is not None and match is None:
                continue
            if not wanted or wanted in query.split("&"):
                return format_, match[1] if match is not None else ""
        return None


def _verb(path: str) -> str:
    """What a path ends with, by which its claims are found."""
    return path[max(path.rfind("/"), path.rfind(":")) + 1 :]


def _length(path: str) -> int:
    return len(path.replace(MODEL, "").replace(VERSION, ""))


def _model(path: str) -> Search | None:
    before, model, after = path.partition(MODEL)
    following = re.escape(after).replace(re.escape(VERSION), "[^/]+")
    return re.compile(re.escape(before) + "(.+)" + following + r"\Z").search if model else None

"""How two policy documents differ, and which rules that concerns: what a report names as the reason of a change.

The one rule: every difference of the documents is named once, by the place where it stands; lists of names say how many
went and came, so that a report holds no keyword list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from safeguards_extproc.policy.document import Document

UNSEEN = ("examples", "name", "version")
"""Keys that change no decision."""

SHOWN = 120
"""Characters of a value that are shown."""


@dataclass(frozen=True, slots=True)
class Difference:
    """`where` is a path, `before` and `after` what stands there, "" for nothing. `rules` are those that it concerns."""

    where: str
    before: str
    after: str
    rules: list[str]

    @property
    def line(self) -> str:
        match self.before, self.after:
            case "", after:
                return f"{self.where}: added ({after})" if after else f"{self.where}: added"
            case before, "":
                return f"{self.where}: removed ({before})"
            case before, after:
                return f"{self.where}: {before} → {after}"


def differences(before: Document, after: Document) -> list[Difference]:
    """What is different, in the order of the documents."""
    one, two = (_keyed(document.model_dump(mode="json", by_alias=True)) for document in (before, after))
    whens = {name: f"{spec['when']}" for tree in (one, two) for name, spec in tree.get("rules", {}).items()}
    found = []
    for path, old, new in _walk((), one, two):
        if path[0] not in UNSEEN:
            where = ".".join(path)
            found.append(Difference(where, _shown(old, new), _shown(new, old), _concerned(path, whens)))
    return found


def _keyed(value: Any) -> Any:
    """Lists of things with names as mappings, so that what moved is not what changed."""
    match value:
        case dict():
            return {key: _keyed(each) for key, each in value.items()}
        case [{"name": _}, *_]:
            return {str(each["name"]): _keyed(each) for each in value}
        case _:
            return value


def _walk(path: tuple[str, ...], old: Any, new: Any) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in (*old, *(key for key in new if key not in old)):
            yield from _walk((*path, key), old.get(key), new.get(key))
    else:
        yield path, old, new


def _shown(value: Any, other: Any) -> str:
    """A value as a line shows it, beside that which it became or was."""
    match value:
        case None:
            return ""
        case list() if isinstance(other, list):
            mine, theirs = ({str(each) for each in some} for some in (value, other))
            return f"{len(value)} entries, {len(mine - theirs)} of them only here"
        case list():
            return f"{len(value)} entries"
        case dict():
            text = str(value.get("when") or value.get("kind") or f"{len(value)} keys")
        case _:
            text = str(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def _concerned(path: tuple[str, ...], whens: Mapping[str, str]) -> list[str]:
    """The rules that a difference at this place has to do with."""
    match path:
        case ("rules", name, *_):
            return [name]
        case ("thresholds", name, *_):
            mention = re.compile(rf"\bthresholds\.{re.escape(name)}\b")
        case ("detectors", name, *_):
            mention = re.compile(rf"\bscores\.{re.escape(name)}\.")
        case _:
            return []
    return [name for name, when in whens.items() if mention.search(when)]

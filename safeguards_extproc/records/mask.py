"""Fields that an operator does not want in records.

The one rule: a masked field is as empty as if nothing had been known, the record says so in `masked`, and nobody but
the sinks sees the difference: limits, standings and metrics have the whole record.

Only what says nothing when it is empty can be masked. A verdict, a count of bytes or a time would say something wrong.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Iterable
from typing import Any

from safeguards_extproc.core.record import Record
from safeguards_extproc.errors import ConfigError

Mask = Callable[[Record], Record]

FIELDS: dict[str, int] = {
    "model": 0,
    "method": 0,
    "versions": 1,
    "rule": 0,
    "category": 0,
    "trace_id": 0,
    "identity": 1,
    "account": 0,
    "limits": 0,
    **{
        f"{phase}.{field}": keys
        for phase in ("request", "response")
        for field, keys in (
            ("scores", 2),
            ("features", 1),
            ("redactions", 1),
            ("restored", 1),
            ("items.dropped_ids", 0),
            ("items.spared_ids", 0),
            ("item_facts.scores", 1),
            ("account.channels", 1),
        )
    },
}
"""What can be masked, and how many keys of the map (and of the maps in it) a path may name after it."""

Tree = dict[str, "Tree | None"]
"""The names on the way to what is masked; None at its end."""


def mask_of(paths: Iterable[str]) -> Mask | None:
    """What gives a record with these fields emptied, and leaves the one it is given as it is; None without fields.

    A path is one of FIELDS, or names a key of a map after it: `identity.user`, `response.features.language`,
    `request.scores.user`, `request.scores.user.screen.attack`. Raises ConfigError at any other.
    """
    wanted = sorted(set(paths))
    tree: Tree = {}
    for path in wanted:
        *above, last = _steps(path)
        branch: Tree | None = tree
        for step in above:
            branch = branch.setdefault(step, {}) if branch is not None else None
        if branch is not None:
            branch[last] = None

    def mask(record: Record) -> Record:
        masked: Record = _without(record, tree)
        masked.masked = wanted
        return masked

    return mask if wanted else None


def _steps(path: str) -> list[str]:
    """The names and keys of a path. The last key is all that is left, dots and all: labels have some."""
    for field, keys in FIELDS.items():
        if path == field:
            return field.split(".")
        rest = path.removeprefix(f"{field}.")
        if keys and rest and rest != path:
            return [*field.split("."), *rest.split(".", keys - 1)]
    near = difflib.get_close_matches(path, FIELDS, 1) or [", ".join(FIELDS)]
    raise ConfigError(f"{path!r} cannot be masked", where="--mask", hint=f"perhaps {near[0]}")


def _without(value: Any, tree: Tree) -> Any:
    """A copy of a dataclass or a map without what the tree names; it shares all else."""
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if tree.get(key, value) is not None}
        return kept | {key: _without(kept[key], branch) for key, branch in tree.items() if branch and key in kept}
    made = copy.copy(value)
    for name, branch in tree.items():
        now = getattr(value, name)
        setattr(made, name, type(now)() if branch is None else _without(now, branch))
    return made

"""Which rows of a table of ours a policy wants: `entities: [name, ...]`, all of them if not given."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from safeguards_extproc.detectors.scanner import Row
from safeguards_extproc.errors import ConfigError


def chosen(rows: Sequence[Row], options: Mapping[str, object]) -> list[Row]:
    """The rows whose entity `options` names. Raises ConfigError with the place inside the options."""
    for key in options:
        if key != "entities":
            raise ConfigError("unknown option", where=str(key), hint="known: entities")
    known = sorted({row.entity for row in rows})
    wanted = options.get("entities", known)
    if not isinstance(wanted, list) or not wanted:
        raise ConfigError("not a list of entities", where="entities", hint=f"known: {', '.join(known)}")
    for index, entity in enumerate(wanted):
        if entity not in known:
            near = difflib.get_close_matches(str(entity), known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            raise ConfigError("unknown entity", where=f"entities[{index}]", hint=hint)
    return [row for row in rows if row.entity in wanted]

"""Lines of Envoy's access log, in the JSON that envoy/demo.yaml sets.

The one rule: a line is read as far as it goes, and what is no line is no error: logs share files with other output.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

ID_FIELD, TIME_FIELD = "safeguards.id", "time"
"""Where such a line has the filter's id, and the time at which the request began."""


@dataclass(frozen=True, slots=True)
class Line:
    """What a line of the access log says. `id` is "" where no filter gave one."""

    id: str
    time: str
    status: str = ""
    details: str = ""
    flags: str = ""

    @property
    def why(self) -> str:
        """What Envoy says of how the request went."""
        said = (("status", self.status), ("details", self.details), ("flags", self.flags))
        return ", ".join(f"{name} {value}" for name, value in said if value not in ("", "-")) or "nothing said"


def line_of(text: bytes, id_field: str = ID_FIELD, time_field: str = TIME_FIELD) -> Line | None:
    """A line of an access log in JSON (envoy/demo.yaml has the format); None if it is none. The fields are paths with
    dots."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not isinstance(time := _at(found, time_field), str):
        return None
    id = _at(found, id_field)
    said = (str(found.get(name) or "") for name in ("status", "details", "flags"))
    return Line(id if isinstance(id, str) else "", time, *said)


def _at(found: Any, path: str) -> Any:
    for step in path.split("."):
        match found:
            case {**fields} if step in fields:
                found = fields[step]
            case _:
                return None
    return found

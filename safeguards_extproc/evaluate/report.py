"""What an evaluation found, as data: the one structure that the terminal, the JSON file and the page are made from.

`SCHEMA` changes when a member goes or means something else; members may be added.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from safeguards_extproc.evaluate.lines import File
from safeguards_extproc.evaluate.measure import Measured
from safeguards_extproc.evaluate.robustness import Robustness

SCHEMA = 1
DIGITS = 6


@dataclass(frozen=True, slots=True)
class Report:
    """`models` are the versions that answered, by detector; `policy_digest` is that of decision records. `seconds` is
    how long the texts took, figures not counted. `robustness` is None where it was not asked for."""

    version: str
    policy: str
    policy_digest: str
    models: dict[str, str]
    files: list[File]
    seconds: float
    measured: Measured
    robustness: Robustness | None = None
    schema: int = SCHEMA


def encode(report: Report) -> str:
    """The report as JSON; numbers have six digits."""
    return json.dumps(_plain(dataclasses.asdict(report)), indent=1, ensure_ascii=False) + "\n"


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {name: _plain(member) for name, member in value.items()}
        case list() | tuple():
            return [_plain(member) for member in value]
        case float():
            return round(value, DIGITS)
        case _:
            return value

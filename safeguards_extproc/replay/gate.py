"""A gate: what a replay must hold before a policy may go on, from a file, for CI.

    version: 1
    hold:
      - {measure: block_rate_change, at_most: 0.005}
      - {measure: recall_on_must_block, at_least: 0.98, judge: interval}
      - {measure: newly_allowed, by: rule, of: jailbreak, at_most: 0}

The one rule: what cannot be measured does not pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import yaml
from pydantic import Field, model_validator

from safeguards_extproc.errors import ConfigError
from safeguards_extproc.policy.keys import Strict
from safeguards_extproc.policy.problems import suggest
from safeguards_extproc.replay.compare import Comparison, Tally
from safeguards_extproc.replay.measures import MEASURES


class Hold(Strict):
    """A measure and its bounds, of all exchanges or of those `by` a dimension `of` a value. With `judge: interval` the
    worse end of the 95 % interval must keep the bound, not only the value."""

    measure: str
    at_least: float | None = None
    at_most: float | None = None
    judge: Literal["value", "interval"] = "value"
    by: Literal["route", "tenant", "rule", "category"] | None = None
    of: str | None = None

    @model_validator(mode="after")
    def _checked(self) -> Hold:
        if self.measure not in MEASURES:
            raise ValueError(f"unknown measure {self.measure!r} ({suggest(self.measure, MEASURES)})")
        if self.at_least is None and self.at_most is None:
            raise ValueError(f"{self.measure} has no bound: give at_least, at_most or both")
        if (self.by is None) != (self.of is None):
            raise ValueError(f"{self.measure}: by and of belong together")
        return self


class Gate(Strict):
    """A gate file."""

    version: Literal[1]
    hold: Annotated[list[Hold], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Passed:
    """A measure and whether it kept its bounds. `value` and its interval are None where it could not be measured."""

    measure: str
    passed: bool
    value: float | None
    low: float | None
    high: float | None
    bound: str


def read(path: Path) -> Gate:
    """The gate in a file. ConfigError with what is wrong in it."""
    try:
        data: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(path)) from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise ConfigError("not YAML", where=str(path)) from None
    try:
        return Gate.model_validate(data)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        message = str(first["ctx"]["error"]) if first["type"] == "value_error" else first["msg"]
        raise ConfigError(f"{place}: {message}" if place else message, where=str(path)) from None


def judge(gate: Gate, found: Comparison) -> list[Passed]:
    """Each line of the gate, held against what was found."""
    return [_judged(hold, found) for hold in gate.hold]


def _judged(hold: Hold, found: Comparison) -> Passed:
    tally = found.total
    if hold.by is not None and hold.of is not None:
        tally = found.by[hold.by].get(hold.of, Tally())
    name = hold.measure + (f" of {hold.by} {hold.of}" if hold.by else "")
    bounds = ((">=", hold.at_least), ("<=", hold.at_most))
    bound = " and ".join(f"{sign} {value:g}" for sign, value in bounds if value is not None)
    figure = MEASURES[hold.measure](found, tally)
    if figure is None:
        return Passed(name, False, None, None, None, bound)
    least, most = (figure.low, figure.high) if hold.judge == "interval" else (figure.value, figure.value)
    passed = (hold.at_least is None or least >= hold.at_least) and (hold.at_most is None or most <= hold.at_most)
    return Passed(name, passed, figure.value, figure.low, figure.high, bound)

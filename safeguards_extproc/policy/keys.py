"""Types of the policy document's keys: names, sizes, scores, headers. A mapping has no unknown keys."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from safeguards_extproc.core.text import Kind

_UNITS = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "kB": 1000, "MB": 1000**2, "GB": 1000**3}
_SIZE = re.compile(r"([0-9]{1,12})\s*([A-Za-z]{0,3})")


def size(value: object) -> object:
    """ "8MiB" as a number of bytes; anything that is not such a string is left for the type check."""
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value)
    if match is None or match[2] not in _UNITS:
        raise ValueError("must be a number of bytes such as 8388608 or 8MiB")
    return int(match[1]) * _UNITS[match[2]]


def scalar(value: object) -> object:
    """A value that a feature may have."""
    if not isinstance(value, bool | int | float | str):
        raise ValueError("must be a number, a string, true or false")
    return value


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
Identifier = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,63}$")]
Score = Annotated[float, Field(ge=0, le=1)]
Bytes = Annotated[int, BeforeValidator(size), Field(ge=1, le=1 << 32)]
Text = Annotated[str, Field(min_length=1, max_length=4000)]
HeaderName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
HeaderValue = Annotated[str, Field(pattern=r"^[\x21-\x7e]([\x20-\x7e]{0,254}[\x21-\x7e])?$")]
KindName = Annotated[Kind, Field(strict=False)]
DirectionName = Literal["request", "response"]
Mode = Literal["enforce", "shadow"]
ActionName = Literal["annotate", "reroute", "steer", "redact", "drop", "stop", "throttle", "block", "suspend"]
VerdictName = Literal["allow", "annotate", "reroute", "steer", "redact", "drop", "stop", "throttle", "block", "suspend"]
OnUninspectable = Literal["block", "flag", "allow"]


class Strict(BaseModel):
    """No unknown keys, no conversions, no changes after loading."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

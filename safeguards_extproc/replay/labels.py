"""What exchanges deserve, as people have said it: a file of `{"id", "label"}` a line, label "block" or "allow"."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from safeguards_extproc.errors import ConfigError


class Label(msgspec.Struct, forbid_unknown_fields=True):
    """`id` is that of the exchange's record, or of the exchange in the file it came from."""

    id: str
    label: Literal["block", "allow"]


def read(path: Path) -> dict[str, str]:
    """Labels by id. ConfigError with the line of one that is none."""
    decoder, found, number = msgspec.json.Decoder(Label), dict[str, str](), 0
    try:
        with path.open("rb") as file:
            for line in file:
                number += 1
                if line.strip():
                    label = decoder.decode(line)
                    found[label.id] = label.label
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(path)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"not a label: {error}", where=f"{path}:{number}") from None
    return found

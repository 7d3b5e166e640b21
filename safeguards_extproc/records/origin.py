"""Where a record comes from: region, producer and epoch.

The one rule: no two lives of a process have one epoch, so producer, epoch and sequence never name two records.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

from safeguards_extproc.core.record import Record


def epoch() -> str:
    """A name for this life of this process: its begin in milliseconds and a random part, 19 hexadecimal digits. Epochs
    sort by time."""
    return f"{time.time_ns() // 1_000_000:011x}{secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True)
class Origin:
    """What all records of this life of a process have in common."""

    region: str
    producer: str
    epoch: str

    def stamp(self, record: Record) -> None:
        """Say in the record where it comes from."""
        record.region, record.producer, record.epoch = self.region, self.producer, self.epoch

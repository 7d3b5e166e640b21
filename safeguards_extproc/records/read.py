"""Records back from files, and what is missing among them.

The one rule: nothing is passed over in silence; a line that is no record is counted, a number that is not there named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from safeguards_extproc.core.record import Record
from safeguards_extproc.records.encode import from_json


class Reader:
    """Iterates over the records of `paths`, in order. `skipped` counts the lines that are none: the piece of a line
    that a killed process left, or what others wrote there. OSError if a file cannot be read."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = list(paths)
        self.skipped = 0

    def __iter__(self) -> Iterator[Record]:
        for path in self._paths:
            with path.open("rb") as file:
                for line in file:
                    if line == b"\n":
                        continue
                    try:
                        record = from_json(line)
                    except ValueError:
                        self.skipped += 1
                    else:
                        yield record


def gaps(records: Iterable[Record]) -> dict[tuple[str, str], list[range]]:
    """The sequence numbers that are missing, by producer and epoch, each from 1 to its highest; an epoch without gaps
    is not in it. Records that were lost at the end of a life leave no gap."""
    seen: dict[tuple[str, str], set[int]] = {}
    for record in records:
        seen.setdefault((record.producer, record.epoch), set()).add(record.sequence)
    missing: dict[tuple[str, str], list[range]] = {}
    for life, numbers in seen.items():
        begin = 1
        for number in sorted(numbers):
            if number > begin:
                missing.setdefault(life, []).append(range(begin, number))
            begin = number + 1
    return missing

"""What is new in a file of lines, or in a spool, while it is written.

The one rule: a line or record is given once, when it is there whole; what is still being written is looked at again the
next time. A segment that is sealed between two looks is not seen here: it is in the store.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from safeguards_extproc.core.record import Record
from safeguards_extproc.records import segments
from safeguards_extproc.records.encode import from_json


class Lines:
    """`new` gives the lines of a file that came since it was last asked, those before its renaming included."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def new(self) -> Iterator[bytes]:
        """Without their ends; empty ones are passed over. OSError if the file cannot be read."""
        while True:
            if self._file is None:
                self._file = self._path.open("rb")
            while (line := self._file.readline()).endswith(b"\n"):
                if line != b"\n":
                    yield line[:-1]
            self._file.seek(-len(line), os.SEEK_CUR)
            now, there = os.fstat(self._file.fileno()), self._path.stat()
            if not os.path.samestat(now, there):
                self._file.close()
                self._file = None  # it was renamed, and another begun
            elif now.st_size < self._file.tell():
                self._file.seek(0)  # it was emptied
            else:
                return


class Following:
    """`new` gives the records of a spool, or of a file of JSON lines, that came since it was last asked. `unreadable`
    counts what is no record."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._lines = Lines(place)
        self._read: dict[str, int] = {}
        self.unreadable = 0

    def new(self) -> Iterator[Record]:
        """OSError if the place cannot be read."""
        for payload in self._lines.new() if self._place.is_file() else self._frames():
            try:
                yield from_json(payload)
            except ValueError:
                self.unreadable += 1

    def _frames(self) -> Iterator[bytes]:
        there = segments.segments(self._place)
        names = {segment.path.stem for segment in there}
        self._read = {name: offset for name, offset in self._read.items() if name in names}
        for segment in there:
            name = segment.path.stem
            reading = segments.read(segment.path, self._read.get(name, 0))
            try:
                for payload in reading:
                    self._read[name] = reading.end
                    yield payload
            except FileNotFoundError:
                continue  # renamed or sealed a moment ago

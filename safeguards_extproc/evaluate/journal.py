"""Outcomes as they come, in a file, so that an evaluation that ended early goes on where it was.

One JSON object a line: first what was evaluated (the policy, the path and this program), then an outcome each, under a
digest of what was said. A line that was cut off when the program ended is left out. No text is in it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import msgspec

from safeguards_extproc.errors import ConfigError
from safeguards_extproc.evaluate.play import Case, Outcome

SCHEMA = 1
_HINT = "name another file to begin anew"


class _Line(msgspec.Struct):
    said: str
    outcome: Outcome


class Journal:
    """`place` is None for one that is kept in memory alone."""

    def __init__(self, place: Path | None, evaluated: Mapping[str, str]) -> None:
        """ConfigError if the file holds another evaluation or cannot be used."""
        self._place, self._file = place, None
        self._found: dict[str, Outcome] = {}
        self._versions: dict[str, str] = {}
        self._changed = ""
        if place is not None:
            head = msgspec.json.encode({"schema": SCHEMA, **evaluated}) + b"\n"
            try:
                good = self._read(place, head) if place.exists() else 0
                self._file = _opened(place, head, good)
            except OSError as error:
                raise ConfigError(f"cannot be used: {error.strerror}", where=str(place)) from None

    def get(self, case: Case) -> Outcome | None:
        """What became of the same words before."""
        return self._found.get(digest(case))

    def add(self, case: Case, outcome: Outcome) -> None:
        """Keep an outcome. One with errors may be another next time, so the file does without it."""
        said = digest(case)
        self._found[said] = outcome
        for detector, version in outcome.versions.items():
            if self._versions.setdefault(detector, version) != version:
                self._changed = detector
        if self._file is not None and not outcome.errors and not self._changed:
            self._file.write(msgspec.json.encode(_Line(said, outcome)) + b"\n")
            self._file.flush()

    def check(self) -> None:
        """ConfigError if other models answered than those before."""
        if self._changed:
            raise ConfigError(f"{self._changed} is another model than before", where=str(self._place), hint=_HINT)

    def close(self) -> None:
        """Nothing more is kept."""
        if self._file is not None:
            self._file.close()

    def _read(self, place: Path, head: bytes) -> int:
        """Take what is there; the bytes of it that are good."""
        decoder = msgspec.json.Decoder(_Line)
        data = place.read_bytes()
        lines = data[: data.rfind(b"\n") + 1].splitlines(keepends=True)
        if lines and lines[0] != head:
            raise ConfigError(
                "holds another evaluation: other policy, path or version of this program", where=str(place), hint=_HINT
            )
        for number, line in enumerate(lines[1:], 2):
            try:
                read = decoder.decode(line)
            except msgspec.DecodeError:
                raise ConfigError("not a line of an evaluation", where=f"{place}:{number}", hint=_HINT) from None
            self._found[read.said] = read.outcome
            self._versions.update(read.outcome.versions)
        return sum(map(len, lines))


def program() -> str:
    """A digest of this program's source: what it finds in a text may change with any of it."""
    told = hashlib.sha256()
    for file in sorted(Path(__file__).parents[1].rglob("*.py")):
        told.update(file.read_bytes())
    return told.hexdigest()


def _opened(place: Path, head: bytes, good: int) -> IO[bytes]:
    """For what comes next: behind what is good, or behind a new head."""
    file = place.open("r+b" if good else "wb")
    file.truncate(good)
    file.seek(good)
    if not good:
        file.write(head)
        file.flush()
    return file


def digest(case: Case) -> str:
    """Of what is said, and who says it."""
    return hashlib.blake2b(json.dumps([list(case.turns), case.answer]).encode(), digest_size=16).hexdigest()

"""What a replay has found so far, in a file, so that one that was interrupted goes on where it was.

A line says what is replayed, then there is one for each row. Half a line, which a killed process leaves, is cut off.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from safeguards_extproc.errors import ConfigError
from safeguards_extproc.replay.many import Row


class Begin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is replayed: the files, the digests of both policies, and how models are answered for."""

    source: str
    policy: str
    against: str
    recorded: bool
    through: str


_decoder = msgspec.json.Decoder(Row)


class Journal:
    """One replay's rows. `rows` gives those that are known, once, and then takes more."""

    def __init__(self, path: Path, begin: Begin) -> None:
        """Raises ConfigError if the file is of another replay, or cannot be used."""
        self._path, self.known = path, 0
        try:
            with path.open("a+b") as file:
                file.seek(0)
                first = file.readline()
                if not first.endswith(b"\n"):
                    file.truncate(0)
                    file.write(msgspec.json.encode(begin) + b"\n")
                elif _begin(first) != begin:
                    hint = "name another file, or the same capture and policies as then"
                    raise ConfigError("is of another replay", where=str(path), hint=hint)
                else:
                    end = len(first)
                    for line in file:
                        if not line.endswith(b"\n"):
                            break
                        end, self.known = end + len(line), self.known + 1
                    file.truncate(end)
        except OSError as error:
            raise ConfigError(f"cannot be used: {error.strerror}", where=str(path)) from None

    def rows(self, more: Iterator[Row]) -> Iterator[Row]:
        """The rows that are known, then those of `more`, each of which is known from then on."""
        with self._path.open("rb") as file:
            file.readline()
            for line in file:
                yield _decoder.decode(line)
        with self._path.open("ab", buffering=1 << 16) as file:
            for row in more:
                file.write(msgspec.json.encode(row) + b"\n")
                yield row


def _begin(line: bytes) -> Begin | None:
    try:
        return msgspec.json.decode(line, type=Begin)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None

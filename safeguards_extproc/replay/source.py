"""What is replayed: captures and files of other formats, one exchange after the other, bytes until it is played.

Exchanges keep their order and their number over all files, so a replay that was interrupted knows where it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from safeguards_extproc.core.taken import Taken
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.replay import capture, imports
from safeguards_extproc.replay.capture import Key, Reader, Sealed


class Frame(NamedTuple):
    """An exchange that has not been opened. `number` counts all, `within` those of its file; `done` is the bytes of all
    files until its end. `sealed` opens it, None where it is plain."""

    number: int
    within: int
    done: int
    data: bytes
    sealed: Sealed | None
    file: str

    def __repr__(self) -> str:
        return f"Frame({self.number}, {len(self.data)} bytes)"

    def open(self) -> Taken:
        """ConfigError if it is not as it was written."""
        if self.sealed is None:
            return capture.decode(self.data)
        return capture.opened(self.sealed, self.within, self.data, self.file)


@dataclass(slots=True)
class Source:
    """Files to replay. `size` is their bytes; `unfinished` names captures that were not closed, once they are read."""

    paths: Sequence[Path]
    keys: Sequence[Key]
    now: float
    size: int
    unfinished: list[str]

    @property
    def id(self) -> str:
        """Names these files, by what captures say of themselves and by the size of others."""
        said = [
            capture.head_of(path).id if path.suffix == capture.SUFFIX else f"{path.name} {path.stat().st_size}"
            for path in self.paths
        ]
        return hashlib.sha256("\n".join(said).encode()).hexdigest()[:32]

    def frames(self) -> Iterator[Frame]:
        """Every exchange, in order. ConfigError where a file cannot be used."""
        number = before = 0
        for path in self.paths:
            size = path.stat().st_size
            if path.suffix == capture.SUFFIX:
                reader = Reader(path, self.keys, self.now)
                for within, end, data in reader.frames():
                    yield Frame(number, within, before + end, data, reader.sealed, str(path))
                    number += 1
                if not reader.complete:
                    self.unfinished.append(f"{path}: not closed, {reader.torn} bytes after its last whole exchange")
            else:
                for within, taken in enumerate(imports.exchanges(path)):
                    yield Frame(number, within, before, capture.encode(taken), None, str(path))
                    number += 1
            before += size


def source(paths: Sequence[Path], key: Path | None, now: float) -> Source:
    """These files, and the captures in those that are folders. ConfigError where one is missing, or a key is."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = sorted(path.glob(f"*{capture.SUFFIX}"))
            if not found:
                raise ConfigError("no capture in it", where=str(path), hint=f"captures end in {capture.SUFFIX}")
            files += found
        elif path.exists():
            files.append(path)
        else:
            raise ConfigError("no such file", where=str(path))
    sealed = [path for path in files if path.suffix == capture.SUFFIX]
    if sealed and key is None:
        raise ConfigError("a capture needs its key", where="--key", hint="give the file that it was encrypted with")
    keys = capture.read_keys(key) if key is not None else ()
    for path in sealed:
        Reader(path, keys, now)
    return Source(files, keys, now, sum(path.stat().st_size for path in files), [])

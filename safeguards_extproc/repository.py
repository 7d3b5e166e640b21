"""Model repositories for Triton, fetched by their digests.

The one rule: a file gets its name only after all of it had the SHA-256 that the list says. A file that the list does
not name is not fetched, for a repository holds code.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from safeguards_extproc.errors import ConfigError
from safeguards_extproc.records.stores import PART, Store

CHUNK = 1 << 20
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


@dataclass(slots=True)
class Fetched:
    """Files that were fetched, that were there already, and what is wrong with the others; bytes of the first."""

    fetched: int = 0
    kept: int = 0
    bytes: int = 0
    problems: dict[str, str] = field(default_factory=dict)


def digests(text: str, where: str) -> dict[str, str]:
    """Path and SHA-256 of each line, as `sha256sum` writes them. ConfigError for a line that is none, a path that
    leaves the folder or stands there twice, and a list of nothing."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            hint = "write it with `sha256sum`"
            raise ConfigError("no digest and path", where=f"{where}:{number}", hint=hint)
        path = PurePosixPath(match[2])
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise ConfigError("a path that leaves the folder", where=f"{where}:{number}", hint="name files within it")
        if str(path) in found:
            raise ConfigError("a path that stood there before", where=f"{where}:{number}", hint="name each file once")
        found[str(path)] = match[1]
    if not found:
        raise ConfigError("names no file", where=where, hint="write it with `sha256sum`")
    return found


def fetch(store: Store, folder: Path, wanted: Mapping[str, str]) -> Fetched:
    """Bring every file of `wanted` from the store into `folder`. Files that are there and right are kept; what lies
    there and is not wanted is a problem, because Triton would serve it."""
    done = Fetched()
    for path in sorted(_files(folder) - wanted.keys()):
        done.problems[path] = "is there, and has no digest"
    for path, digest in sorted(wanted.items()):
        place = folder / path
        try:
            if place.is_file() and _digest(place) == digest:
                done.kept += 1
                continue
            size = _bring(store, path, place, digest)
        except FileNotFoundError:
            done.problems[path] = f"is not in {store.url}"
        except OSError as error:
            done.problems[path] = error.strerror or type(error).__name__
        except ValueError as error:
            done.problems[path] = str(error)
        else:
            done.fetched += 1
            done.bytes += size
    return done


def _bring(store: Store, path: str, place: Path, digest: str) -> int:
    """Fetch one file; its bytes. ValueError where it is not what the digest says."""
    place.parent.mkdir(parents=True, exist_ok=True)
    part, seen, size = place.with_name(place.name + PART), hashlib.sha256(), 0
    try:
        with store.files.open_input_stream(path, compression=None) as source, part.open("wb") as target:
            while data := source.read(CHUNK):
                seen.update(data)
                target.write(data)
                size += len(data)
        if seen.hexdigest() != digest:
            raise ValueError(f"has the SHA-256 {seen.hexdigest()}, not {digest}")
        part.rename(place)
    finally:
        part.unlink(missing_ok=True)
    return size


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in _below(folder)}


def _below(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if (path.is_file() or path.is_symlink()) and path.suffix != PART)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

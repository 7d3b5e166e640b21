"""Where sealed records lie: a folder, or a bucket of S3, Google Cloud Storage or Azure.

The one rule: a file is there whole or not at all. On a disk it is written beside its place and renamed when the disk
has it; S3 and Google show an object when its upload is complete; Azure shows an empty one before, so there it is
uploaded beside its place, and copied when it is whole.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import fs

from safeguards_extproc.errors import ConfigError

SCHEMES = ("file", "s3", "gs", "gcs", "abfs", "abfss")
PART = ".part"
"""How the name of a file that is being written ends."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a store: its path within it, with `/`, and its bytes."""

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Store:
    """`files` is rooted in the store. `folder` is its place on this machine's disk, None elsewhere. `url` names it
    without what its query says (keys, endpoints). All methods raise OSError.

    `flat`: it tells of no folder that has no object of its own, as Google's API does when pyarrow asks it; folders are
    then known by the files in them. `early`: it shows an object before its upload is complete."""

    url: str
    files: Any
    folder: Path | None
    flat: bool = False
    early: bool = False

    def put(self, path: str, data: bytes | memoryview | pa.Buffer) -> None:
        """Write a file, in the place of one of that name. It is durable when this returns."""
        if self.folder is None:
            if self.early:
                self._put_beside(path, data)
            else:
                self._upload(path, data)
            return
        place = self.folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(f"{place.name}.{os.getpid()}{PART}")
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.rename(place)
        _sync(place.parent)

    def _put_beside(self, path: str, data: bytes | memoryview | pa.Buffer) -> None:
        part = f"{path}.{secrets.token_hex(8)}{PART}"
        try:
            self._upload(part, data)
            self.files.copy_file(part, path)
        finally:
            with contextlib.suppress(OSError):
                self.files.delete_file(part)

    def _upload(self, path: str, data: bytes | memoryview | pa.Buffer) -> None:
        with self.files.open_output_stream(path, compression=None) as stream:
            stream.write(data)

    def delete(self, path: str) -> None:
        """Delete a file, if there is one."""
        with contextlib.suppress(FileNotFoundError):
            self.files.delete_file(path)
            if self.folder is not None:
                _sync((self.folder / path).parent)

    def get(self, path: str) -> bytes:
        """All of a file. FileNotFoundError if there is none."""
        with self.files.open_input_stream(path, compression=None) as stream:
            return bytes(stream.read())

    def size(self, path: str) -> int:
        """Bytes of a file; -1 if there is none."""
        found = self.files.get_file_info(path)
        return int(found.size) if found.type is fs.FileType.File else -1

    def folders(self, path: str = "") -> list[str]:
        """The names of the folders in a folder, in order; none where it does not exist."""
        found = self.files.get_file_info(fs.FileSelector(path, allow_not_found=True, recursive=self.flat))
        if not self.flat:
            return sorted(info.base_name for info in found if info.type is fs.FileType.Directory)
        below = len(path) + 1 if path else 0
        split = (str(info.path)[below:].partition("/") for info in found)
        return sorted({name for name, slash, _ in split if slash})

    def all(self, path: str = "") -> Iterator[Entry]:
        """Every file in a folder and below, in the order of paths; none where it does not exist."""
        found = self.files.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
        for info in sorted(found, key=lambda info: str(info.path)):
            if info.type is fs.FileType.File and not info.path.endswith(PART):
                yield Entry(info.path, info.size)


def open_store(url: str) -> Store:
    """The store of a path or URL: `/folder`, `file:///folder`, `s3://bucket/prefix`, `gs://bucket/prefix`,
    `abfs://container@account.dfs.core.windows.net/prefix`. Credentials and options are pyarrow's: the environment's,
    or the URL's query (`s3://bucket/prefix?region=eu-central-1&endpoint_override=…`). Nothing is created or asked
    here. ConfigError if it names no store."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme in ("", "file"):
        folder = Path(urllib.parse.unquote(parts.path) if parts.scheme else url).absolute()
        return Store(str(folder), fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem()), folder)
    plain = urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    if parts.scheme not in SCHEMES or not parts.netloc:
        hint = f"give a folder, or a URL that begins with one of {', '.join(SCHEMES)}"
        raise ConfigError("names no store of records", where=plain, hint=hint)
    try:
        files, root = fs.FileSystem.from_uri(url)
    except (OSError, ValueError, NotImplementedError) as error:
        raise ConfigError(f"cannot be used: {str(error).replace(url, plain)}", where=plain) from None
    flat, early = parts.scheme in ("gs", "gcs"), parts.scheme in ("abfs", "abfss")
    return Store(plain, fs.SubTreeFileSystem(root, files), None, flat=flat, early=early)


def _sync(folder: Path) -> None:
    """Have a folder's names on the disk."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

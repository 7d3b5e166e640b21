"""An ext4 of its own on a loop device, whose faults are the kernel's: read-only after an error, or frozen."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

SIZE = 16 << 20
NEEDED = ("mkfs.ext4", "mount", "umount", "fsfreeze")


@dataclass(frozen=True, slots=True)
class FileSystem:
    """`folder` is where it is mounted, `image` what it is kept in."""

    folder: Path
    image: Path

    def mount(self) -> None:
        _run("mount", "-o", "loop", str(self.image), str(self.folder))

    def unmount(self) -> None:
        _run("umount", str(self.folder))

    def sync(self) -> None:
        """What was written is on the disk."""
        _run("sync", "--file-system", str(self.folder))

    def abort(self) -> None:
        """As after an error of the disk: from now on it can only be read, until it is mounted anew."""
        _run("mount", "-o", "remount,abort", str(self.folder))

    def freeze(self, seconds: float) -> None:
        """Whoever writes waits for so long. The thaw is another process's affair: a writer may hold up all of this
        one."""
        _run("fsfreeze", "--freeze", str(self.folder))
        subprocess.Popen(["sh", "-c", f'sleep {seconds}; fsfreeze --unfreeze "$0"', str(self.folder)])


@contextmanager
def file_system(folder: Path) -> Iterator[FileSystem]:
    """One that is mounted until the end of the block; skips where nobody may mount."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: apt install e2fsprogs mount util-linux")
    made = FileSystem(folder / "disk", folder / "image")
    made.folder.mkdir(parents=True)
    with made.image.open("wb") as file:
        file.truncate(SIZE)
    _run("mkfs.ext4", "-q", "-F", str(made.image))
    try:
        made.mount()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"needs root and loop devices to mount a file system: {error.stderr.strip()}")
    try:
        yield made
    finally:
        subprocess.run(["umount", "--lazy", str(made.folder)], capture_output=True, check=False)


def _run(*command: str) -> None:
    subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)

"""write(2)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from safeguards_extproc.records.write import write


def test_a_write_is_the_kernels_or_says_why_not(tmp_path: Path) -> None:
    """Bytes that hold a NUL are written whole, and a file that is not open is the error that the kernel names."""
    path = tmp_path / "file"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    assert write(fd, b"a\x00b\n") == 4
    os.close(fd)
    assert path.read_bytes() == b"a\x00b\n"
    with pytest.raises(OSError, match="Bad file descriptor"):
        write(fd, b"a")

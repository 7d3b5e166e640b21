"""write(2)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from safeguards_extproc.records.write import whole, write
from tests.records.disk import disk


def test_a_write_is_the_kernels_or_says_why_not(tmp_path: Path) -> None:
    """Bytes that hold a NUL are written whole, and a file that is not open is the error that the kernel names."""
    path = tmp_path / "file"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    assert write(fd, b"a\x00b\n") == 4
    os.close(fd)
    assert path.read_bytes() == b"a\x00b\n"
    with pytest.raises(OSError, match="Bad file descriptor"):
        write(fd, b"a")


def test_a_piece_of_a_record_is_taken_back(tmp_path: Path) -> None:
    """What did not fit is told to whoever undoes it; what fits is written, and nobody is told."""
    path, undone = tmp_path / "file", list[int]()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    whole(fd, b"abc", undone.append)
    with disk(free=5), pytest.raises(OSError, match="File too large"):
        whole(fd, b"defg", undone.append)
    os.close(fd)
    assert (b"abcde", [2]) == (path.read_bytes(), undone)

"""Values of keys: a size is a number of bytes, however it is written."""

from __future__ import annotations

import pytest

from safeguards_extproc.policy.keys import size


@pytest.mark.parametrize(("written", "bytes_"), [("8MiB", 8 << 20), ("1kB", 1000), ("512", 512), (7, 7)])
def test_a_size_is_read(written: object, bytes_: int) -> None:
    """Binary and decimal units, and plain numbers."""
    assert bytes_ == size(written)


@pytest.mark.parametrize("written", ["8 parsecs", "MiB", "1.5MiB"])
def test_what_is_no_size_is_refused(written: str) -> None:
    """The message says what a size looks like."""
    with pytest.raises(ValueError, match="such as 8388608 or 8MiB"):
        size(written)

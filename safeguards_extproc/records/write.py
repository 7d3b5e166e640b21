"""write(2) for records.

The one rule: it hands bytes to the operating system without giving up the interpreter's lock, all of a record or none.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable

_libc_write = ctypes.PyDLL(None, use_errno=True).write
_libc_write.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t)
_libc_write.restype = ctypes.c_ssize_t


def write(fd: int, data: bytes) -> int:
    """write(2) that keeps the interpreter's lock: os.write gives it up, and gRPC's thread, which then has it, costs
    the caller far more than the microsecond that a copy to the page cache takes. Raises OSError."""
    while (done := int(_libc_write(fd, data, len(data)))) < 0:
        number = ctypes.get_errno()
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))
    return done


def whole(fd: int, data: bytes, undo: Callable[[int], None]) -> None:
    """Write all of `data`. Where the system takes a piece and no more, `undo` hears of how many bytes, to take them
    back, and OSError is raised."""
    done = 0
    try:
        while done < len(data):
            done += write(fd, data[done:] if done else data)
    except OSError:
        if done:
            undo(done)
        raise

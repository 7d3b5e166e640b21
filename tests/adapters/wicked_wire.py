"""A wire to read by that does what the body says: dies, hangs, fails. For tests of the process that reads."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from safeguards_extproc.core.text import Format
from safeguards_extproc.wire import decoder, pick, promises, resolve
from safeguards_extproc.wire import recognise as really

__all__ = ["decoder", "pick", "promises", "recognise", "resolve"]


def recognise(body: bytes) -> Format | None:
    """`die`, `hang`, `raise`, `once FILE` (dies unless the file is there, and makes it); else as the real one does."""
    what, _, rest = body.decode("latin-1").partition(" ")
    match what:
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "once":
            if not Path(rest).exists():
                Path(rest).touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return None
        case "hang":
            Path(rest).write_text(str(os.getpid()))
            while True:
                time.sleep(60)
        case "raise":
            raise ValueError(rest)
    return really(body)

"""The process in which a worker's large bodies are read: `python -m safeguards_extproc.adapters.reader_process WIRE`.

WIRE is the module to read by, a `core.text.Wire`. A task comes on standard input, its outcome goes to standard output,
one after the other, until the input ends: with its worker, however that goes. Signals are the worker's business.
Nothing is ever logged or printed, so no text can be.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import signal
import sys
from typing import BinaryIO

from safeguards_extproc.adapters.reader_frames import HEAD, Joiner, of_fault, of_outcome
from safeguards_extproc.core.aside import Parse, Rewrite
from safeguards_extproc.core.text import Wire

_PR_SET_PDEATHSIG = 1  # prctl(2)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # while it parses, it would not see the input end
    gc.disable()  # a tree of values has no cycles, and looking for some takes as long as making it
    serve(sys.stdin.buffer, sys.stdout.buffer, importlib.import_module(sys.argv[1]))


def serve(incoming: BinaryIO, outgoing: BinaryIO, wire: Wire) -> None:
    """Do one task after the other until there is none."""
    joiner = Joiner()
    while len(head := incoming.read(HEAD.size)) == HEAD.size:
        kind, size = HEAD.unpack(head)
        task = joiner.take(kind, incoming.read(size))
        if isinstance(task, Parse | Rewrite):
            do(task, outgoing, wire)
            joiner = Joiner()
            del task
            gc.collect()


def do(task: Parse | Rewrite, outgoing: BinaryIO, wire: Wire) -> None:
    """Write the outcome of one task; that of a fault in a format is its name."""
    try:
        for frame in of_outcome(task.run(wire)):
            outgoing.write(frame)
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 (whatever it is, the worker is to know)
        outgoing.write(of_fault(error))
    outgoing.flush()


if __name__ == "__main__":
    try:
        main()
    except OSError:
        os._exit(1)  # the worker is gone, and with it everyone who waits

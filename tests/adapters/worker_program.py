"""A program to run as workers: it writes "INDEX SIGNAL" lines into a file and ends as its argument says.

    worker_program.py FILE [fail:INDEX | crash:INDEX | stubborn]

fail: that worker cannot start. crash: that worker dies once after a while. stubborn: none ends when asked.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from safeguards_extproc.adapters import workers


def main() -> None:
    log, how = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""
    workers.end_with_parent()
    number = workers.index()

    def say(what: str) -> None:
        with log.open("a") as file:
            file.write(f"{number} {what}\n")

    def heard(signum: int, _: object) -> None:
        say(signal.Signals(signum).name)
        if signum == signal.SIGTERM and how != "stubborn":
            sys.exit(0)

    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, heard)
    if how == f"fail:{number}":
        sys.exit(78)
    first = f"{number} up" not in log.read_text()
    say(f"up {os.getpid()}")
    if how == f"crash:{number}" and first:
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGKILL)
    while True:
        time.sleep(60)


main()

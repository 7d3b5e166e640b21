"""A program with a reader, to be killed: `reader_parent.py FILE hang|rest`. Prints the reader's process id.

hang: it is in the midst of a body, of which FILE tells; rest: it has read one.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from safeguards_extproc.adapters.reader import PROGRAM, Reader
from safeguards_extproc.core.aside import Parse
from safeguards_extproc.core.text import Direction


def told(file: Path) -> bool:
    return file.exists() and bool(file.read_text())


async def main() -> None:
    file, how = Path(sys.argv[1]), sys.argv[2]
    reader = Reader([sys.executable, "-m", PROGRAM, "tests.adapters.wicked_wire"])
    body = f"hang {file}".encode() if how == "hang" else b"{}"
    reading = asyncio.create_task(reader.do(Parse(Direction.REQUEST, None, body, "", 1000)))
    if how == "hang":
        while not told(file):  # noqa: ASYNC110 (the other process has no event to wait for)
            await asyncio.sleep(0.01)
    else:
        await reading
    print(reader.pid, flush=True)  # noqa: T201 (for the test)
    await asyncio.sleep(60)


asyncio.run(main())

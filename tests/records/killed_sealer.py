"""Seals a spool again and again, killed by SIGKILL some lines of code later each time, until it comes to its end.

    python -m tests.records.killed_sealer STORE_URL SCRATCH_FOLDER LINES [FAULT]

Says a line of JSON for each time: whether and where it was killed, and what was then wrong, which should be nothing.
FAULT is one of FAULTS, which makes the sealer wrong: then the first time that shows it is the last.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence, Set
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from safeguards_extproc.core.record import Record
from safeguards_extproc.records import seal, sealed, segments, stores, verify
from safeguards_extproc.records.stores import open_store
from tests.records.sealing import EPOCH, Key, in_spool, in_store, key, record, segment


class Watched(NamedTuple):
    """Files whose lines are counted, in the functions that change something or call what does; a kill in another is one
    before what comes next."""

    files: Set[str]
    functions: Set[str]


WATCHED = Watched(
    {str(module.__file__) for module in (seal, segments, stores)},
    {"seal", "_seal_one", "_publish", "put", "_put_beside", "_upload", "_sync", "recover", "_close", "free"},
)


def killed(at: int, report: int, watched: Watched = WATCHED) -> Callable[[FrameType, str, Any], Any]:
    """A tracer that kills this process at a line, and says before where that was."""
    left = at

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal left
        code = frame.f_code
        if code.co_filename not in watched.files or code.co_name not in watched.functions:
            return None
        if event == "line":
            left -= 1
            if left < 0:
                os.write(report, f"{Path(code.co_filename).name}:{frame.f_lineno}".encode())
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    return trace


def forked(work: Callable[[int], None]) -> tuple[int, str]:
    """Run in a process of its own: its wait status, and what it wrote into the pipe."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        work(write)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read()
    return os.waitpid(child, 0)[1], said


def wrong(url: str, spool: Path, acknowledged: Set[Key], *, ended: bool) -> list[str]:
    """What is not as it must be, after a kill or at the end."""
    store = open_store(url)
    there = in_store(store)
    found = [f"{each} is there {count} times" for each, count in there.items() if count > 1]
    found += [f"{each} was lost" for each in acknowledged - set(there) - in_spool(spool)]
    found += [f"{each} was never written" for each in set(there) - acknowledged]
    problems = verify.verify(store, spool).problems.items()
    found += [f"{file} {problem}" for file, problem in problems if ended or "no manifest" not in problem]
    if ended:
        found += [f"{each} was not sealed" for each in acknowledged - set(there)]
    return found


def spooled(spool: Path) -> set[Key]:
    """A spool with a closed segment over two hours, and one whose writer is gone."""
    batches = [[record(1), record(2, hour=11)], [record(3)]]
    segment(spool, batches[0])
    segment(spool, batches[1], state=segments.OPEN)
    segments.lock_path(spool, "worker", EPOCH).touch()
    return {key(each) for batch in batches for each in batch}


def deletes_early() -> None:
    """The segment goes before its files are there."""
    publish = seal._publish

    def faulty(records: Sequence[Record], segment: segments.Segment, store: stores.Store) -> sealed.Manifest:
        segment.path.unlink(missing_ok=True)
        return publish(records, segment, store)

    seal._publish = faulty


def names_anew() -> None:
    """Each sealer has names of its own for its files."""

    def faulty(records: Sequence[Record]) -> str:
        return sealed.file_of(records).replace(sealed.PARQUET, f"-{os.getpid()}{sealed.PARQUET}")

    vars(seal)["file_of"] = faulty


FAULTS = {"deletes-early": deletes_early, "names-anew": names_anew}


def main(url: str, scratch: Path, stride: int, fault: str = "") -> None:
    """Each time with a spool and a place in the store of their own; then somebody else seals what is left."""
    if fault:
        FAULTS[fault]()
    place, question, options = url.partition("?")
    for point in itertools.count(0, stride):
        here, spool = f"{place}/{point}{question}{options}", scratch / str(point)
        acknowledged = spooled(spool)

        def work(report: int, point: int = point, here: str = here, spool: Path = spool) -> None:
            store = open_store(here)
            sys.settrace(killed(point, report))
            seal.seal(spool, store)
            sys.settrace(None)

        def check(report: int, here: str = here, spool: Path = spool, there: Set[Key] = acknowledged) -> None:
            found = wrong(here, spool, there, ended=False)
            seal.seal(spool, open_store(here))
            found += wrong(here, spool, there, ended=True)
            os.write(report, json.dumps(found).encode())

        status, where = forked(work)
        _, said = forked(check)
        was_killed = os.WIFSIGNALED(status)
        found = json.loads(said)
        sys.stdout.write(json.dumps({"point": point, "killed": was_killed, "where": where, "wrong": found}) + "\n")
        if not was_killed or (fault and found):
            return


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])

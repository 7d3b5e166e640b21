"""Joins the files of a store again and again, killed by SIGKILL some lines of code later each time, until it comes to
its end.

    python -m tests.records.killed_compactor STORE_URL LINES [FAULT]

Says a line of JSON for each time: whether and where it was killed, and what was then wrong, which should be nothing.
FAULT is one of FAULTS, which makes the compactor wrong: then the first time that shows it is the last.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import tempfile
from collections.abc import Sequence, Set
from pathlib import Path

from safeguards_extproc.core.record import Record
from safeguards_extproc.records import compact, sealed, stores, verify
from safeguards_extproc.records.seal import seal
from safeguards_extproc.records.stores import open_store
from tests.records.killed_sealer import Watched, forked, killed
from tests.records.sealing import Key, in_store, key, record, segment

WATCHED = Watched(
    {str(module.__file__) for module in (compact, stores)},
    {"_hour", "_go_on", "_join", "_publish", "_delete", "put", "_put_beside", "_upload", "delete", "_sync"},
)
UNTIL = "2026-01-31T12:00"
AT_ONCE = compact.Settings(keep_s=0)


def sealed_store(url: str) -> Set[Key]:
    """A store with three files of one hour, of one life."""
    with tempfile.TemporaryDirectory() as folder:
        spool, records = Path(folder), [record(number) for number in range(1, 7)]
        for at in (0, 2, 4):
            segment(spool, records[at : at + 2])
        assert {} == seal(spool, open_store(url)).left
    return {key(each) for each in records}


def wrong(url: str, there: Set[Key], *, ended: bool) -> list[str]:
    """What is not as it must be, after a kill or at the end."""
    store = open_store(url)
    counted = in_store(store)
    found = [f"{each} is there {count} times" for each, count in counted.items() if count > 1]
    found += [f"{each} was lost" for each in there - set(counted)]
    told = verify.verify(store)
    found += [f"{file} {problem}" for file, problem in told.problems.items() if ended or "no manifest" not in problem]
    found += [f"{runs} are doubled or missing" for runs in (told.doubled, told.missing) if runs]
    if ended:
        left = [entry.path for entry in store.all() if entry.path != compact.LOCK]
        found += [f"{left} are left"] if len(left) != 2 else []
    return found


def deletes_early() -> None:
    """Parts go when the whole has been begun."""
    publish = compact._publish

    def faulty(
        store: stores.Store, records: Sequence[Record], group: Sequence[sealed.Manifest], done: compact.Round
    ) -> None:
        for each in group:
            compact._delete(store, each.file, done)
        publish(store, records, group, done)

    compact._publish = faulty


def no_journal() -> None:
    """Readers look at no journal."""

    def faulty(store: stores.Store, there: Set[str]) -> set[str]:
        return {path for path in there if path.endswith(sealed.PARQUET) and sealed.manifest_path(path) in there}

    sealed.counting = faulty


FAULTS = {"deletes-early": deletes_early, "no-journal": no_journal}


def main(url: str, stride: int, fault: str = "") -> None:
    """Each time in a place of the store of its own; then somebody else goes on with what is left."""
    if fault:
        FAULTS[fault]()
    place, question, options = url.partition("?")
    for point in itertools.count(0, stride):
        here = f"{place}/{point}{question}{options}"

        def prepare(report: int, here: str = here) -> None:
            os.write(report, json.dumps(sorted(sealed_store(here))).encode())

        def work(report: int, point: int = point, here: str = here) -> None:
            store = open_store(here)
            sys.settrace(killed(point, report, WATCHED))
            compact.compact(store, UNTIL, 0.0, AT_ONCE)
            compact.compact(store, UNTIL, 1.0, AT_ONCE)
            sys.settrace(None)

        _, prepared = forked(prepare)
        every = {(producer, epoch, number) for producer, epoch, number in json.loads(prepared)}

        def check(report: int, here: str = here, there: Set[Key] = every) -> None:
            found = wrong(here, there, ended=False)
            for now in (2.0, 3.0, 4.0):
                compact.compact(open_store(here), UNTIL, now, AT_ONCE)
            found += wrong(here, there, ended=True)
            os.write(report, json.dumps(found).encode())

        status, where = forked(work)
        _, said = forked(check)
        was_killed, found = os.WIFSIGNALED(status), json.loads(said)
        sys.stdout.write(json.dumps({"point": point, "killed": was_killed, "where": where, "wrong": found}) + "\n")
        if not was_killed or (fault and found):
            return


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])

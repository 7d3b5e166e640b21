"""One transaction at a time, from threads and processes: all of it or nothing."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from safeguards_extproc.core.account import Step
from safeguards_extproc.enforcement.events import Kind
from safeguards_extproc.errors import NotAllowed
from safeguards_extproc.policy.account_document import Rung
from tests.enforcement.given import event, kinds, ledger, told

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]


def test_what_is_refused_writes_nothing(url):
    """One of several that cannot be undone stops all; ids have no gap from it."""
    book, _ = ledger(url)
    (warn,) = book.append(event(Kind.WARN))
    book.undo([warn.id], "maria", "wrong")

    with pytest.raises(NotAllowed, match="taken back already, by event 2"):
        book.undo([warn.id], "maria", "again")
    with pytest.raises(NotAllowed, match="no event 77"):
        book.undo([2, 77], "maria", "again")
    with pytest.raises(NotAllowed, match="no event 78"):
        book.append(event(Kind.NOTE, cause=78))
    assert (2, Step.GOOD) == (len(book.history("a")), book.standing("a").step)
    assert 3 == book.append(event(Kind.WARN))[0].id


def test_strikes_from_threads_and_processes(url):
    """64 strikes at once, half from threads, half from other processes: each counts once, each rung fires once."""
    ladder = [Rung(at=at, step="warn") for at in (1, 2, 31, 32, 33, 63, 64)] + [Rung(at=64.5, step="ban")]
    book, _ = ledger(url, ladder)
    script = (
        "import sys, time\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from tests.enforcement.given import told\n"
        "from safeguards_extproc.enforcement.ledger import Ledger\n"
        "from safeguards_extproc.policy.account_document import Rung\n"
        "ladder = [Rung(at=at, step='warn') for at in (1, 2, 31, 32, 33, 63, 64)] + [Rung(at=64.5, step='ban')]\n"
        "book = Ledger(sys.argv[1], ladder, time.time)\n"
        "print('ready', flush=True)\n"
        "first = int(sys.stdin.readline())\n"
        "with ThreadPoolExecutor(16) as pool:\n"
        "    list(pool.map(lambda number: book.strike(told(number)), range(first, first + 16)))\n"
    )
    others = [
        subprocess.Popen(
            [sys.executable, "-c", script, url], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    assert ["ready\n"] * 2 == [each.stdout.readline() for each in others]
    with ThreadPoolExecutor(32) as pool:
        for number, each in enumerate(others):
            each.stdin.write(f"{16 * number}\n")
            each.stdin.flush()
        list(pool.map(lambda number: book.strike(told(number)), range(32, 64)))
    assert [("", None), ("", None)] == [each.communicate() for each in others]

    events = book.history("a")
    assert list(range(1, 72)) == [each.id for each in events]
    assert 64 == len({each.evidence for each in events if each.kind is Kind.STRIKE})
    assert [1, 2, 31, 32, 33, 63, 64] == sorted(each.data["rung"] for each in events if each.kind is Kind.WARN)
    assert 64.0 == sum(each.weight for each in events)
    assert ["ban"] == kinds(book.strike(told(64)))[1:]
    assert 0 == book.rebuild()

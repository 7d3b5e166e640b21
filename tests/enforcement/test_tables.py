"""The tables: append-only for everyone, made once, and of a version that is known."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from safeguards_extproc.enforcement.events import Kind
from safeguards_extproc.enforcement.ledger import Ledger
from safeguards_extproc.enforcement.tables import APPEND_ONLY, connect
from safeguards_extproc.errors import ConfigError, StoreError
from tests.enforcement.given import LADDER, START, event, ledger, told

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]


def test_a_database_that_does_not_answer(tmp_path):
    """A ledger whose file went away is a StoreError with a reason; nobody sees the driver's own."""
    book, _ = ledger(f"sqlite:///{tmp_path}/ledger.db")
    with book.writing() as work:
        work.connection.exec_driver_sql("DROP TABLE safeguards_account")

    with pytest.raises(StoreError) as caught:
        book.standing("a")
    assert "unavailable" == caught.value.reason


def test_a_ledger_that_cannot_be_opened(tmp_path):
    """It says what and how to mend it, and no password."""
    with pytest.raises(ConfigError, match="folder there and writable"):
        Ledger(f"sqlite:///{tmp_path}/none/ledger.db", LADDER, lambda: START)
    with pytest.raises(ConfigError, match="sqlite:////path"):
        Ledger("mysql://somewhere", LADDER, lambda: START)
    with pytest.raises(ConfigError, match="server reachable") as caught:
        Ledger("postgresql+psycopg://me:secret@127.0.0.1:9/x", LADDER, lambda: START)
    assert "secret" not in str(caught.value)


CHANGES = [
    "UPDATE safeguards_event SET reason = 'other' WHERE id = 1",
    "DELETE FROM safeguards_event WHERE id = 2",
    "DELETE FROM safeguards_event",
    "UPDATE safeguards_alias SET former = 'x'",
    "DELETE FROM safeguards_alias",
    "UPDATE safeguards_bulk SET actor = 'x'",
    "DELETE FROM safeguards_bulk",
]
REPLACE = {
    "sqlite": "INSERT OR REPLACE INTO safeguards_event SELECT * FROM safeguards_event WHERE id = 1",
    "postgresql": "TRUNCATE safeguards_event CASCADE",
}
BULK = "INSERT INTO safeguards_bulk VALUES (9, 0, 'maria', {}, 5, {}, 'digest', 'reason')"


def changed(url: str, statements: list[str]) -> list[str]:
    """Those of the statements that the database lets pass."""
    passed = []
    for statement in statements:
        engine = connect(url)
        try:
            with engine.begin() as connection:
                connection.exec_driver_sql(statement)
            passed.append(statement)
        except sa.exc.DBAPIError as error:
            assert "append-only" in str(error), error  # noqa: PT017
        engine.dispose()
    return passed


def test_events_are_append_only(url):
    """The database itself refuses to change or remove an event, a link or a bulk action, whoever asks."""
    book, _ = ledger(url)
    book.strikes([told(1), told(2)])
    book.alias("b", "a")
    with book.writing() as work:
        work.connection.exec_driver_sql(BULK.format("NULL", 5))

    assert [] == changed(url, [*CHANGES, REPLACE[url.partition(":")[0].partition("+")[0]]])
    assert [Kind.STRIKE, Kind.STRIKE, Kind.NOTE] == [event.kind for event in book.history("a")]


def test_append_only_bites(url):
    """Without its triggers the same check finds every change."""
    book, _ = ledger(url)
    book.strikes([told(1), told(2)])
    with book.writing() as work:
        for table in APPEND_ONLY:
            if url.startswith("sqlite"):
                for name in ("no_update", "no_delete", "no_replace"):
                    work.connection.exec_driver_sql(f"DROP TRIGGER {table.name}_{name}")
            else:
                work.connection.exec_driver_sql(f"ALTER TABLE {table.name} DISABLE TRIGGER USER")

    assert CHANGES == changed(url, CHANGES)


def test_two_people_are_a_constraint(url):
    """A bulk action above its cap needs an approver who is not the actor, whatever program writes it."""
    ledger(url)
    for approver, cap in (("'maria'", 10), ("NULL", 4)):
        engine = connect(url)
        with pytest.raises(sa.exc.IntegrityError), engine.begin() as connection:
            connection.exec_driver_sql(BULK.format(approver, cap))
        engine.dispose()


def test_a_newer_ledger_is_not_opened(url):
    """Tables of a version that this program does not know are left alone."""
    book, _ = ledger(url)
    with book.writing() as work:
        work.connection.exec_driver_sql("UPDATE safeguards_ledger SET version = 2")

    with pytest.raises(ConfigError, match="version 2, this program's of version 1"):
        Ledger(url, LADDER, lambda: START)


def test_a_ledger_is_made_once(url):
    """Several programs that open it at once make one ledger, and all can use it."""
    script = (
        "import sys, time\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from safeguards_extproc.enforcement.ledger import Ledger\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "with ThreadPoolExecutor(4) as pool:\n"
        "    books = list(pool.map(lambda _: Ledger(sys.argv[1], [], time.time), range(4)))\n"
        "print([book.revision() for book in books])\n"
    )
    command = [sys.executable, "-c", script, url]
    opening = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    assert ["ready\n"] * 2 == [each.stdout.readline() for each in opening]
    for each in opening:
        each.stdin.write("go\n")
        each.stdin.flush()
    assert ["[0, 0, 0, 0]\n"] * 2 == [each.communicate()[0] for each in opening]


def test_sqlite_keeps_what_it_said(tmp_path):
    """A write-ahead log, and a commit that is on the disk before it is one."""
    book, _ = ledger(f"sqlite:///{tmp_path}/ledger.db")
    with book.reading() as connection:
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
        synchronous = connection.exec_driver_sql("PRAGMA synchronous").scalar()

    assert ("wal", 2) == (mode, synchronous)


def test_a_database_that_is_busy(tmp_path, monkeypatch):
    """A writer that waits too long for another says so."""
    monkeypatch.setattr("safeguards_extproc.enforcement.tables.BUSY_S", 0.05)
    url = f"sqlite:///{tmp_path}/ledger.db"
    (first, _), (second, _) = ledger(url), ledger(url)

    with first.writing(), pytest.raises(StoreError) as caught:
        second.append(event(Kind.WARN))
    assert "timeout" == caught.value.reason
    assert 1 == len(second.append(event(Kind.WARN)))

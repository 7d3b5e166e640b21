"""`python -m bench.ledger [URL…]`: strikes a second, one a transaction and in batches, and making the projection anew.

Without a URL it is SQLite in a folder of its own. Each strike is on the disk before the next. A ledger at a URL must be
new, and is not removed.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable

from rich.console import Console
from rich.table import Table
from sqlalchemy.engine import make_url

from safeguards_extproc.enforcement.events import Strike
from safeguards_extproc.enforcement.ledger import Ledger
from safeguards_extproc.enforcement.tables import ACCOUNTS
from safeguards_extproc.policy.account_document import Rung

BATCH = 500


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.ledger", description=__doc__)
    parser.add_argument("urls", nargs="*")
    parser.add_argument("--seconds", type=float, default=5.0, help="of strikes, each time")
    parser.add_argument("--identities", type=int, default=100_000, help="in the projection that is made anew")
    options = parser.parse_args()
    table = Table("database", "what", "a second", "processor time each", title="the ledger")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for url in options.urls or [f"sqlite:///{folder}/ledger.db"]:
            ledger = Ledger(url, [Rung(at=1, step="warn"), Rung(at=1000, step="ban")], time.time)
            measure(ledger, table, make_url(url).get_backend_name(), options.seconds, options.identities)
            ledger.close()
    Console(width=120).print(table)


def measure(ledger: Ledger, table: Table, name: str, seconds: float, identities: int) -> None:
    """One database: a row for each thing that is measured."""
    numbers = itertools.count()

    def told() -> Strike:
        number = next(numbers)
        return Strike(subject=f"u{number % identities}", record=f"r{number}", rule="weapons", policy="shop")

    def for_a_while(act: Callable[[], object], each: int, what: str) -> None:
        began, spent, done = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - began < seconds:
            act()
            done += each
        row(what, done, time.perf_counter() - began, time.process_time() - spent)

    def row(what: str, count: int, took: float, spent: float) -> None:
        table.add_row(name, what, f"{count / took:,.0f}", f"{spent / count * 1e6:,.0f} µs")

    def rebuild(what: str, expected: int) -> None:
        began, spent = time.perf_counter(), time.process_time()
        wrong = ledger.rebuild()
        if wrong != expected:
            raise SystemExit(f"bench: {wrong} rows were wrong, not {expected}")
        took = time.perf_counter() - began
        row(f"{what}: {identities:,} identities in {took:.1f} s", identities, took, time.process_time() - spent)

    for_a_while(lambda: ledger.strike(told()), 1, "strikes, each a transaction")
    for_a_while(lambda: ledger.strikes([told() for _ in range(BATCH)]), BATCH, f"strikes, {BATCH} a transaction")
    for _ in range(identities // BATCH):
        ledger.strikes([told() for _ in range(BATCH)])
    rebuild("projection looked over", 0)
    with ledger.writing() as work:
        work.connection.execute(ACCOUNTS.delete())
    rebuild("projection lost, made anew", identities)


if __name__ == "__main__":
    main()

"""Filter and sealer killed under load, each again and again: whoever had an answer finds its record in the store, once.

`python -m tests.faults.test_sealer_killed 25` says how many records that were, and what came of it.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from safeguards_extproc.records.query import Records
from safeguards_extproc.records.seal import seal
from safeguards_extproc.records.stores import open_store
from safeguards_extproc.records.verify import verify
from tests.faults.test_spool_killed import lives


@contextmanager
def killed_sealers(spool: Path, store: Path) -> Iterator[list[int]]:
    """Seals until the end of the block, by one process after the other; the exit status of each."""
    statuses: list[int] = []
    ended = threading.Event()
    command = [sys.executable, "-m", "safeguards_extproc", "records", "seal", str(spool), str(store), "--every", "0.1s"]

    def run() -> None:
        while not ended.is_set():
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            ended.wait(random.uniform(1.5, 4.0))
            process.kill()
            statuses.append(process.wait())

    spool.mkdir(exist_ok=True)
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield statuses
    finally:
        ended.set()
        thread.join()


def wrong(folder: Path, acknowledged: set[str]) -> Counter[str]:
    """What is not as it was acknowledged, once all is sealed."""
    store = open_store(str(folder / "sealed"))
    left = seal(folder / "spool", store).left
    found = verify(store, folder / "spool")
    with Records(store) as records:
        ids = Counter({row["id"]: row["n"] for row in records.ask("SELECT id, count(*) AS n FROM records GROUP BY id")})
    return +Counter(
        left=len(left) + found.waiting,
        lost=len(acknowledged - ids.keys()),
        doubled=ids.total() - len(ids) + len(found.doubled),
        missing=len(found.missing),
        broken=len(found.problems),
    )


def play(folder: Path, kills: int) -> tuple[set[str], list[float], list[int]]:
    """What was acknowledged, how many a second, and how each sealer ended."""
    with killed_sealers(folder / "spool", folder / "sealed") as statuses:
        acknowledged, rates = lives(folder, kills)
    return acknowledged, rates, statuses


@pytest.mark.real
def test_what_was_acknowledged_is_sealed_once_whoever_is_killed(tmp_path: Path) -> None:
    """Lives of the filter end under load, lives of the sealer while they seal what those left."""
    acknowledged, _, statuses = play(tmp_path, 3)
    assert any((tmp_path / "sealed").rglob("*.json")), "a sealer had sealed something before it was killed"
    assert Counter() == wrong(tmp_path, acknowledged)
    assert 3000 <= len(acknowledged)
    assert {-9} == set(statuses)


def main() -> None:
    """Say what came of so many kills."""
    kills = int(sys.argv[1])
    with tempfile.TemporaryDirectory() as name:
        acknowledged, rates, statuses = play(Path(name), kills)
        found = dict(wrong(Path(name), acknowledged)) or "nothing"
    sys.stdout.write(
        f"{kills} kills of the filter, {len(statuses)} of the sealer, {len(acknowledged):,} records acknowledged"
        f" ({min(rates):,.0f} to {max(rates):,.0f} a second); wrong: {found}\n"
    )


if __name__ == "__main__":
    main()

"""Real processes: workers start together, hear signals, are started again, and go with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from safeguards_extproc.adapters import workers

pytestmark = pytest.mark.real

HERE = Path(__file__).parent


class Family:
    """A parent process and what its workers said."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process, self._log = process, log

    def said(self) -> list[str]:
        return self._log.read_text().splitlines()

    def ups(self) -> list[int]:
        """Process ids of the workers that came up, in order."""
        return [int(line.split()[2]) for line in self.said() if " up " in line]

    def until(self, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not true():
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.01)

    def ends(self) -> int:
        return self.process.wait(10)


@contextmanager
def family(tmp_path: Path, *how: str, settle_s: float = 0.05, stop_s: float = 10.0) -> Iterator[Family]:
    log = tmp_path / "log"
    log.touch()
    argv = [sys.executable, str(HERE / "parent_program.py"), str(settle_s), str(stop_s), str(log), *how]
    process = subprocess.Popen(argv, env={**os.environ, "PYTHONPATH": str(HERE.parents[1])})
    try:
        yield Family(process, log)
    finally:
        process.kill()
        process.wait()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_each_worker_has_its_index_and_hears_the_parent(tmp_path: Path) -> None:
    """A reload reaches every worker, and SIGTERM ends them all with code 0."""
    with family(tmp_path) as it:
        it.until(lambda: len(it.ups()) == 2)
        it.process.send_signal(signal.SIGHUP)
        it.until(lambda: {"0 SIGHUP", "1 SIGHUP"} <= set(it.said()))
        it.process.terminate()
        assert it.ends() == 0
        assert {"0 SIGTERM", "1 SIGTERM"} <= set(it.said())
        assert not any(alive(pid) for pid in it.ups())


def test_a_worker_that_dies_is_started_again(tmp_path: Path) -> None:
    """The other one goes on meanwhile."""
    with family(tmp_path, "crash:1") as it:
        it.until(lambda: len(it.ups()) == 3)
        assert sorted(line.split()[0] for line in it.said() if " up " in line) == ["0", "1", "1"]
        it.process.terminate()
        assert it.ends() == 0


def test_a_worker_that_cannot_start_ends_all_with_its_code(tmp_path: Path) -> None:
    """A bad configuration is not tried again for ever; whoever started us sees the code."""
    with family(tmp_path, "fail:1", settle_s=10) as it:
        assert it.ends() == 78
        assert not any(alive(pid) for pid in it.ups())


def test_workers_that_do_not_end_are_killed(tmp_path: Path) -> None:
    """The parent's own end has a limit, and its code says that it was needed."""
    with family(tmp_path, "stubborn", stop_s=0.2) as it:
        it.until(lambda: len(it.ups()) == 2)
        it.process.terminate()
        assert it.ends() == 1
        assert not any(alive(pid) for pid in it.ups())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_workers_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    """Nothing is left that holds the ports."""
    with family(tmp_path) as it:
        it.until(lambda: len(it.ups()) == 2)
        it.process.kill()
        it.until(lambda: not any(alive(pid) for pid in it.ups()))


def test_a_process_that_is_no_worker_has_no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor one whose variable says nothing."""
    monkeypatch.delenv(workers.INDEX_VARIABLE, raising=False)
    assert workers.index() is None
    for text, expected in (("", None), ("one", None), ("0", 0), ("12", 12)):
        monkeypatch.setenv(workers.INDEX_VARIABLE, text)
        assert expected == workers.index()

"""Programs that we start end when we do, and say why when they do not start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from safeguards_extproc.local.processes import (
    PartFailed,
    accepts,
    check,
    ended_by_sigterm,
    free_port,
    start,
    stop,
    tail,
    wait,
)

FOREVER = "import time; print('up', flush=True); time.sleep(600)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {DEAF!r}])
print(child.pid, flush=True)
child.wait()
"""


def said(log: Path) -> bool:
    return log.exists() and log.read_text().endswith("\n")


def gone(pid: int, within_s: float = 5.0) -> bool:
    """Whether a process that is not our child is over, soon."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        os.sched_yield()
    return False


def test_a_program_is_waited_for_and_ended(tmp_path: Path) -> None:
    """The usual life: started, ready, asked to end, gone."""
    part = start("p", [sys.executable, "-c", FOREVER], tmp_path / "p.log")
    wait(part, lambda: said(part.log), timeout_s=10)
    assert part.alive
    stop(part)
    assert part.process.returncode == -signal.SIGTERM


def test_a_program_that_will_not_end_is_made_to_with_all_it_started(tmp_path: Path) -> None:
    """Neither a deaf program nor a grandchild outlives the stop."""
    part = start("p", [sys.executable, "-c", PARENT], tmp_path / "p.log")
    wait(part, lambda: part.log.exists() and "up" in part.log.read_text(), timeout_s=10)
    grandchild = int(part.log.read_text().split()[0])
    stop(part, grace_s=0.05)
    assert gone(grandchild)
    assert not part.alive


def test_a_program_that_dies_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    """The person sees which part failed, how, its own last words, and what to do."""
    code = "import sys; [print('line', n) for n in range(50)]; sys.exit('no such model')"
    part = start("triton", [sys.executable, "-c", code], tmp_path / "t.log", hint="install the model")
    with pytest.raises(PartFailed) as caught:
        wait(part, lambda: False, timeout_s=10)
    assert str(caught.value) == "triton: ended with exit code 1 (install the model)"
    assert caught.value.log.endswith("no such model")
    assert len(caught.value.log.splitlines()) == 20
    stop(part)


def test_a_program_that_ends_by_itself_is_found_when_asked(tmp_path: Path) -> None:
    """While a stack is up, a part that goes away is named."""
    alive = start("alive", [sys.executable, "-c", FOREVER], tmp_path / "a.log")
    gone_part = start("gone", [sys.executable, "-c", "raise SystemExit(3)"], tmp_path / "g.log")
    check([alive])
    gone_part.process.wait(timeout=10)
    with pytest.raises(PartFailed, match="gone: ended with exit code 3"):
        check([alive, gone_part])
    stop(alive)


def test_a_program_that_is_never_ready_is_reported(tmp_path: Path) -> None:
    """Waiting has an end."""
    part = start("slow", [sys.executable, "-c", FOREVER], tmp_path / "s.log")
    with pytest.raises(PartFailed, match=r"slow: not ready after 0\.1 s"):
        wait(part, lambda: False, timeout_s=0.1)
    stop(part)


def test_a_program_that_is_not_there_is_reported(tmp_path: Path) -> None:
    """A missing program is a sentence, not a traceback."""
    with pytest.raises(PartFailed, match="nothing: cannot be started: No such file"):
        start("nothing", [str(tmp_path / "nothing")], tmp_path / "n.log")


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends orphans on Linux only")
def test_a_program_does_not_outlive_us_even_if_we_are_killed(tmp_path: Path) -> None:
    """SIGKILL leaves no time to clean up; the kernel ends the program all the same."""
    log = tmp_path / "p.log"
    ours = (
        "import sys, pathlib; from safeguards_extproc.local import processes as p; "
        f"part = p.start('p', [sys.executable, '-c', {FOREVER!r}], pathlib.Path({str(log)!r})); "
        f"p.wait(part, lambda: 'up' in pathlib.Path({str(log)!r}).read_text(), timeout_s=10); "
        "print(part.process.pid, flush=True); part.process.wait()"
    )
    with subprocess.Popen([sys.executable, "-c", ours], stdout=subprocess.PIPE, text=True) as us:
        assert us.stdout is not None
        child = int(us.stdout.readline())
        us.kill()
    assert gone(child)


def test_sigterm_unwinds_like_ctrl_c() -> None:
    """A container runtime's SIGTERM runs the same cleaning up as a person's Ctrl-C."""
    with pytest.raises(SystemExit) as caught, ended_by_sigterm():
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_places_to_listen(tmp_path: Path) -> None:
    """A free port is a port; a socket that nobody has is one that nobody answers."""
    assert 1024 <= free_port() <= 65535
    assert not accepts(tmp_path / "none.sock")
    assert tail(tmp_path / "none.log") == ""

"""Programs that we start: each has a log, a name, and an end. None outlives us, however we end."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from safeguards_extproc.errors import SafeguardsError

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_POLL_S = 0.05


class PartFailed(SafeguardsError):
    """A program did not start or died. Says which, why, the end of its log, and what to do."""

    code = "part-failed"

    def __init__(self, part: str, why: str, *, log: str = "", hint: str = "") -> None:
        self.part, self.why, self.log, self.hint = part, why, log, hint
        super().__init__(f"{part}: {why}" + (f" ({hint})" if hint else ""))


@dataclass(frozen=True, slots=True)
class Part:
    """A running program. It leads its own session, so a Ctrl-C reaches only us and we end it in our order."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    hint: str = ""

    @property
    def alive(self) -> bool:
        return self.process.poll() is None


def start(name: str, argv: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None, hint: str = "") -> Part:
    """Start a program with its output in `log`. `env` is added to ours. Call it from the main thread: on Linux the
    program gets SIGTERM when the thread that started it ends, even by SIGKILL."""
    parent = os.getpid()
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def before_exec() -> None:
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:
                os._exit(1)

    try:
        with log.open("wb") as output:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                start_new_session=True,
                preexec_fn=before_exec,
            )
    except OSError as error:
        raise PartFailed(name, f"cannot be started: {error.strerror}", hint=hint) from error
    return Part(name, process, log, hint)


def wait(part: Part, ready: Callable[[], bool], *, timeout_s: float) -> None:
    """Wait until `ready()`; PartFailed if the program ends first or takes longer than `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not ready():
        try:
            part.process.wait(timeout=_POLL_S)
        except subprocess.TimeoutExpired:
            if time.monotonic() < deadline:
                continue
            raise PartFailed(
                part.name, f"not ready after {timeout_s:g} s", log=tail(part.log), hint=part.hint
            ) from None
        raise _ended(part)


def check(parts: Iterable[Part]) -> None:
    """PartFailed for the first of `parts` that runs no more."""
    for part in parts:
        if not part.alive:
            raise _ended(part)


def stop(part: Part, *, grace_s: float = 5.0) -> None:
    """Ask the program to end, then make it and everything it started."""
    try:
        if part.alive:
            part.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                part.process.wait(timeout=grace_s)
    finally:  # also where a second Ctrl-C cuts the grace short
        with contextlib.suppress(ProcessLookupError):
            os.killpg(part.process.pid, signal.SIGKILL)
        part.process.wait()


@contextlib.contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Within it SIGTERM unwinds the stack like Ctrl-C does, so that everything started is stopped."""

    def leave(number: int, _frame: object) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def free_port() -> int:
    """A loopback port that was free a moment ago, for programs that cannot choose one and say which."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def accepts(path: Path) -> bool:
    """Whether somebody takes connections at a unix socket."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def _ended(part: Part) -> PartFailed:
    why = f"ended with exit code {part.process.returncode}"
    return PartFailed(part.name, why, log=tail(part.log), hint=part.hint)


def tail(log: Path, lines: int = 20) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""

"""A real Redis for tests: redis-server from PATH, on a UNIX socket in a folder of its own or on ports of a cluster."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

PATIENCE_S = 30
STOP, CONTINUE, KILL = signal.SIGSTOP, signal.SIGCONT, signal.SIGKILL


def needed() -> None:
    """Skip where there is no redis-server."""
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server on PATH (Debian: apt install redis-server)")


def until(what: str, holds: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Ask `holds` until it says so."""
    end = time.monotonic() + patience_s
    while True:
        with contextlib.suppress(RedisError, OSError):
            if holds():
                return
        assert time.monotonic() < end, f"{what}: not within {patience_s} s"
        time.sleep(0.02)


async def soon(holds: Callable[[], object], wanted: object = True) -> None:
    """Ask `holds`, a function or a coroutine's, until it says what is wanted."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            said = holds()
            if wanted == (await said if inspect.isawaitable(said) else said):
                return
            await asyncio.sleep(0.02)


def free_port() -> int:
    """A port that nobody listens on, nor on the one that a cluster's node adds for its bus."""
    while True:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port: int = one.getsockname()[1]
            if port < 55_000:
                with contextlib.suppress(OSError):
                    other.bind(("127.0.0.1", port + 10_000))
                    return port


@dataclass
class Server:
    """A redis-server that runs; `url` is its address."""

    folder: Path
    argv: list[str]
    url: str
    process: subprocess.Popen[bytes]

    def client(self) -> Redis:
        """A client for the test's own questions."""
        return Redis.from_url(self.url, socket_timeout=20)

    def again(self) -> None:
        """Start it once more, empty."""
        self.process = subprocess.Popen(self.argv, stdout=subprocess.DEVNULL, cwd=self.folder)
        self.ready()

    def ready(self) -> None:
        """Wait until it answers."""
        with self.client() as client:
            until("redis-server", client.ping)

    def signal(self, number: int) -> None:
        """Send it a signal; after SIGKILL wait until it is gone."""
        self.process.send_signal(number)
        if number == KILL:
            self.process.wait()


@contextlib.contextmanager
def running(folder: Path, *options: str, port: int = 0, ask: bool = True) -> Iterator[Server]:
    """A server that keeps nothing on disk, ended and awaited when the test is over; it answers already if `ask`."""
    needed()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "socket"
    argv = ["redis-server", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(folder)]
    argv += ["--unixsocket", str(path), *options]
    url = f"redis://127.0.0.1:{port}" if port else f"unix://{path}"
    server = Server(folder, argv, url, subprocess.Popen(argv, stdout=subprocess.DEVNULL, cwd=folder))
    try:
        if ask:
            server.ready()
        yield server
    finally:
        server.process.send_signal(signal.SIGCONT)
        server.process.kill()
        server.process.wait()

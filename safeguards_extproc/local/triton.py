"""A real Triton from the wheel of nvidia-pytriton: its server and Python backend, on loopback, without its wrapper.

The wheel spreads over its folders what the server wants in one: the backend library, its utilities and the stub that
runs models in a given Python version. `start` puts links to them in a folder. The stub is linked against the shared
libpython of its version, which not every Python brings: `available` finds out and says what to install.
"""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from zlib import crc32

from safeguards_extproc.local import processes
from safeguards_extproc.local.envoy import get
from safeguards_extproc.local.processes import Part, PartFailed

_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
_LIBPYTHON = f"libpython{_VERSION}.so.1.0"
_STUB = "triton_python_backend_stub"
_HINT = 'it comes with `pip install "safeguards-extproc[local,train]"` (Linux on x86-64)'
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Triton:
    """A running Triton: host:port of each of its servers."""

    part: Part
    grpc: str
    http: str
    metrics: str

    @property
    def pid(self) -> int:
        return self.part.process.pid

    @property
    def log(self) -> Path:
        return self.part.log

    def ready(self) -> bool:
        """Whether it is up and every model can answer."""
        return get(self.http, "/v2/health/ready")[0] == 200

    def stop(self) -> None:
        """Ask it to end, then make it; what it left in shared memory goes too. May be called again."""
        processes.stop(self.part, grace_s=15.0)
        shared = Path("/dev/shm")  # noqa: S108 (where the Python backend keeps its regions)
        for left in shared.glob(f"{_region(self.log.parent)}*"):
            left.unlink(missing_ok=True)


def available() -> str:
    """ "" if Triton can be started here, or why not and what to install."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return "the wheel of Triton is for Linux on x86-64 only"
    wheel = _wheel()
    if wheel is None:
        return f"Triton is not installed: {_HINT}"
    if not (wheel / "python_backend_stubs" / _VERSION / _STUB).exists():
        known = sorted(path.name for path in (wheel / "python_backend_stubs").iterdir())
        return f"this Triton has no stub for Python {_VERSION}, only for {', '.join(known)}"
    if find_spec("torch") is None:
        return 'torch is not installed, which the models need: `pip install "safeguards-extproc[train]"`'
    if _libpython() is None:
        return f"{_LIBPYTHON} is missing: install it (Debian, Ubuntu: `apt install libpython{_VERSION}`)"
    return ""


def start(repository: Path, folder: Path, *, only: Sequence[str] | None = None, timeout_s: float = 90.0) -> Triton:
    """Serve the models of `repository`, all or `only` some; returns once they are ready.

    `folder` must exist; it gets the backend's folder and the log. PartFailed (with the log's end) if Triton cannot
    run here or does not come up in time.
    """
    why = available()
    if why:
        raise PartFailed("triton", why)
    for attempt in range(1, _TRIES + 1):
        triton = _launch(repository, folder, only)
        try:
            processes.wait(triton.part, triton.ready, timeout_s=timeout_s)
        except PartFailed as failed:
            triton.stop()
            if attempt == _TRIES or "already in use" not in failed.log:  # another program was faster to take a port
                raise
        except BaseException:
            triton.stop()
            raise
        else:
            break
    return triton


def program(folder: Path) -> tuple[list[str], dict[str, str]]:
    """How the server is started, without a word of what it serves: arguments, and environment beside ours.

    `folder` must exist; it gets the backend's folder. Call it only where the server is `available`.
    """
    wheel, libpython = _wheel(), _libpython()
    assert wheel is not None
    assert libpython is not None
    here = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    libraries = [wheel.parents[1] / "nvidia_pytriton.libs", libpython.parent]
    env = {
        "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries)),
        "PYTHONPATH": os.pathsep.join(here),
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
    }
    return [str(wheel / "bin" / "tritonserver"), f"--backend-directory={_backends(wheel, folder)}"], env


def among(repository: Path, names: Collection[str]) -> list[str]:
    """Those of `names` that the repository has: what to start where the others would only take time and memory."""
    return sorted(each.name for each in repository.iterdir() if each.name in names)


def _launch(repository: Path, folder: Path, only: Sequence[str] | None) -> Triton:
    http, grpc, metrics = _free_ports(3)
    begin, env = program(folder)
    argv = [
        *begin,
        f"--model-repository={repository.resolve()}",
        f"--model-control-mode={'none' if only is None else 'explicit'}",
        *(f"--load-model={name}" for name in only or ()),
        f"--backend-config=python,shm-region-prefix-name={_region(folder)}",
        "--exit-timeout-secs=10",
        "--disable-auto-complete-config",
        "--allow-gpu-metrics=false",
        *(f"--{name}-address=127.0.0.1" for name in ("http", "grpc", "metrics")),
        f"--http-port={http}",
        f"--grpc-port={grpc}",
        f"--metrics-port={metrics}",
    ]
    part = processes.start("triton", argv, folder / "triton.log", env=env, hint="see its log")
    return Triton(part, f"127.0.0.1:{grpc}", f"127.0.0.1:{http}", f"127.0.0.1:{metrics}")


def _backends(wheel: Path, folder: Path) -> Path:
    """A folder of backends with the Python one, its stub for this version of Python included."""
    python = folder / "backends" / "python"
    python.mkdir(parents=True, exist_ok=True)
    source = wheel / "backends" / "python"
    parts = [source / "libtriton_python.so", source / "triton_python_backend_utils.py"]
    for part in [*parts, wheel / "python_backend_stubs" / _VERSION / _STUB]:
        link = python / part.name
        link.unlink(missing_ok=True)
        link.symlink_to(part)
    return python.parent


def _wheel() -> Path | None:
    spec = find_spec("pytriton")
    folder = Path(next(iter(spec.submodule_search_locations))) if spec and spec.submodule_search_locations else None
    found = folder / "tritonserver" if folder else None
    return found if found and (found / "bin" / "tritonserver").exists() else None


def _libpython() -> Path | None:
    """The shared library of this version of Python: this Python's own, or the system's."""
    return next((path for path in _candidates() if path.exists()), None)


def _candidates() -> Iterator[Path]:
    for folder in (sysconfig.get_config_var("LIBDIR"), Path(sys.base_prefix, "lib")):
        if folder:
            yield Path(folder, _LIBPYTHON)
    listed = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=False).stdout
    for line in listed.splitlines():
        name, _, path = line.strip().partition(" => ")
        if path and name.split()[0] == _LIBPYTHON:
            yield Path(path)


def _free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody had a moment ago, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _region(folder: Path) -> str:
    """The prefix of its names in shared memory: one Triton's are not another's."""
    return f"safeguards_{os.getpid()}_{crc32(str(folder.resolve()).encode()):x}_"

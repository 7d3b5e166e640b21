"""One container: its program in the pod's namespaces, its environment, its probes' questions and its hooks.

The one rule: what the manifest says goes to the program as it stands; where there is no namespace for it, paths and
addresses are put in their place.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from safeguards_extproc.local import processes
from safeguards_extproc.local.processes import Part
from tests.platform.network import Host

ROOT = Path(__file__).parents[2]
INSIDE = Path(__file__).with_name("inside.py")
NOBODY = 65534

ANY = re.compile(r"(?:0\.0\.0\.0|\[::\])(?=:\d)|(?<==)(?=:\d)")
"""How a program is told to listen on every address."""


IMAGE = ("PATH", "PYTHONPATH", "HOME")
"""Variables that come from the image, not from the manifest."""


@dataclass(frozen=True, slots=True)
class Place:
    """What containers of a pod share. `names` finds the addresses of Services where there is no DNS for the pod."""

    pod: str
    host: Host
    folder: Path
    files: Mapping[str, str]
    security: Mapping[str, Any]
    names: Mapping[str, str]
    programs: Path


@dataclass(frozen=True, slots=True)
class Mounted:
    """A volume at a path."""

    at: str
    source: Path
    read_only: bool


@dataclass(slots=True)
class Container:
    """A container of a running pod; `restarts` counts as the kubelet does."""

    spec: Mapping[str, Any]
    place: Place
    entrypoint: Sequence[str]
    env: dict[str, str]
    mounts: Sequence[Mounted]
    restarts: int = 0
    logs: list[Path] = field(default_factory=list)
    part: Part | None = None

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def pid(self) -> int:
        assert self.part is not None
        return self.part.process.pid

    @property
    def code(self) -> int | None:
        """The exit status; None while it runs."""
        return None if self.part is None else self.part.process.poll()

    def start(self) -> None:
        argv = [*(self.spec.get("command") or self.entrypoint), *self.spec.get("args", [])]
        argv = [self._expanded(word) for word in argv]
        log = self.place.folder / f"{self.name}.{len(self.logs)}.log"
        self.logs.append(log)
        name = f"{self.place.pod}/{self.name}"
        if self.place.host.within:
            within = [*self.place.host.within, "unshare", "--mount", "--uts", sys.executable, str(INSIDE)]
            self.part = processes.start(name, [*within, str(self._inside(argv))], log)
        else:
            self.part = processes.start(name, [self._here(word) for word in argv], log, env=self._env_here())

    def run(self, seconds: float) -> int:
        """Start it and wait for its end: its exit status."""
        self.start()
        assert self.part is not None
        return self.part.process.wait(seconds)

    def signal(self, number: int) -> None:
        """To its first process, as the kubelet and the runtime do."""
        if self.part is not None and self.code is None:
            self.part.process.send_signal(number)

    def kill(self) -> None:
        """It and all that it started."""
        if self.part is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self.part.process.wait()

    def said(self) -> str:
        """What it wrote."""
        return "".join(log.read_text(errors="replace") for log in self.logs)

    def asks(self, probe: Mapping[str, Any]) -> bool:
        """Whether the answer to a probe is yes."""
        seconds = float(probe.get("timeoutSeconds", 1))
        match probe:
            case {"grpc": {"port": port, **rest}}:
                return self._asks_grpc(self._port(port), str(rest.get("service", "")), seconds)
            case {"httpGet": {"port": port, **rest}}:
                return self._asks_http(self._port(port), str(rest.get("path", "/")), seconds)
            case {"tcpSocket": {"port": port}}:
                with suppress(OSError), socket.create_connection((self.place.host.address, self._port(port)), seconds):
                    return True
                return False
            case {"exec": {"command": command}}:
                return self._exec(command, seconds) == 0
            case _:
                raise ValueError(f"a probe of an unknown kind: {sorted(probe)}")

    def before_stop(self, deadline: float) -> None:
        """Its preStop hook, for as long as there is grace."""
        match (self.spec.get("lifecycle") or {}).get("preStop"):
            case None:
                return
            case {"sleep": {"seconds": seconds}}:
                time.sleep(min(float(seconds), max(0.0, deadline - time.monotonic())))
            case {"exec": {"command": command}}:
                self._exec(command, max(0.0, deadline - time.monotonic()))
            case other:
                raise ValueError(f"a hook of an unknown kind: {sorted(other)}")

    def _exec(self, command: Sequence[str], seconds: float) -> int | None:
        argv, env = list(command), self.env
        if self.place.host.within:
            argv = ["nsenter", f"--target={self.pid}", "--mount", "--net", "--root", "--wd", "--", *argv]
        else:
            argv, env = [self._here(word) for word in argv], self._env_here()
        try:
            return subprocess.run(argv, timeout=seconds, capture_output=True, check=False, env=env).returncode
        except subprocess.TimeoutExpired:
            return None

    def _asks_grpc(self, port: int, service: str, seconds: float) -> bool:
        with grpc.insecure_channel(f"{self.place.host.address}:{port}") as channel:
            try:
                request = health_pb2.HealthCheckRequest(service=service)
                reply = health_pb2_grpc.HealthStub(channel).Check(request, timeout=seconds)
            except grpc.RpcError:
                return False
            return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

    def _asks_http(self, port: int, path: str, seconds: float) -> bool:
        connection = http.client.HTTPConnection(self.place.host.address, port, timeout=seconds)
        try:
            connection.request("GET", path)
            return 200 <= connection.getresponse().status < 400
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _port(self, port: int | str) -> int:
        return port if isinstance(port, int) else self.ports[port]

    @property
    def ports(self) -> dict[str, int]:
        """By name."""
        return {row.get("name", ""): row["containerPort"] for row in self.spec.get("ports", [])}

    def _expanded(self, text: str) -> str:
        """$(NAME) is the variable's value; one that is not known stays as it is, and $$ is a $."""

        def value(found: re.Match[str]) -> str:
            if found[0] == "$$":
                return "$"
            return self.env.get(found[1], found[0])

        return re.sub(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_]*)\)", value, text)

    def _inside(self, argv: Sequence[str]) -> Path:
        """The specification that inside.py reads."""
        security = {**self.place.security, **(self.spec.get("securityContext") or {})}
        user = int(security.get("runAsUser", NOBODY if security.get("runAsNonRoot") else 0))
        group = int(security.get("runAsGroup", user))
        assert user or not security.get("runAsNonRoot"), f"{self.name} may not run as root"
        folder = self.place.folder / f"{self.name}.root"
        folder.mkdir(exist_ok=True)
        kept = dict.fromkeys(
            str(Path(each).resolve()) for each in (sys.prefix, sys.base_prefix, ROOT, self.place.programs)
        )
        spec = {
            "folder": str(folder),
            "argv": list(argv),
            "env": self.env,
            "directory": self.spec.get("workingDir", "/"),
            "hostname": self.place.pod,
            "files": dict(self.place.files),
            "volumes": [{"at": row.at, "source": str(row.source), "read_only": row.read_only} for row in self.mounts],
            "kept": list(kept),
            "read_only": bool(security.get("readOnlyRootFilesystem")),
            "no_capabilities": "ALL" in ((security.get("capabilities") or {}).get("drop") or []),
            "no_new_privileges": security.get("allowPrivilegeEscalation") is False,
            "user": user,
            "group": group,
            "groups": [int(security["fsGroup"])] if "fsGroup" in security else [],
        }
        path = self.place.folder / f"{self.name}.json"
        path.write_text(json.dumps(spec))
        return path

    def _env_here(self) -> dict[str, str]:
        return {key: text if key in IMAGE else self._here(text) for key, text in self.env.items()}

    def _here(self, text: str) -> str:
        """The same on this machine's own paths and addresses."""
        sources = {row.at: str(row.source) for row in sorted(self.mounts, key=lambda row: -len(row.at))}
        if sources:
            paths = "|".join(map(re.escape, sources))
            text = re.sub(rf"(?<![\w/])({paths})(?=[/ ]|$)", lambda found: sources[found[1]], text)
        for name, address in self.place.names.items():
            text = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w-])(?:\.svc(?:\.cluster\.local)?)?", address, text)
        return ANY.sub(self.place.host.address, text)

"""Containers of rendered pods as processes of this machine: their arguments, their mounts, what their probes ask."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.helm.matrix import pods
from tests.helm.program import Manifest

Container = dict[str, Any]


def free_ports(*names: str) -> dict[str, int]:
    """Ports that nobody uses, by name."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in names]
    ports = {name: each.getsockname()[1] for name, each in zip(names, sockets, strict=True)}
    for each in sockets:
        each.close()
    return ports


def container(manifests: list[Manifest], name: str) -> Container:
    """The container of that name in whatever pod."""
    (found,) = (
        each
        for spec in pods(manifests).values()
        for each in (*spec.get("initContainers", ()), *spec["containers"])
        if each["name"] == name and "image" in each
    )
    return dict(found)


def command(container: Container, folder: Path, names: Mapping[str, str] | None = None) -> list[str]:
    """What starts it here: each volume is a folder of its own name under `folder`, and `names` stand for host names."""
    here = {each["mountPath"]: folder / each["name"] for each in container["volumeMounts"]}
    for path in here.values():
        path.mkdir(parents=True, exist_ok=True)
    mounts = re.compile(f"({'|'.join(sorted(map(re.escape, here), key=len, reverse=True)) or '(?!)'})(?=/|$)")
    words = [*container.get("command", (sys.executable, "-m", "safeguards_extproc")), *container.get("args", ())]
    for name, place in (names or {}).items():
        words = [word.replace(name, place) for word in words]
    return [words[0], *(mounts.sub(lambda found: str(here[found[1]]), word) for word in words[1:])]


@contextmanager
def running(
    container: Container, folder: Path, names: Mapping[str, str] | None = None, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """The container as a process, until the end of the block."""
    argv = command(container, folder, names)
    if shutil.which(argv[0]) is None:
        pytest.skip(f"no {argv[0]} on PATH")
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})})
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def mount(manifests: list[Manifest], folder: Path) -> None:
    """Lay the files of the policy's ConfigMap where the containers' volume of it is."""
    (data,) = (each["data"] for each in manifests if each["kind"] == "ConfigMap" and "policy.yaml" in each["data"])
    (folder / "policy").mkdir(exist_ok=True)
    for name, text in data.items():
        (folder / "policy" / name).write_text(text)


def ask(channel: grpc.Channel, service: str) -> int | None:
    """What the health service says of `service`; None if it does not answer."""
    try:
        reply = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service), timeout=1)
    except grpc.RpcError:
        return None
    return int(reply.status)


def probe(container: Container, kind: str) -> int | None:
    """Ask what a probe of the container asks."""
    asked = container[kind]["grpc"]
    with grpc.insecure_channel(f"127.0.0.1:{asked['port']}") as channel:
        return ask(channel, asked["service"])


def wait_for(expected: int, container: Container, kind: str, seconds: float = 30) -> None:
    """Probe until the answer is the expected one; fails when it takes too long."""
    until = time.monotonic() + seconds
    while (found := probe(container, kind)) != expected:
        assert time.monotonic() < until, f"{kind} says {found}"
        time.sleep(0.05)

"""The process that the chart describes, started as the kubelet would: its arguments, files, probes and end."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.helm.certificates import write
from tests.helm.program import Helm, Manifest, Values, only

pytestmark = pytest.mark.real

HOST = "guard-safeguards-extproc.mesh.svc"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def free_ports() -> Values:
    """Ports that nobody uses, for values."""
    names = ("extproc", "health", "metrics")
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in names]
    ports = {name: each.getsockname()[1] for name, each in zip(names, sockets, strict=True)}
    for each in sockets:
        each.close()
    return {"ports": ports, "drain": {"preStopSeconds": 0, "delaySeconds": 2, "limitSeconds": 5}}


@contextmanager
def running(manifests: list[Manifest], folder: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """The Deployment's container as a process of this machine, with its mounts under `folder`; and its manifest."""
    (container,) = only(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    here = {each["mountPath"]: folder / each["name"] for each in container["volumeMounts"]}
    for path in here.values():
        path.mkdir(exist_ok=True)
    for name, text in only(manifests, "ConfigMap")["data"].items():
        (here["/etc/safeguards"] / name).write_text(text)
    mounts = re.compile(f"=({'|'.join(here)})/")
    args = [mounts.sub(lambda found: f"={here[found[1]]}/", each) for each in container["args"]]
    command = [sys.executable, "-m", "safeguards_extproc", *args]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        yield process, container
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def ask(channel: grpc.Channel, service: str) -> int | None:
    """What the health service says of `service`; None if it does not answer."""
    try:
        reply = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service), timeout=1)
    except grpc.RpcError:
        return None
    return int(reply.status)


def probe(container: dict[str, Any], kind: str) -> int | None:
    """Ask what a probe of the container asks."""
    asked = container[kind]["grpc"]
    with grpc.insecure_channel(f"127.0.0.1:{asked['port']}") as channel:
        return ask(channel, asked["service"])


def wait_for(expected: int, container: dict[str, Any], kind: str, seconds: float = 30) -> None:
    """Probe until the answer is the expected one; fails when it takes too long."""
    until = time.monotonic() + seconds
    while (found := probe(container, kind)) != expected:
        assert time.monotonic() < until, f"{kind} says {found}"
        time.sleep(0.05)


def test_starts_serves_and_drains(helm: Helm, tmp_path: Path) -> None:
    """Started with the chart's words the filter becomes ready, shows its metrics, drains alive, and ends well."""
    values = free_ports()
    with running(helm.render(values), tmp_path) as (process, container):
        wait_for(SERVING, container, "startupProbe")
        assert probe(container, "livenessProbe") == SERVING
        with urllib.request.urlopen(f"http://127.0.0.1:{values['ports']['metrics']}/metrics", timeout=5) as reply:
            assert "safeguards_build_info" in reply.read().decode()
        process.send_signal(signal.SIGTERM)
        wait_for(NOT_SERVING, container, "readinessProbe", seconds=2)
        assert probe(container, "livenessProbe") == SERVING
        assert process.wait(timeout=15) == 0


def test_speaks_mutual_tls(helm: Helm, tmp_path: Path) -> None:
    """With a Secret, Envoy's port takes a client with a certificate of the authority, and none without."""
    write(tmp_path / "tls", HOST)
    values = free_ports()
    with running(helm.render(values | {"tls": {"secretName": "x", "mutual": True}}), tmp_path) as (_, container):
        wait_for(SERVING, container, "readinessProbe")
        authority, chain, key = ((tmp_path / "tls" / name).read_bytes() for name in ("ca.crt", "tls.crt", "tls.key"))
        known = grpc.ssl_channel_credentials(authority, key, chain)
        unknown = grpc.ssl_channel_credentials(authority)
        answers = []
        for credentials in (known, unknown):
            target, name = f"127.0.0.1:{values['ports']['extproc']}", [("grpc.ssl_target_name_override", HOST)]
            with grpc.secure_channel(target, credentials, name) as channel:
                answers.append(ask(channel, "envoy.service.ext_proc.v3.ExternalProcessor"))
        assert answers == [SERVING, None]


def test_refuses_a_policy_that_does_not_load(helm: Helm, tmp_path: Path) -> None:
    """A pod with a broken policy never becomes ready, and says where the mistake is."""
    with running(helm.render(free_ports() | {"policy": "version: 1\nnam: x\n"}), tmp_path) as (process, _):
        assert process.wait(timeout=30) == 2
        assert process.stderr is not None
        assert "policy.yaml:2" in process.stderr.read()

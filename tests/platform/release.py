"""The chart with all its parts as one release on this machine: filters with mutual TLS, Triton, Redis, a small disk.

The one rule: a fault takes away through `undo` only, so whatever happens it is given back.
"""

from __future__ import annotations

import base64
import os
import socket
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from safeguards_extproc.attach.options import Tls
from safeguards_extproc.local import processes, triton
from tests.helm.certificates import Authority
from tests.helm.program import Helm
from tests.platform import scene as stage
from tests.platform import volumes
from tests.platform.cluster import PATIENCE_S, Cluster, Manifest, cluster, waits
from tests.platform.container import ROOT
from tests.platform.network import network
from tests.platform.pods import Pod
from tests.platform.scene import POLICY, SERVICE, Scene

TRITON, REDIS = f"{SERVICE}-triton", f"{SERVICE}-redis"
CLAIM, SECRET = "small", "mesh-tls"
HOURS = 24 * 90
DISK = 24 << 20
"""Bytes of the disk for records."""

WHOLE_POLICY: dict[str, Any] = POLICY | {
    "limits": [{"name": "requests", "per": ["model"], "rate": "100000/1m", "burst": 100_000}],
    "detectors": POLICY["detectors"]
    | {
        "screen": {
            "kind": "classification",
            "model": "screen",
            "labels": ["attack"],
            "budget_ms": 1_500,
            "on_failure": "block",
        }
    },
    "rules": [
        *POLICY["rules"],
        {"name": "attack", "when": "scores.screen.attack >= 0.999", "on": "request", "then": "block"},
    ],
}


class Parts(StrEnum):
    """What there is beside the filters."""

    NONE = "none"
    ONE = "one"
    """One Triton, and the chart's own Redis."""
    TWO = "two"
    """Two Tritons, and a Redis cluster of three masters with a replica each."""


def values(parts: Parts, urls: Sequence[str] = ()) -> dict[str, Any]:
    """The chart with drains for answers of a few seconds; `urls` are those of a Redis that is not the chart's."""
    models = {"claim": "models", "digests": digests(), "load": ["screen"]}
    tritons = {"enabled": True, "replicas": 2 if parts is Parts.TWO else 1, "models": models}
    redis = {"urls": list(urls)} if urls else {"bundled": {"enabled": True}}
    return stage.values(
        WHOLE_POLICY if parts is not Parts.NONE else POLICY,
        **({"triton": tritons, "redis": redis} if parts is not Parts.NONE else {}),
        drain={"preStopSeconds": 1, "delaySeconds": 1, "limitSeconds": 5},
        tls={"secretName": SECRET, "mutual": True},
        records={"onFailure": "refuse", "persistence": {"enabled": True, "existingClaim": CLAIM}},
    )


def digests() -> str:
    """What `sha256sum` says of the models' files."""
    folder = ROOT / "triton_models"
    names = sorted(
        str(path.relative_to(folder))
        for path in (folder / "screen").rglob("*")
        if "__pycache__" not in path.parts and path.is_file()
    )
    return subprocess.run(["sha256sum", *names], cwd=folder, capture_output=True, text=True, check=True).stdout


@dataclass(slots=True)
class Whole:
    """The release; `watch` is the Prometheus of the fault that lasts."""

    made: Scene
    isolated: bool
    disk: bool
    authority: Authority
    masters: Sequence[processes.Part] = ()
    undo: ExitStack = field(default_factory=ExitStack)

    @property
    def filters(self) -> list[Pod]:
        return self.made.cluster.of(SERVICE)

    @property
    def triton(self) -> Pod:
        return self.made.cluster.of(TRITON)[0]

    @property
    def redis(self) -> Pod:
        return self.made.cluster.of(REDIS)[0]

    def metric(self, name: str, **labels: str) -> float:
        """The sum over all filters."""
        return sum(self.made.metric(pod, name, **labels) for pod in self.filters)

    def certify(self, hours: float = HOURS) -> None:
        """Give filters and Envoys pairs of keys that hold for so long, as cert-manager does."""
        host = f"{SERVICE}.{self.made.cluster.namespace}.svc"
        self.made.cluster.change([secret(self.authority.pair(host, hours))])
        for name in (*self.made.edges, "envoy"):
            lay(self.made.folder / name, self.authority.pair("envoy", HOURS))

    def served(self) -> set[bytes]:
        """The certificates that filters show."""
        return {certificate(pod.address, self.made.folder / "envoy" / "tls") for pod in self.filters}


def secret(files: dict[str, bytes]) -> Manifest:
    data = {name: base64.b64encode(text).decode() for name, text in files.items()}
    return {"kind": "Secret", "metadata": {"name": SECRET}, "data": data}


def lay(folder: Path, files: dict[str, bytes]) -> None:
    """Put an Envoy's pair where it looks for it; one that runs takes it, because the folder's link changes."""
    folder.mkdir(exist_ok=True)
    volumes.write(folder / "tls", {name: (text, 0o644) for name, text in files.items()}, -1)


def certificate(address: str, own: Path) -> bytes:
    """What is shown at a filter's port, whether it still holds or not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(own / "tls.crt", own / "tls.key")
    with socket.create_connection((address, 9002), PATIENCE_S) as plain, context.wrap_socket(plain) as connection:
        return connection.getpeercert(binary_form=True) or b""


@contextmanager
def whole(folder: Path, helm: Helm, parts: Parts, *, loopback: bool = False) -> Iterator[Whole]:
    """The release, up, and Envoy before it."""
    with (
        ExitStack() as ends,
        network(loopback=loopback) as net,
        cluster(net, folder, ttl_s=1.0) as pods,
        stage.scene(pods, folder) as made,
    ):
        made.refresh_s = 1.0
        if parts is not Parts.NONE:
            tritonserver(pods)
        urls, masters = redis_cluster(made) if parts is Parts.TWO else ([], [])
        disk = small_disk(pods.claims / CLAIM, ends)
        one = Whole(made, net.isolated, disk, Authority(), masters)
        one.certify()
        stage.installed(made, ordered(helm.render(values(parts, urls))))
        made.attach(tls=Tls.MUTUAL)
        waits(made.knows_all, "Envoy sends to every pod")
        yield one


def tritonserver(pods: Cluster) -> None:
    """What an image of Triton would hold; and a claim with the models."""
    begin, env = triton.program(pods.programs)
    words = " ".join(f"{key}='{text}'" for key, text in env.items())
    shared = f"--backend-config=python,shm-region-prefix-name=sg{os.getpid()}"
    pods.program("tritonserver", f'exec env {words} {" ".join(begin)} {shared} "$@"')
    (pods.claims / "models").symlink_to(ROOT / "triton_models")


def redis_cluster(made: Scene) -> tuple[list[str], list[processes.Part]]:
    """A partner's Redis: the URLs of its nodes, and its masters."""
    host, first = made.cluster.host(), 7000
    options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-replica-validity-factor", "0"]
    options += ["--save", "", "--appendonly", "no", "--protected-mode", "no", "--bind", host.address]
    nodes = []
    for port in range(first, first + 6):
        folder = made.folder / f"redis-{port}"
        folder.mkdir()
        argv = ["redis-server", "--port", str(port), "--dir", str(folder), *options]
        nodes.append(made.start(f"redis {port}", host, argv))
    places = [f"{host.address}:{first + number}" for number in range(6)]
    cli = ["redis-cli", "-h", host.address, "-p"]
    for number in range(6):
        waits(lambda port=str(first + number): _says([*cli, port, "ping"]) == "PONG", "Redis answers")  # type: ignore[misc]
    made_of = ["redis-cli", "--cluster", "create", *places, "--cluster-replicas", "1", "--cluster-yes"]
    subprocess.run(made_of, check=True, capture_output=True, timeout=60)
    for number in range(6):
        known = [*cli, str(first + number), "cluster", "info"]
        waits(lambda known=known: "cluster_state:ok" in _says(known), "the cluster is whole")  # type: ignore[misc]
    masters = [
        node
        for number, node in enumerate(nodes)
        if "role:master" in _says([*cli, str(first + number), "info", "replication"])
    ]
    return [f"redis://{place}" for place in places], masters


def _says(argv: Sequence[str]) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=10).stdout.strip()


def ordered(manifests: Sequence[Manifest]) -> list[Manifest]:
    """Filters last: they become ready once there is a Triton to ask."""
    return sorted(manifests, key=lambda each: each["metadata"]["name"] == SERVICE)


def small_disk(folder: Path, ends: ExitStack) -> bool:
    """Mount one there; False, and an empty folder, where that is not allowed."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", str(folder)], capture_output=True, check=False
    )
    if done.returncode == 0:
        ends.callback(subprocess.run, ["umount", "--lazy", str(folder)], check=False)
    return done.returncode == 0

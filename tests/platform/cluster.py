"""A cluster of one machine: takes rendered manifests, and does with Deployments and Services what controllers do.

What is not here: scheduling, limits of memory and processor, NetworkPolicy, defaulting and admission. A Service's
name leads to its pods' own addresses, as a headless one's does.

The one rule: nothing of a manifest that is run is changed; what the runner does not know fails, rather than being
left out.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.platform.container import ROOT, Container, Mounted, Place
from tests.platform.names import TTL_S, Names
from tests.platform.network import Host, Network
from tests.platform.pods import Pod

PATIENCE_S = 90.0
TICK_S = 0.05

Manifest = Mapping[str, Any]

ENTRYPOINTS = {
    "safeguards-extproc": ["safeguards-extproc"],
    "triton": [],
    "redis": [],
}
"""What an image starts with where the manifest names no command, by a word of the image's name."""

DNS = 53
"""The port that a resolver asks, whatever else it is told."""

RUNS_PODS = ("Deployment", "StatefulSet")


def entrypoint(image: str) -> Sequence[str]:
    """The program of an image; KeyError for one that nobody knows here."""
    for word, argv in ENTRYPOINTS.items():
        if word in image.rpartition("/")[2]:
            return argv
    raise KeyError(f"no program for the image {image}")


class Cluster:
    """Pods of applied manifests. `namespace` is the release's."""

    def __init__(self, network: Network, folder: Path, namespace: str = "mesh", *, ttl_s: float = TTL_S) -> None:
        self.network, self.folder, self.namespace = network, folder, namespace
        self.pods: list[Pod] = []
        self._objects: dict[tuple[str, str], Manifest] = {}
        self._count = 0
        self._external: dict[str, list[str]] = {}
        self.programs = folder / "programs"
        self.programs.mkdir()
        self.claims = folder / "claims"
        self.claims.mkdir()
        self.program("safeguards-extproc", f'exec {sys.executable} -m safeguards_extproc "$@"')
        self.program("python", f'exec {sys.executable} "$@"')
        self.dns = Names(self.addresses, network.gateway, DNS if network.isolated else 0, ttl_s)

    def program(self, name: str, script: str) -> None:
        """A program that an image would hold."""
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)

    def host(self, name: str = "") -> Host:
        """An address for something that is no pod of ours; under `name` Services' DNS knows it, too."""
        host = self.network.host()
        if name:
            self._external.setdefault(name, []).append(host.address)
        return host

    def find(self, kind: str, name: str) -> Manifest | None:
        return self._objects.get((kind, name))

    def of(self, app: str) -> list[Pod]:
        """Pods that are not told to end, of the workload of this name, oldest first."""
        return [pod for pod in self.pods if pod.labels.get("workload") == app and not pod.terminating]

    def change(self, manifests: Sequence[Manifest]) -> None:
        """Write objects; running pods see ConfigMaps and Secrets, and controllers do nothing yet."""
        for manifest in manifests:
            self._objects[manifest["kind"], manifest["metadata"]["name"]] = manifest
        for pod in self.pods:
            if not pod.terminating and not pod.ended:
                pod.renew()

    def apply(self, manifests: Sequence[Manifest], patience_s: float = PATIENCE_S) -> None:
        """Write objects, and roll out every workload among them."""
        self.change(manifests)
        for manifest in manifests:
            if manifest["kind"] in RUNS_PODS:
                self.roll_out(manifest["metadata"]["name"], patience_s=patience_s)

    def roll_out(self, name: str, *, anew: bool = False, patience_s: float = PATIENCE_S) -> None:
        """As a controller does, until all pods are of the newest template and available.

        `anew` is `kubectl rollout restart`: pods of the same template are replaced, too.
        """
        manifest = self.find("Deployment", name) or self.find("StatefulSet", name)
        assert manifest is not None
        spec = manifest["spec"]
        digest = json.dumps(spec["template"], sort_keys=True)
        old = [pod for pod in self.of(name) if anew or pod.labels["template"] != digest]
        count = int(spec.get("replicas", 1))
        surge, missing = _margins(manifest, count)
        deadline = time.monotonic() + patience_s
        while True:
            new = [pod for pod in self.of(name) if pod not in old]
            old = [pod for pod in old if not pod.terminating]
            available = [pod for pod in [*new, *old] if _available(pod, float(spec.get("minReadySeconds", 0)))]
            if not old and len(new) == count and len(available) == count:
                return
            for pod in new:
                fails = pod.ended or any(one.restarts > 2 for one in pod.containers)
                assert not fails, f"{pod.name}: {pod.problem}\n{pod.containers[0].said()[-2000:]}"
            if len(new) < count and len(new) + len(old) < count + surge and self._start(name, manifest, digest):
                continue
            spare = len(available) - (count - missing)
            for pod in sorted(old, key=lambda pod: pod.ready):
                if pod.ready and spare <= 0:
                    break
                spare -= pod.ready
                pod.delete()
            while len(new) > count:
                new.pop().delete()
            assert time.monotonic() < deadline, f"{name} is not rolled out: {self.describe(name)}"
            time.sleep(TICK_S)

    def run(self, manifest: Manifest, seconds: float = PATIENCE_S) -> dict[str, tuple[int, str]]:
        """A pod that ends, a test hook for instance: exit status and output of each container."""
        template = manifest["spec"]["template"] if manifest["kind"] == "Job" else manifest
        name = f"{manifest['metadata']['name']}-{self._number()}"
        pod = self._pod(name, {"spec": template["spec"], "metadata": manifest["metadata"]}, {})
        deadline = time.monotonic() + seconds
        while any(one.code is None for one in pod.containers) and not pod.ended:
            assert time.monotonic() < deadline, f"{name} does not end"
            time.sleep(TICK_S)
        ended = {one.name: (one.code if one.code is not None else -1, one.said()) for one in pod.containers}
        pod.delete()
        pod.wait(seconds)
        return ended

    def delete(self, pods: Sequence[Pod], seconds: float = PATIENCE_S) -> None:
        """End pods as somebody who deletes them, and wait until they are gone."""
        for pod in pods:
            pod.delete()
        for pod in pods:
            pod.wait(seconds)

    def close(self) -> None:
        """End everything at once."""
        for pod in self.pods:
            pod.kill()
        for pod in self.pods:
            pod.wait(PATIENCE_S)
        self.dns.close()

    def addresses(self, name: str) -> list[str] | None:
        """What DNS says of a name: a Service's ready pods, or a host of the test's own."""
        for suffix in (".cluster.local", ".svc", f".{self.namespace}"):
            name = name.removesuffix(suffix)
        if name in self._external:
            return self._external[name]
        first, dot, rest = name.partition(".")
        if dot and (service := self.find("Service", rest)) is not None:  # a pod of a StatefulSet, by its name
            return [pod.address for pod in self.endpoints(service) if pod.name == first] or None
        service = self.find("Service", name)
        return None if service is None else [pod.address for pod in self.endpoints(service)]

    def endpoints(self, service: Manifest) -> list[Pod]:
        """The pods behind a Service: ready and not told to end, unless it wants all."""
        wanted, every = service["spec"]["selector"].items(), service["spec"].get("publishNotReadyAddresses", False)
        return [pod for pod in self.pods if wanted <= pod.labels.items() and (pod.ready or (every and not pod.ended))]

    def describe(self, name: str) -> str:
        """What a person would ask of pods that do not come up."""
        rows = []
        for pod in self.of(name):
            rows += [f"{pod.name}: ready {pod.ready}, {pod.problem or 'no problem'}"]
            rows += [f"{one.name}: {one.restarts} restarts, {one.code}\n{one.said()[-2000:]}" for one in pod.containers]
        return "\n".join(rows)

    def _number(self) -> int:
        self._count += 1
        return self._count

    def _start(self, name: str, manifest: Manifest, digest: str) -> bool:
        """One pod more; False where the number that it would have is still another's."""
        spec, labels = manifest["spec"], {"workload": name, "template": digest}
        if manifest["kind"] == "Deployment":
            self._pod(f"{name}-{self._number()}", spec["template"], labels)
            return True
        taken = {pod.name for pod in self.pods if not pod.ended}
        free = [
            each for each in (f"{name}-{number}" for number in range(int(spec.get("replicas", 1)))) if each not in taken
        ]
        if free:
            claims = {
                each["metadata"]["name"]: f"{each['metadata']['name']}-{free[0]}"
                for each in spec.get("volumeClaimTemplates", [])
            }
            self._pod(free[0], spec["template"], labels, claims)
        return bool(free)

    def _pod(
        self, name: str, template: Manifest, labels: Mapping[str, str], claimed: Mapping[str, str] | None = None
    ) -> Pod:
        """A pod of a template; `claimed` are volumes of claims of its own."""
        own = [
            {"name": volume, "persistentVolumeClaim": {"claimName": claim}} for volume, claim in (claimed or {}).items()
        ]
        spec = {**template["spec"], "volumes": [*template["spec"].get("volumes", []), *own]}
        host, folder = self.network.host(), self.folder / f"{name}.{self._number()}"
        folder.mkdir()
        search = f"{self.namespace}.svc.cluster.local svc.cluster.local cluster.local"
        nameserver = f"nameserver {self.network.gateway}\nsearch {search}\noptions ndots:5\n"
        files = {
            "etc/resolv.conf": nameserver,
            "etc/hosts": f"127.0.0.1 localhost\n{host.address} {name}\n",
        }
        place = Place(name, host, folder, files, spec.get("securityContext") or {}, self._known(), self.programs)
        fields = {
            "metadata.name": name,
            "metadata.namespace": self.namespace,
            "status.podIP": host.address,
            "spec.nodeName": "node",
        }

        def make(row: Mapping[str, Any], mounts: Sequence[Mounted]) -> Container:
            return Container(row, place, entrypoint(row["image"]), self._env(row, fields), mounts)

        given = {**(template["metadata"].get("labels") or {}), **labels}
        pod = Pod(name, spec, given, place, self.find, make, self.claims)
        self.pods.append(pod)
        return pod

    def _known(self) -> dict[str, str]:
        """Names of Services and an address of each, where programs cannot ask our DNS."""
        names = [name for kind, name in self._objects if kind == "Service"]
        known = {name: (self.addresses(name) or [""])[0] for name in [*names, *self._external]}
        return {f"{name}{rest}": found for name, found in known.items() for rest in (f".{self.namespace}", "") if found}

    def _env(self, row: Mapping[str, Any], fields: Mapping[str, str]) -> dict[str, str]:
        env = {
            "PATH": os.pathsep.join((str(self.programs), os.environ.get("PATH", os.defpath))),
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "HOME": "/tmp",
            "GRPC_ENABLE_FORK_SUPPORT": "0",
        }
        for each in row.get("envFrom", []):
            [(kind, source)] = each.items()
            env |= self._data({"configMapRef": "ConfigMap", "secretRef": "Secret"}[kind], source["name"])
        for each in row.get("env", []):
            match each:
                case {"value": value}:
                    env[each["name"]] = str(value)
                case {"valueFrom": {"fieldRef": {"fieldPath": path}}}:
                    env[each["name"]] = fields[path]
                case {"valueFrom": {"secretKeyRef": {"name": name, "key": key}}}:
                    env[each["name"]] = self._data("Secret", name)[key]
                case {"valueFrom": {"configMapKeyRef": {"name": name, "key": key}}}:
                    env[each["name"]] = self._data("ConfigMap", name)[key]
                case _:
                    raise ValueError(f"a variable of an unknown kind: {each['name']}")
        return env

    def _data(self, kind: str, name: str) -> dict[str, str]:
        found = self._objects[kind, name]
        data = dict(found.get("data") or {})
        if kind == "Secret":
            data = {key: base64.b64decode(text).decode() for key, text in data.items()}
        return data | dict(found.get("stringData") or {})


def _margins(manifest: Manifest, count: int) -> tuple[int, int]:
    """How many pods there may be more and fewer than wanted while a workload is rolled out."""
    if manifest["kind"] == "StatefulSet":
        return 0, 1
    strategy = manifest["spec"].get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return 0, count
    rolling = strategy.get("rollingUpdate") or {}

    def number(value: int | str, up: bool) -> int:
        if isinstance(value, int):
            return value
        share = count * int(value.removesuffix("%"))
        return -(-share // 100) if up else share // 100

    return number(rolling.get("maxSurge", "25%"), True), number(rolling.get("maxUnavailable", "25%"), False)


def _available(pod: Pod, seconds: float) -> bool:
    since = pod.ready_since
    return pod.ready and time.monotonic() - since >= seconds


@contextlib.contextmanager
def cluster(network: Network, folder: Path, **how: Any) -> Iterator[Cluster]:
    """A cluster, empty; everything in it is ended on the way out."""
    made = Cluster(network, folder, **how)
    try:
        yield made
    finally:
        made.close()


def waits(holds: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    """Until it holds."""
    deadline = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {patience_s:g} s"
        time.sleep(TICK_S)

"""What stands around the chart's pods: the partner's Envoy, a model, clients; each at an address of its own.

Envoy has the repository's configuration with what `envoy-config` writes for the chart's Service.
"""

from __future__ import annotations

import contextlib
import copy
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from safeguards_extproc.attach.options import Attachment
from safeguards_extproc.attach.static import documents
from safeguards_extproc.core.record import Record
from safeguards_extproc.local import envoy, processes
from safeguards_extproc.local.processes import Part
from safeguards_extproc.records.read import Reader
from tests.platform.cluster import PATIENCE_S, Cluster, Manifest
from tests.platform.container import ROOT
from tests.platform.network import Host
from tests.platform.pods import Pod
from tests.platform.upstream import CANARY

SERVICE = "guard-safeguards-extproc"
FRONT, ADMIN, MODEL = 8080, 9901, 8000

RESOLVER = "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"

POLICY: dict[str, Any] = {
    "version": 1,
    "name": "platform",
    "detectors": {"marks": {"kind": "patterns", "lists": {"canary": {"regex": [CANARY.pattern.decode()]}}}},
    "rules": [
        {"name": "canary", "when": "scores.marks.canary > 0", "then": "redact", "entities": ["canary"]},
    ],
}
"""Takes the canary out of everything, so what still has one was not looked at."""


def values(policy: Mapping[str, Any] = POLICY, **more: Any) -> dict[str, Any]:
    """Values of the chart: this policy, and drains for answers of a few seconds."""
    return {"policy": json.dumps(policy), **more}


@dataclass(slots=True)
class Load:
    """A program that asks without a pause."""

    part: Part
    report: Path

    @property
    def counts(self) -> dict[str, Any]:
        found: dict[str, Any] = (
            json.loads(self.report.read_text()) if self.report.exists() else {"asked": {}, "streamed": {}}
        )
        return found

    def ended(self, kind: str) -> int:
        """How many exchanges of a kind have come to an end."""
        return sum(self.counts[kind].values())

    def stop(self) -> dict[str, Any]:
        """Wait for all that is under way: what became of all."""
        if self.part.alive:
            self.part.process.terminate()
            assert 0 == self.part.process.wait(PATIENCE_S), processes.tail(self.part.log)
        return self.counts


@dataclass(frozen=True, slots=True)
class Edge:
    """A partner's Envoy: `front` takes traffic, `admin` tells."""

    part: Part
    host: Host

    @property
    def front(self) -> str:
        return f"{self.host.address}:{FRONT}"

    @property
    def admin(self) -> str:
        return f"{self.host.address}:{ADMIN}"

    def healthy(self) -> set[str]:
        """The addresses of the pods to which it would send."""
        found = set()
        for status in json.loads(envoy.get(self.admin, "/clusters?format=json")[1] or "{}").get("cluster_statuses", []):
            for host in status.get("host_statuses", []) if status["name"] == "safeguards" else []:
                health = host["health_status"]
                if not health.get("failed_active_health_check") and not health.get("pending_active_hc"):
                    found.add(host["address"]["socket_address"]["address"])
        return found

    def stats(self, name: str) -> int:
        """The sum of counters and gauges whose whole name is this regular expression."""
        rows = json.loads(envoy.get(self.admin, f"/stats?format=json&filter=^{name}$")[1] or '{"stats":[]}')["stats"]
        return sum(int(row["value"]) for row in rows if "value" in row)


@dataclass(slots=True)
class Scene:
    """`cluster` has the chart's pods; `edges` are Envoys, by name; `refresh_s` is how often they ask DNS."""

    cluster: Cluster
    folder: Path
    ends: ExitStack
    model: Host
    clients: Host
    refresh_s: float = 5.0
    edges: dict[str, Edge] = field(default_factory=dict)
    loads: int = 0

    def start(self, name: str, host: Host, argv: list[str], **env: str) -> Part:
        """A program of the partner's at an address."""
        log = self.folder / f"{name.replace(' ', '-')}.log"
        part = processes.start(name, [*host.within, *argv], log, env={"PYTHONPATH": str(ROOT), **env})
        self.ends.callback(processes.stop, part)
        return part

    def attach(self, name: str = "envoy", **wanted: Any) -> Edge:
        """Start an Envoy with what `envoy-config` writes (`wanted` are its options); returns once it sends to every
        ready pod."""
        host, folder = self.cluster.host(name), self.folder / name
        folder.mkdir(exist_ok=True)
        options = {"addresses": (f"{SERVICE}.{self.cluster.namespace}.svc:9002",), "tls_folder": str(folder / "tls")}
        (_, parts), *files = documents(Attachment(**(options | wanted)))
        for title, document in files:
            path = Path(title.removeprefix("Save as "))
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(document))
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(self._configuration(host, parts), indent=1))
        argv = [envoy.binary(), "-c", str(path), "-l", "warning", "--disable-hot-restart", "--concurrency", "2"]
        argv += ["--service-node", name, "--service-cluster", "edge", "--file-flush-interval-msec", "200"]
        self.edges[name] = edge = Edge(self.start(name, host, argv), host)
        processes.wait(edge.part, lambda: envoy.get(edge.admin, "/ready")[0] == 200, timeout_s=30)
        return edge

    def _configuration(self, host: Host, parts: dict[str, Any]) -> dict[str, Any]:
        """The repository's Envoy before this scene's model, with the filter, cluster and access log of `parts`."""
        document = envoy.load(ROOT / "envoy" / "demo.yaml")
        front, admin = f"{host.address}:{FRONT}", f"{host.address}:{ADMIN}"
        document = envoy.render(document, envoy.Addresses(f"{self.model.address}:{MODEL}", (), front, admin))
        resources = document["static_resources"]
        manager = resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
        manager["http_filters"][:-1] = parts["http_filters"]
        manager["access_log"] = parts["access_log"]
        resources["clusters"] = [each for each in resources["clusters"] if each["name"] != "safeguards"]
        [filters] = copy.deepcopy(parts["clusters"])
        place, port = self.cluster.dns.place
        resolver = {"@type": RESOLVER, "resolvers": [envoy.address(f"{place}:{port}")]}
        filters["typed_dns_resolver_config"] = {"name": "envoy.network.dns_resolver.cares", "typed_config": resolver}
        filters["dns_refresh_rate"] = f"{self.refresh_s:g}s"
        resources["clusters"].append(filters)
        return document

    def knows_all(self) -> bool:
        """Whether every Envoy would send to exactly the pods that are ready."""
        ready = {pod.address for pod in self.cluster.of(SERVICE) if pod.ready}
        return bool(ready) and all(edge.healthy() == ready for edge in self.edges.values())

    def seen(self) -> dict[str, int]:
        """What came through to the model."""
        found: dict[str, int] = json.loads(envoy.get(f"{self.model.address}:{MODEL}", "/seen")[1])
        return found

    def load(
        self,
        asking: int = 8,
        streaming: int = 0,
        *,
        events: int = 40,
        pause_ms: int = 50,
        rate: float = 2_000,
        edge: str = "envoy",
    ) -> Load:
        """Clients of an Envoy, from now on."""
        self.loads += 1
        report = self.folder / f"load{self.loads}.json"
        plan = map(str, (asking, streaming, events, pause_ms))
        argv = [sys.executable, "-m", "tests.platform.load", self.edges[edge].front, *plan, str(rate), str(report)]
        return Load(self.start(f"load {self.loads}", self.clients, argv), report)

    def metric(self, pod: Pod, name: str, **labels: str) -> float:
        """The sum of a pod's samples that have these labels."""
        _, text = envoy.get(f"{pod.address}:9090", "/metrics")
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return sum(each.value for each in samples if each.name == name and labels.items() <= each.labels.items())

    def records(self, pod: Pod) -> list[Record]:
        """What a pod has written down."""
        path = pod.folders["records"] / "records.jsonl"
        return list(Reader([path])) if path.exists() else []


@contextlib.contextmanager
def scene(cluster: Cluster, folder: Path) -> Iterator[Scene]:
    """The partner's parts; Envoy comes with `attach`, once there is something to attach it to."""
    with ExitStack() as ends:
        made = Scene(cluster, folder, ends, cluster.host("model"), cluster.host("clients"))
        argv = [sys.executable, "-m", "tests.platform.upstream", made.model.address, str(MODEL)]
        model = made.start("model", made.model, argv)
        processes.wait(model, lambda: envoy.get(f"{made.model.address}:{MODEL}", "/seen")[0] == 200, timeout_s=30)
        yield made


def installed(made: Scene, manifests: Sequence[Manifest]) -> list[Manifest]:
    """What an installation applies: everything but the hooks of `helm test`."""
    rest = [each for each in manifests if "helm.sh/hook" not in (each["metadata"].get("annotations") or {})]
    made.cluster.apply(rest)
    return rest

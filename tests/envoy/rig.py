"""The whole of it, real: Triton, `safeguards_extproc serve` as processes, two upstreams, one Envoy before them.

Envoy runs the committed envoy/demo.yaml; each listener is a copy of its first one, changed where it says so here.
"""

from __future__ import annotations

import copy
import http.client
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from safeguards_extproc.adapters.listener import Address
from safeguards_extproc.attach.options import Attachment, How
from safeguards_extproc.attach.static import http_filter
from safeguards_extproc.core.record import Record
from safeguards_extproc.local import envoy, processes, triton
from safeguards_extproc.local.processes import Part
from safeguards_extproc.records.encode import from_json
from safeguards_extproc.records.read import Reader
from safeguards_extproc.records.segments import read, segments
from safeguards_extproc.replay.requests import STATS_PATH
from safeguards_extproc.replay.traffic import write as write_traffic
from tests.envoy import rules, scenes
from tests.envoy.background import PATIENCE_S, Background, until
from tests.envoy.recorder import Recorder
from tests.envoy.relay import Relay

ROOT = rules.ROOT
UPSTREAM = ("x-test-upstream", "recorder")
"""A request with this header goes to the recorder, whatever anybody says."""

LIVES = 2
"""Sockets of the cluster whose processes the tests start and end themselves."""

BLIND = "blind"
"""A cluster of one such socket, without health checks: what a filter does that is not well can be seen."""

_BUFFERED = Attachment(how=How.BUFFERED)


@dataclass(slots=True)
class Filter:
    """A running filter process."""

    part: Part
    socket: Path
    health: str
    metrics: str
    records: Path
    _read: dict[str, Record] = field(default_factory=dict)

    def record(self, id_: str) -> Record:
        """The one record of an exchange, once it is there."""
        found = until(lambda: [record for record in self.all_records() if record.id == id_], f"a record of {id_}")
        assert len(found) == 1
        return found[0]

    def all_records(self) -> list[Record]:
        if self.records.is_dir():
            return [from_json(each) for one in segments(self.records) for each in read(one.path)]
        return list(Reader([self.records])) if self.records.exists() else []

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of a metric that have these labels, as Prometheus reads them."""
        _, text = envoy.get(self.metrics, "/metrics")
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return sum(
            sample.value for sample in samples if sample.name == name and labels.items() <= sample.labels.items()
        )

    def check(self, service: str, *, plain: bool = False) -> int:
        """What health says of `service`, on the port that Envoy uses or on the plaintext one."""
        with grpc.insecure_channel(self.health if plain else f"unix:{self.socket}") as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            request = health_pb2.HealthCheckRequest(service=service)
            return int(stub.Check(request, timeout=PATIENCE_S, wait_for_ready=True).status)

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.part.log.read_text().splitlines() if line.startswith("{")]


def serve(
    policy: Path,
    socket: Path,
    *,
    triton_at: str = "",
    drain_delay_s: float = 0.0,
    drain_limit_s: float = 2.0,
    records: Path | None = None,
    sink: str = "records",
    options: Sequence[str] = (),
    within: Sequence[str] = (),
) -> Filter:
    """Start `python -m safeguards_extproc serve` on a socket; returns once it takes connections.

    Its log lies beside its policy, as do its records unless they are to be elsewhere; `sink` is the option that asks
    for them. Beside a file it keeps a spool, so that whatever it refuses or changes waits for the disk. `options` are
    more of its own; `within` is a program that runs it.
    """
    folder = policy.parent
    health, metrics = (f"127.0.0.1:{processes.free_port()}" for _ in range(2))
    records = records or folder / f"{socket.stem}.jsonl"
    argv = [*within, sys.executable, "-m", "safeguards_extproc", "serve", "--policy", str(policy)]
    argv += ["--listen", f"unix://{socket}", "--health", health, "--metrics", metrics, f"--{sink}", str(records)]
    argv += ["--drain-delay", str(drain_delay_s), "--drain-limit", str(drain_limit_s)]
    argv += [] if sink == "spool" else ["--spool", str(folder / f"{socket.stem}-spool")]
    argv += [*(["--triton", triton_at] if triton_at else []), *options]
    log = folder / f"{socket.stem}.{time.monotonic_ns()}.log"
    part = processes.start(f"filter {socket.stem}", argv, log, env={"PYTHONPATH": str(ROOT)})
    processes.wait(part, lambda: processes.accepts(socket), timeout_s=2 * PATIENCE_S)
    return Filter(part, socket, health, metrics, records)


def end(part: Part) -> None:
    processes.stop(part, grace_s=PATIENCE_S)


@dataclass(slots=True)
class Rig:
    """`urls` are Envoy's, by listener: "ingress", "buffered", "gates", "lives", "blind"."""

    folder: Path
    background: Background
    envoy: envoy.Envoy
    urls: dict[str, str]
    main: Filter
    gates: Filter
    triton: str
    relay: Relay
    model: str
    recorder: Recorder

    def served(self, name: str) -> dict[str, int]:
        """What the model server saw of a scene."""
        counts: dict[str, int] = json.loads(envoy.get(self.model, STATS_PATH)[1])["exchanges"].get(name, {})
        return {"received": 0, "bytes_sent": 0, "finished": 0, "cancelled": 0} | counts

    def came_in(self, listener: str) -> int:
        """Requests that Envoy has taken on a listener."""
        name = f"http.{listener}.downstream_rq_total"
        return self.envoy.stats(name)[name]

    def life(self, number: int) -> Path:
        """A socket of the cluster "lives", named as `serve` names those of its workers."""
        return _life(self.folder, number)

    def healthy(self, cluster: str) -> set[str]:
        """The sockets of a cluster that Envoy would send to."""
        found = set()
        for status in json.loads(envoy.get(self.envoy.admin, "/clusters?format=json")[1])["cluster_statuses"]:
            for host in status.get("host_statuses", []) if status["name"] == cluster else []:
                if not host["health_status"].get("failed_active_health_check"):
                    found.add(host["address"]["pipe"]["path"])
        return found

    def access_log(self, id_: str) -> dict[str, Any]:
        """Envoy's line about an exchange, once it is written."""

        def find() -> list[dict[str, Any]]:
            lines = self.envoy.part.log.read_text(errors="replace").splitlines()
            rows = [json.loads(line) for line in lines if line.startswith("{") and id_ in line]
            return [row for row in rows if (row.get("safeguards") or {}).get("id") == id_]

        [row] = until(find, f"a line of the access log about {id_}")
        return row


Start = Callable[..., Filter]
"""policy, number of the life, options of `serve`"""


@contextmanager
def lives(rig: Rig) -> Iterator[Start]:
    """Starts filters behind Envoy's listener "lives", and waits until Envoy sends to them; all are ended afterwards."""
    with ExitStack() as ends:

        def started(policy: Path, number: int = 0, *, triton: str = "", drain_delay_s: float = 0.0) -> Filter:
            socket = rig.life(number)
            one = serve(policy, socket, triton_at=triton, drain_delay_s=drain_delay_s, drain_limit_s=PATIENCE_S)
            ends.callback(end, one.part)
            until(lambda: str(socket) in rig.healthy("lives"), "Envoy finds the filter healthy")
            return one

        yield started


def post(url: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    """One plain HTTP/1.1 POST: status, headers in small letters, body."""
    return send("POST", url, path, body, headers)


def send(method: str, url: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    """The same with another method; without a body, no header announces one."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE_S)
    try:
        connection.request(method, path, body or None, headers)
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


def configuration(recorder: str, sockets: Mapping[str, Sequence[Path]]) -> dict[str, Any]:
    """The demo's configuration with more listeners, and a cluster for each entry of `sockets`."""
    document = envoy.load(ROOT / "envoy" / "demo.yaml")
    resources = document["static_resources"]
    ingress, filters = resources["listeners"][0], resources["clusters"][0]
    filters["health_checks"][0] |= {"timeout": "20s", "interval": "0.25s", "no_traffic_interval": "0.25s"}
    _manager(ingress)["route_config"]["virtual_hosts"][0]["routes"][:0] = [_route(UPSTREAM), _route(rules.CAREFUL)]
    resources["clusters"].append(_cluster("recorder", resources["clusters"][1], [envoy.address(recorder)]))
    resources["clusters"][-1]["typed_extension_protocol_options"] = http2()
    resources["listeners"].append(_listener("buffered", ingress, "safeguards"))
    _manager(resources["listeners"][-1])["http_filters"][0] = http_filter(_BUFFERED)
    for name, paths in sockets.items():
        resources["clusters"].append(_cluster(name, filters, [envoy.address(f"unix://{path}") for path in paths]))
        if name == BLIND:
            del resources["clusters"][-1]["health_checks"]
        resources["listeners"].append(_listener(name, ingress, name))
    return document


def _manager(listener: dict[str, Any]) -> dict[str, Any]:
    manager: dict[str, Any] = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return manager


def _route(header: tuple[str, str]) -> dict[str, Any]:
    match = {"prefix": "/", "headers": [{"name": header[0], "string_match": {"exact": header[1]}}]}
    return {"name": header[1], "match": match, "route": {"cluster": "recorder", "timeout": "0s"}}


def _cluster(name: str, like: dict[str, Any], places: Sequence[dict[str, Any]]) -> dict[str, Any]:
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": place}} for place in places]}]
    return copy.deepcopy(like) | {"name": name, "load_assignment": {"cluster_name": name, "endpoints": endpoints}}


def http2() -> dict[str, Any]:
    kind = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    options = {"@type": kind, "explicit_http_config": {"http2_protocol_options": {}}}
    return {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options}


def _listener(name: str, like: dict[str, Any], cluster: str) -> dict[str, Any]:
    listener = copy.deepcopy(like) | {"name": name, "address": envoy.address("127.0.0.1:0")}
    manager = _manager(listener)
    manager["stat_prefix"] = name
    manager["http_filters"][0]["typed_config"]["grpc_service"]["envoy_grpc"]["cluster_name"] = cluster
    return listener


def _urls(admin: str) -> dict[str, str]:
    listed = json.loads(envoy.get(admin, "/listeners?format=json")[1])["listener_statuses"]
    places = {row["name"]: row["local_address"]["socket_address"] for row in listed}
    return {name: f"http://{place['address']}:{place['port_value']}" for name, place in places.items()}


@contextmanager
def running(folder: Path) -> Iterator[Rig]:
    """Everything up; everything ended on the way out."""
    with ExitStack() as ends:
        background = Background()
        ends.callback(background.close)
        traffic = folder / "traffic.jsonl"
        write_traffic(traffic, scenes.exchanges())
        server = triton.start(ROOT / "triton_models", folder, only=["screen"])
        ends.callback(server.stop)
        model, ready = _model_server(folder, traffic)
        ends.callback(end, model)
        relay, recorder = Relay(background, server.grpc), Recorder(background)
        started = partial(_filter, folder, ends)
        main, gates = started("main", rules.full(), server.grpc), started("gates", rules.gates(), relay.address)
        lives = [_life(folder, number) for number in range(LIVES)]
        sockets = {"gates": [gates.socket], "lives": lives, BLIND: [folder / f"{BLIND}.sock"]}
        addresses = envoy.Addresses(ready, (f"unix://{main.socket}",))
        front = envoy.start(configuration(recorder.address, sockets), addresses, folder)
        ends.callback(end, front.part)
        rig = Rig(folder, background, front, _urls(front.admin), main, gates, server.grpc, relay, ready, recorder)
        until(lambda: str(gates.socket) in rig.healthy("gates"), "a healthy filter behind the gates")
        yield rig


def _life(folder: Path, number: int) -> Path:
    return Path(Address(path=str(folder / "life.sock")).for_worker(number).path)


def _filter(folder: Path, ends: ExitStack, name: str, document: rules.Rules, triton_at: str) -> Filter:
    policy = rules.write(folder / f"{name}.yaml", document)
    started = serve(policy, folder / f"{name}.sock", triton_at=triton_at)
    ends.callback(end, started.part)
    return started


def _model_server(folder: Path, traffic: Path) -> tuple[Part, str]:
    ready = folder / "model_server.address"
    argv = [sys.executable, "-m", "safeguards_extproc.local.model_server", "--port", "0"]
    argv += ["--traffic", str(traffic), "--ready-file", str(ready)]
    part = processes.start("model server", argv, folder / "model_server.log", env={"PYTHONPATH": str(ROOT)})
    processes.wait(part, ready.exists, timeout_s=PATIENCE_S)
    return part, ready.read_text().strip()

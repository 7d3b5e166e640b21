"""Everything there is, running under traffic; a real Prometheus that scrapes it and knows the rules; a real
Alertmanager that tells whoever is on call as docs/oncall.md says."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from safeguards_extproc.local import envoy, processes, stack
from safeguards_extproc.local.processes import Part
from safeguards_extproc.replay.run import Target, run
from safeguards_extproc.replay.traffic import read
from tests import redis_server
from tests.enforcement.test_pseudonyms import entry
from tests.envoy import rules
from tests.oncall.promtool import ALERTS, ROOT, program

EVERY = "1s"
"""How often targets are scraped and rules looked at."""

IMPATIENT = {"SafeguardsModelNotReady"}
"""Alerts that come at once here, so that somebody is told of them while the test waits."""


def policy() -> rules.Rules:
    """The demo's, and limits, strikes and a second stage, so that whatever can be counted is."""
    document = rules.demo()
    document["detectors"]["second"] = {
        "kind": "classification",
        "model": "screen",
        "labels": ["attack"],
        "when": "scores.screen.attack >= 0.5",
        "on_failure": "degrade",
    }
    document["identity"] = {"organisation": [{"value": "demo"}]}
    budget = {"per": ["organisation"], "count": "requests", "budget": "5/1h", "mode": "shadow"}
    document["limits"] = [{"name": "few", **budget}]
    document["enforcement"] = {"strikes": [{"category": "injection", "weight": 0.001, "half_life": "1d"}]}
    return document


@dataclass(slots=True)
class Prometheus:
    """A server that runs, at "host:port"."""

    part: Part
    address: str

    def ask(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """The samples of an expression now; those that are no number are left out."""
        found = self._get(f"/api/v1/query?query={urllib.parse.quote(expression)}")["result"]
        samples = [(row["metric"], float(row["value"][1])) for row in found]
        return [(labels, value) for labels, value in samples if value == value]

    def alerts(self) -> list[dict[str, Any]]:
        """Those that are pending or fire."""
        found: list[dict[str, Any]] = self._get("/api/v1/alerts")["alerts"]
        return found

    def down(self) -> list[str]:
        """What it cannot scrape, and why."""
        targets = self._get("/api/v1/targets")["activeTargets"]
        return [f"{each['labels']['job']}: {each['lastError']}" for each in targets if each["health"] != "up"]

    def _get(self, path: str) -> Any:
        connection = http.client.HTTPConnection(self.address, timeout=30)
        try:
            connection.request("GET", path)
            said = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        assert said["status"] == "success", said
        return said["data"]


@dataclass(slots=True)
class Told:
    """What reached whom: notifications of Alertmanager by the last part of the address of its webhook."""

    address: str = ""
    notes: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def alerts(self, receiver: str) -> dict[str, dict[str, Any]]:
        """The alerts that a receiver was told of, by name."""
        of = [note["alerts"] for path, note in self.notes if path == f"/{receiver}"]
        return {alert["labels"]["alertname"]: alert for alerts in of for alert in alerts}


@dataclass(slots=True)
class Live:
    """`triton` and `redis` can be taken away."""

    told: Told
    prometheus: Prometheus
    stack: stack.Stack
    triton: Part
    redis: redis_server.Server


def _argument(part: Part, name: str) -> str:
    """The value of an option that a program was started with, as `--name value` or `--name=value`."""
    argv = [str(each) for each in part.process.args]  # type: ignore[union-attr]
    joined = [each.partition("=")[2] for each in argv if each.startswith(f"{name}=")]
    return joined[0] if joined else argv[argv.index(name) + 1]


@contextmanager
def running(folder: Path) -> Iterator[Live]:
    """Envoy, the filter, a model server, Triton, Redis with its exporter, keeper, sealer, reconciler, Prometheus,
    Alertmanager, traffic."""
    server, exporter = program("prometheus"), program("prometheus-redis-exporter", "prometheus-redis-exporter")
    alertmanager = program("prometheus-alertmanager", "prometheus-alertmanager")
    keys, spool = folder / "keys.json", folder / "spool"
    keys.write_text(json.dumps([entry("eu-1")]))
    document = rules.write(folder / "policy.yaml", policy())
    with ExitStack() as ends:

        def start(name: str, *argv: str) -> Part:
            part = processes.start(name, argv, folder / f"{name}.log", env={"PYTHONPATH": str(ROOT)})
            ends.callback(processes.stop, part)
            return part

        redis = ends.enter_context(redis_server.running(folder / "redis"))
        options = ("--redis", redis.url, "--spool", str(spool), "--identity-keys", str(keys))
        up = ends.enter_context(stack.running(stack.Plan(policy=document, scorer="triton", serve=options)))
        parts = {part.name: part for part in up.parts}
        at = {
            name: f"127.0.0.1:{processes.free_port()}"
            for name in ("keeper", "sealer", "reconciler", "redis", "alerts", "prometheus")
        }
        ours = (sys.executable, "-m", "safeguards_extproc")
        ledger = f"sqlite:///{folder / 'ledger.db'}"
        keeper = (*ours, "keeper", "--policy", str(document), "--ledger", ledger, "--redis", redis.url, "--health", "")
        start("keeper", *keeper, "--metrics", at["keeper"])
        sealer = (*ours, "records", "seal", str(spool), str(folder / "store"), "--every", "1s")
        start("sealer", *sealer, "--metrics", at["sealer"])
        reconciler = (*ours, "records", "reconcile", str(spool), "--follow", "--admin", up.envoy.admin, "--every", "1s")
        start("reconciler", *reconciler, "--metrics", at["reconciler"])
        start("exporter", exporter, "-redis.addr", redis.url, "-web.listen-address", at["redis"])
        triton = f"127.0.0.1:{_argument(parts['triton'], '--metrics-port')}"
        targets = {
            "filters": [_argument(parts["filter"], "--metrics"), at["keeper"], at["sealer"], at["reconciler"]],
            "envoy": [up.envoy.admin],
            "triton": [triton],
            "redis": [at["redis"]],
        }
        told = ends.enter_context(_listening())
        configured = folder / "alertmanager.yaml"
        configured.write_text(routing(told.address))
        places = (f"--config.file={configured}", f"--storage.path={folder / 'alerts'}", "--cluster.listen-address=")
        start("alertmanager", alertmanager, *places, f"--web.listen-address={at['alerts']}")
        scraping = _prometheus(folder, server, at, targets)
        ends.callback(processes.stop, scraping)
        ends.enter_context(_traffic(up))
        yield Live(told, Prometheus(scraping, at["prometheus"]), up, parts["triton"], redis)


def routing(address: str) -> str:
    """Alertmanager's configuration as docs/oncall.md shows it, with webhooks of ours; it waits for nobody."""
    text = (ROOT / "docs" / "oncall.md").read_text(encoding="utf-8")
    [shown] = [block for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if block.startswith("route:")]
    document = yaml.safe_load(shown)
    document["route"]["group_wait"] = EVERY
    for receiver in document["receivers"]:
        [webhook] = receiver["webhook_configs"]
        webhook["url"] = f"http://{address}/{receiver['name']}"
    return yaml.safe_dump(document)


@contextmanager
def _listening() -> Iterator[Told]:
    """Takes what Alertmanager sends."""
    told = Told()

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.notes.append((self.path, json.loads(self.rfile.read(int(self.headers["content-length"])))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Webhook) as server:
        told.address = f"127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield told
        finally:
            server.shutdown()
            thread.join()


def _prometheus(folder: Path, server: str, at: dict[str, str], targets: dict[str, list[str]]) -> Part:
    alerts = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))
    for group in alerts["groups"]:
        group["interval"] = EVERY
        for rule in group["rules"]:
            if rule.get("alert") in IMPATIENT:
                rule["for"] = EVERY
    (folder / "alerts.yaml").write_text(yaml.safe_dump(alerts))
    jobs = [
        {
            "job_name": job,
            "metrics_path": "/stats/prometheus" if job == "envoy" else "/metrics",
            "static_configs": [{"targets": places}],
        }
        for job, places in targets.items()
    ]
    settings = {"scrape_interval": EVERY, "scrape_timeout": EVERY, "evaluation_interval": EVERY}
    document = {"global": settings, "rule_files": ["alerts.yaml"], "scrape_configs": jobs}
    document["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [at["alerts"]]}]}]}
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(document))
    argv = [server, f"--config.file={folder / 'prometheus.yaml'}", f"--storage.tsdb.path={folder / 'data'}"]
    part = processes.start("prometheus", [*argv, f"--web.listen-address={at['prometheus']}"], folder / "prometheus.log")
    processes.wait(part, lambda: envoy.get(at["prometheus"], "/-/ready")[0] == 200, timeout_s=60)
    return part


@contextmanager
def _traffic(up: stack.Stack) -> Iterator[None]:
    """The demo's exchanges, again and again."""
    exchanges, over = read(ROOT / "demo" / "traffic.jsonl"), threading.Event()

    def send() -> None:
        while not over.is_set():
            asyncio.run(run(exchanges, Target(up.url, concurrency=2)))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()

"""A real Envoy on a committed configuration: addresses are changed in the parsed document, nothing else is."""

from __future__ import annotations

import copy
import http.client
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from safeguards_extproc.errors import ConfigError
from safeguards_extproc.local import processes
from safeguards_extproc.local.processes import Part, PartFailed

FILTER_CLUSTER = "safeguards"
MODEL_CLUSTER = "model_server"
_HINT = 'the program comes with `pip install "safeguards-extproc[local]"` (Linux on x86-64)'


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where things are: "host:port", or "unix:///path" for the filter's processes. Port 0 takes a free one."""

    model: str
    filters: tuple[str, ...]
    listen: str = "127.0.0.1:0"
    admin: str = "127.0.0.1:0"


def binary() -> str:
    """The path of `envoy`: beside this Python, else on PATH. PartFailed if there is none."""
    beside = Path(sys.executable).with_name("envoy")
    found = str(beside) if beside.exists() else shutil.which("envoy")
    if not found:
        raise PartFailed("envoy", "no such program", hint=_HINT)
    return found


def load(path: Path) -> dict[str, Any]:
    """A configuration file; ConfigError if it is not a YAML mapping."""
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError("not a readable YAML file", where=str(path)) from error
    if not isinstance(document, dict):
        raise ConfigError("not a mapping", where=str(path))
    return document


def render(document: Mapping[str, Any], addresses: Addresses) -> dict[str, Any]:
    """A copy of `document` with the addresses of its admin, first listener and two named clusters changed."""
    rendered = copy.deepcopy(dict(document))
    resources = rendered["static_resources"]
    rendered["admin"]["address"] = address(addresses.admin)
    resources["listeners"][0]["address"] = address(addresses.listen)
    clusters = {cluster["name"]: cluster for cluster in resources["clusters"]}
    _point(clusters[MODEL_CLUSTER], [addresses.model])
    if FILTER_CLUSTER in clusters:
        _point(clusters[FILTER_CLUSTER], addresses.filters)
    return rendered


def address(place: str) -> dict[str, Any]:
    """An Envoy address of "host:port" or "unix:///path"."""
    if place.startswith("unix://"):
        return {"pipe": {"path": place.removeprefix("unix://")}}
    host, _, port = place.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}


def _point(cluster: dict[str, Any], places: Sequence[str]) -> None:
    endpoints = [{"endpoint": {"address": address(place)}} for place in places]
    cluster["load_assignment"]["endpoints"] = [{"lb_endpoints": endpoints}]


def validate(path: Path) -> str:
    """What `envoy --mode validate` has against a configuration file, "" if nothing."""
    argv = [binary(), "--mode", "validate", "-c", str(path), "-l", "warning"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr + done.stdout


@dataclass(frozen=True, slots=True)
class Envoy:
    """A running Envoy: `url` takes traffic, `admin` is "host:port"."""

    part: Part
    url: str
    admin: str

    def stats(self, prefix: str = "") -> dict[str, int]:
        """Counters and gauges whose name begins with `prefix`."""
        listing = json.loads(get(self.admin, "/stats?format=json")[1])["stats"]
        return {
            row["name"]: row["value"] for row in listing if row.get("name", "").startswith(prefix) and "value" in row
        }


def start(document: Mapping[str, Any], addresses: Addresses, folder: Path, *, workers: int = 2) -> Envoy:
    """Start Envoy on `document` with `addresses`; returns once it is live and its cluster of filters is healthy.

    `folder` gets the rendered configuration and the log. PartFailed (with the log's end) if it does not come up.
    """
    config, admin_file = folder / "envoy.json", folder / "envoy.admin"
    config.write_text(json.dumps(render(document, addresses), indent=1))
    argv = [binary(), "-c", str(config), "--admin-address-path", str(admin_file), "-l", "warning"]
    argv += ["--disable-hot-restart", "--concurrency", str(workers)]
    argv += ["--file-flush-interval-msec", "200"]  # who looks into the access log looks now: the default is 10 s
    part = processes.start("envoy", argv, folder / "envoy.log", hint="its configuration is envoy.json beside the log")
    try:
        admin = ready(part, admin_file)
        processes.wait(part, lambda: healthy(admin, FILTER_CLUSTER), timeout_s=60)
        return Envoy(part, f"http://{listener(admin)}", admin)
    except BaseException:
        processes.stop(part)
        raise


def ready(part: Part, admin_file: Path) -> str:
    """The admin address that a starting Envoy writes into a file, once it is live; PartFailed if it never is."""
    processes.wait(part, lambda: admin_file.exists() and bool(admin_file.read_text()), timeout_s=20)
    admin = admin_file.read_text().strip()
    processes.wait(part, lambda: get(admin, "/ready")[0] == 200, timeout_s=20)
    return admin


def listener(admin: str) -> str:
    """The first listener's "host:port"."""
    status = json.loads(get(admin, "/listeners?format=json")[1])["listener_statuses"][0]
    place = status["local_address"]["socket_address"]
    return f"{place['address']}:{place['port_value']}"


def healthy(admin: str, cluster: str) -> bool:
    """Whether every host of a cluster takes traffic (true for a cluster that Envoy does not have)."""
    for status in json.loads(get(admin, "/clusters?format=json")[1] or "{}").get("cluster_statuses", []):
        if status["name"] == cluster:
            hosts = status.get("host_statuses", [])
            return bool(hosts) and not any(host["health_status"].get("failed_active_health_check") for host in hosts)
    return True


def get(place: str, path: str, timeout_s: float = 5.0) -> tuple[int, str]:
    """GET a path of a loopback server: status and text, or (0, "") if nobody answers."""
    connection = http.client.HTTPConnection(place, timeout=timeout_s)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()

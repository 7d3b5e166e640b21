"""The rig: an Envoy of one worker, an upstream, and a processor, or none, between them."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from safeguards_extproc.local import envoy, processes, triton

ANSWER = json.dumps(
    {
        "id": "bench",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "bench",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Basil, garlic and marigolds are good neighbours; keep tomatoes away from fennel.",
                },
                "finish_reason": "stop",
            }
        ],
    }
)


@dataclass(frozen=True)
class Processor:
    """A row of the bench. `argv` starts it, with the socket put in where `{socket}` stands; () is none at all. It
    asks `models` of a Triton of its own.

    Of several `workers`, each but the first has its number at the end of its socket's path.
    """

    name: str
    argv: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    workers: int = 1

    def sockets(self, first: Path) -> list[Path]:
        """One for each worker."""
        return [first, *(first.with_name(f"{first.name}.{index}") for index in range(1, self.workers))]


def ours(policy: str, *extra: str) -> tuple[str, ...]:
    serve = (sys.executable, "-m", "safeguards_extproc", "serve", "--policy", policy, "--listen", "unix://{socket}")
    return (*serve, "--health", "", "--records", "{folder}/records.jsonl", *extra)


@dataclass
class Rig:
    """A running rig: `place` is Envoy's "host:port"; `processor` the processes that are charged."""

    place: str
    processor: list[psutil.Process] = field(default_factory=list)

    def cpu_s(self) -> float:
        """Seconds of processor time so far, children included."""
        return sum(sum(process.cpu_times()[:2]) for process in self.processor)

    def rss_mb(self) -> float:
        """Resident memory, MiB."""
        return sum(process.memory_info().rss for process in self.processor) / 2**20


def document(upstream: str, *, mode: str | None) -> dict[str, Any]:
    """The demo's configuration with one worker's needs: no access log, no health checks (the reference has none).

    `mode` None has no filter; `upstream` "" answers at once from a second listener.
    """
    base = envoy.load(Path("envoy/demo.yaml"))
    resources = base["static_resources"]
    manager = resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    manager.pop("access_log", None)
    for cluster in resources["clusters"]:
        cluster.pop("health_checks", None)
    extproc = manager["http_filters"][0]["typed_config"]
    if mode is None:
        manager["http_filters"] = manager["http_filters"][1:]
        resources["clusters"] = [one for one in resources["clusters"] if one["name"] != envoy.FILTER_CLUSTER]
    elif mode == "buffered":
        extproc["processing_mode"].update(
            request_body_mode="BUFFERED",
            response_body_mode="BUFFERED",
            request_trailer_mode="SKIP",
            response_trailer_mode="SKIP",
        )
    if not upstream:
        resources["listeners"].append(_direct(resources["listeners"][0]))
    return base


def _direct(listener: dict[str, Any]) -> dict[str, Any]:
    direct = copy.deepcopy(listener)
    direct["name"] = "upstream"
    manager = direct["filter_chains"][0]["filters"][0]["typed_config"]
    manager["http_filters"] = manager["http_filters"][-1:]
    manager["stat_prefix"] = "upstream"
    manager["route_config"] = {
        "virtual_hosts": [
            {
                "name": "all",
                "domains": ["*"],
                "routes": [
                    {
                        "match": {"prefix": "/"},
                        "direct_response": {"status": 200, "body": {"inline_string": ANSWER}},
                        "response_headers_to_add": [
                            {
                                "header": {"key": "content-type", "value": "application/json"},
                                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                            }
                        ],
                    }
                ],
            }
        ]
    }
    return direct


@contextmanager
def running(processor: Processor, folder: Path, *, mode: str = "duplex", stream: Sequence[str] = ()) -> Iterator[Rig]:
    """A rig with `processor`. `stream`: bench.upstream's EVENTS, RATE and HOLD; without them answers come at once."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as ends:

        def started(name: str, argv: Sequence[str]) -> processes.Part:
            part = processes.start(name, argv, folder / f"{name}.log")
            ends.callback(processes.stop, part)
            return part

        upstream = ""
        port = processes.free_port()
        if stream:
            part = started("upstream", [sys.executable, "-m", "bench.upstream", str(port), *stream])
            processes.wait(part, lambda: _listens(port), timeout_s=20)
            upstream = f"127.0.0.1:{port}"
        charged = []
        socket = folder / "processor.sock"
        if processor.argv:
            names = {"socket": str(socket), "folder": str(folder)}
            argv = [word.format(**names) for word in processor.argv]
            if processor.models:
                server = triton.start(Path("triton_models"), folder, only=processor.models)
                ends.callback(processes.stop, server.part)
                argv += ["--triton", server.grpc]
            part = started("processor", argv)
            for each in processor.sockets(socket):
                processes.wait(part, partial(processes.accepts, each), timeout_s=60)
            parent = psutil.Process(part.process.pid)
            charged = [parent, *parent.children()]
        rendered = document(upstream, mode=mode if processor.argv else None)
        filters = tuple(f"unix://{each}" for each in processor.sockets(socket))
        addresses = envoy.Addresses(upstream or f"127.0.0.1:{port}", filters)
        if not upstream:
            rendered["static_resources"]["listeners"][1]["address"] = envoy.address(f"127.0.0.1:{port}")
        front = envoy.start(rendered, addresses, folder, workers=1)
        ends.callback(processes.stop, front.part)
        yield Rig(front.url.removeprefix("http://"), charged)


def _listens(port: int) -> bool:
    return any(
        row.laddr.port == port
        for row in psutil.net_connections("tcp")
        if row.status == psutil.CONN_LISTEN and row.laddr
    )


def wrk() -> str:
    """The path of wrk, or SystemExit saying where it comes from."""
    found = shutil.which("wrk")
    if not found:
        raise SystemExit("bench: no `wrk` on PATH; Debian and Ubuntu have it: apt-get install wrk")
    return found


def load(place: str, connections: int, seconds: int, script: Path) -> tuple[float, float, int]:
    """Requests a second, median latency in ms, and failures, of wrk with `connections` on one thread."""
    argv = [wrk(), f"-c{connections}", "-t1", f"-d{seconds}s", "--latency", "-s", str(script)]
    out = subprocess.run([*argv, f"http://{place}/v1/chat/completions"], capture_output=True, text=True, check=True)
    line = next(line for line in out.stdout.splitlines() if line.startswith("bench "))
    rate, median_us, failures = line.split()[1:]
    return float(rate), float(median_us) / 1000, int(failures)

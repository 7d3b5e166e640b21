"""The rig: a model server, a Triton if somebody asks models, and for each processor an Envoy of one worker.

All of them run at once, so that processors can take turns by the second; whoever is not asked costs nothing.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from hdrh.histogram import HdrHistogram

from bench.processors import Processor
from bench.scenarios import Scenario
from bench.upstream import ANSWER
from safeguards_extproc.local import envoy, processes, triton

SCRIPT = Path(__file__).with_name("post.lua")
PATH = "/v1/chat/completions"
DIRECT = "x-direct"
"""A request with this header is answered by Envoy itself."""


@dataclass
class Rig:
    """A running processor: `place` is where its clients go. `parts` are the processes behind it, by what they are."""

    processor: Processor
    place: str
    folder: Path
    parts: dict[str, list[psutil.Process]] = field(default_factory=dict)

    def cpu_s(self) -> dict[str, float]:
        """Seconds of processor time so far."""
        return {name: sum(sum(one.cpu_times()[:2]) for one in each) for name, each in self.parts.items()}

    def rss_mib(self) -> dict[str, float]:
        """Memory that is theirs alone, MiB."""
        return {name: sum(one.memory_full_info().uss for one in each) / 2**20 for name, each in self.parts.items()}


@dataclass
class Stage:
    """Everything that runs, by processor."""

    folder: Path
    rigs: dict[str, Rig]


@dataclass(frozen=True)
class Run:
    """What one load came to. `cpu_us` and `rss_mib` by part, the time for one request that was answered."""

    offered: int
    ends: dict[str, int]
    seconds: float
    last: HdrHistogram
    first: HdrHistogram
    other: HdrHistogram
    cpu_us: dict[str, float]
    rss_mib: dict[str, float]

    @property
    def good(self) -> int:
        """Requests answered with 200."""
        return self.ends.get("200", 0)

    def p_ms(self, percent: float, *, first: bool = False) -> float:
        """A percentile of the milliseconds to the last byte, or to the `first`."""
        return float((self.first if first else self.last).get_value_at_percentile(percent)) / 1000


def offer(rig: Rig, scenario: Scenario, connections: int, rate: float, seconds: float) -> Run:
    """An open-loop load; see bench.offered."""
    bodies = rig.folder / f"{scenario.name}.bodies"
    if not bodies.exists():
        bodies.write_text(json.dumps([body.decode() for body in scenario.bodies()]))
    argv = [sys.executable, "-m", "bench.offered", rig.place, PATH, str(bodies)]
    argv += [str(rate), str(seconds), str(connections), *([f"{DIRECT}: 1"] if scenario.direct else [])]
    before = rig.cpu_s()
    told = subprocess.run(argv, stdout=subprocess.PIPE, check=True)
    after = rig.cpu_s()
    said = json.loads(told.stdout)
    answered = max(1, sum(said["ends"].values()))
    spent = {name: (after[name] - before[name]) / answered * 1e6 for name in before}
    spent["client"] = said["cpu_s"] / answered * 1e6
    last, first, other = (HdrHistogram.decode(said[name]) for name in ("last", "first", "other"))
    return Run(said["offered"], said["ends"], said["seconds"], last, first, other, spent, rig.rss_mib())


@dataclass(frozen=True)
class Peak:
    """A closed loop's good answers a second, the share of others, and each part's microseconds for an answer."""

    per_s: float
    failed: float
    cpu_us: dict[str, float]


def press(rig: Rig, scenario: Scenario, connections: int, seconds: float) -> Peak:
    """As many requests as `connections` get answered, each as soon as the one before is: wrk, on one thread."""
    files = []
    for number, body in enumerate(scenario.bodies()):
        files.append(rig.folder / f"{scenario.name}-{number}.body")
        files[-1].write_bytes(body)
    argv = [wrk(), f"-c{connections}", "-t1", f"-d{seconds:g}s", "--timeout", "30s", "-s", str(SCRIPT)]
    argv += [f"http://{rig.place}{PATH}", "--", "1" if scenario.direct else "0", *map(str, files)]
    before = rig.cpu_s()
    out = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    after = rig.cpu_s()
    line = next(line for line in out.splitlines() if line.startswith("bench "))
    answered, per_s, failures = line.split()[1:]
    spent = {name: (after[name] - before[name]) / max(1, int(answered)) * 1e6 for name in before}
    failed = int(failures) / max(1, int(answered))
    return Peak(float(per_s) * (1 - failed), failed, spent)


def wrk() -> str:
    """The path of wrk, or SystemExit saying where it comes from."""
    found = shutil.which("wrk")
    if not found:
        raise SystemExit("bench: no `wrk` on PATH; Debian and Ubuntu have it: apt-get install wrk")
    return found


@contextmanager
def apart(stage: Stage) -> Iterator[None]:
    """Triton has the last core to itself, and everything else, clients too, the others. Nothing without Triton, or on
    one core."""
    cores = sorted(os.sched_getaffinity(0))
    parts: dict[str, set[int]] = {}
    for rig in stage.rigs.values():
        for name, each in rig.parts.items():
            parts.setdefault(name, set()).update(one.pid for one in each)
    asked = parts.pop("triton", None)
    if not asked or len(cores) < 2:
        yield
        return
    others = {pid for each in parts.values() for pid in each} | {os.getpid()}
    _place(asked, cores[-1:])
    _place(others, cores[:-1])
    try:
        yield
    finally:
        _place(asked | others, cores)


def _place(processes: Iterable[int], cores: list[int]) -> None:
    for process in processes:
        for thread in Path(f"/proc/{process}/task").glob("[0-9]*"):
            with suppress(ProcessLookupError):  # it has ended
                os.sched_setaffinity(int(thread.name), cores)


@contextmanager
def stage(processors: Iterable[Processor], folder: Path, reference: str = "") -> Iterator[Stage]:
    """All of them, until the end of the block. Who asks models is left out where there is no Triton. `reference` is the
    program that decides nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    processors = list(processors)
    with ExitStack() as ends:

        def started(name: str, argv: Sequence[str], where: Path) -> processes.Part:
            part = processes.start(name, argv, where / f"{name}.log")
            ends.callback(processes.stop, part)
            return part

        port = processes.free_port()
        part = started("upstream", [sys.executable, "-m", "bench.upstream", str(port)], folder)
        processes.wait(part, partial(_listens, port), timeout_s=20)
        upstream, shared = f"127.0.0.1:{port}", {"model server": [psutil.Process(part.process.pid)]}
        models = sorted({name for one in processors for name in one.models})
        grpc = ""
        if models and (missing := triton.available()):
            sys.stderr.write(f"bench: no Triton here ({missing}): whoever asks models is left out\n")
            processors = [one for one in processors if not one.models]
        elif models:
            server = triton.start(Path("triton_models"), folder, only=models)
            ends.callback(processes.stop, server.part)
            grpc, parent = server.grpc, psutil.Process(server.part.process.pid)
            shared["triton"] = [parent, *parent.children(recursive=True)]
        rigs: dict[str, Rig] = {}
        direct = ""
        for processor in processors:
            mine = folder / processor.name.replace("/", "-")
            mine.mkdir()
            parts = dict(shared)
            if not processor.models:
                parts.pop("triton", None)
            if processor.alone:
                rigs[processor.name] = _alone(processor, mine, started, upstream, direct, parts)
                continue
            socket = mine / "processor.sock"
            if processor.argv:
                argv = processor.command(mine, socket, grpc, reference=reference)
                part = started("processor", argv, mine)
                for each in processor.sockets(socket):
                    processes.wait(part, partial(processes.accepts, each), timeout_s=60)
                parent = psutil.Process(part.process.pid)
                parts["processor"] = [parent, *parent.children()]
            filters = tuple(f"unix://{each}" for each in processor.sockets(socket))
            own = f"127.0.0.1:{processes.free_port()}"
            front = envoy.start(document(processor, own), envoy.Addresses(upstream, filters), mine, workers=1)
            ends.callback(processes.stop, front.part)
            parts["envoy"] = [psutil.Process(front.part.process.pid)]
            direct = direct or own
            rigs[processor.name] = Rig(processor, front.url.removeprefix("http://"), mine, parts)
        yield Stage(folder, rigs)


def _alone(
    processor: Processor, folder: Path, started: Any, upstream: str, direct: str, parts: dict[str, list[psutil.Process]]
) -> Rig:
    """A proxy that stands for Envoy, too."""
    port = processes.free_port()
    part = started("processor", processor.command(folder, Path(str(port)), "", upstream, direct), folder)
    place = f"127.0.0.1:{port}"
    processes.wait(part, lambda: envoy.get(place, "/health/liveliness")[0] == 200, timeout_s=180)
    time.sleep(1.0)
    parent = psutil.Process(part.process.pid)
    parts["processor"] = [parent, *parent.children(recursive=True)]
    return Rig(processor, place, folder, parts)


def document(processor: Processor, own: str) -> dict[str, Any]:
    """The demo's configuration with one worker's needs: no access log, no health checks (the reference has none), and a
    second listener at `own` that answers at once."""
    base = envoy.load(Path("envoy/demo.yaml"))
    resources = base["static_resources"]
    manager = resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    manager.pop("access_log", None)
    for cluster in resources["clusters"]:
        cluster.pop("health_checks", None)
    answered = copy.deepcopy(resources["clusters"][1])
    answered["name"] = "direct"
    answered["load_assignment"]["cluster_name"] = "direct"
    answered["load_assignment"]["endpoints"] = [{"lb_endpoints": [{"endpoint": {"address": envoy.address(own)}}]}]
    if not processor.argv:
        manager["http_filters"] = manager["http_filters"][1:]
        resources["clusters"] = [one for one in resources["clusters"] if one["name"] != envoy.FILTER_CLUSTER]
    resources["clusters"].append(answered)
    routes = manager["route_config"]["virtual_hosts"][0]["routes"]
    match = {"prefix": "/", "headers": [{"name": DIRECT, "present_match": True}]}
    routes.insert(0, {"match": match, "route": {"cluster": "direct", "timeout": "0s"}})
    resources["listeners"].append(_direct(resources["listeners"][0], own))
    return base


def _direct(listener: dict[str, Any], own: str) -> dict[str, Any]:
    direct = copy.deepcopy(listener)
    direct.update(name="direct", address=envoy.address(own))
    manager = direct["filter_chains"][0]["filters"][0]["typed_config"]
    manager["http_filters"] = manager["http_filters"][-1:]
    manager["stat_prefix"] = "direct"
    said = {"key": "content-type", "value": "application/json"}
    at_once = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 200, "body": {"inline_string": ANSWER}},
        "response_headers_to_add": [{"header": said, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}],
    }
    manager["route_config"] = {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [at_once]}]}
    return direct


def _listens(port: int) -> bool:
    return any(
        row.laddr.port == port
        for row in psutil.net_connections("tcp")
        if row.status == psutil.CONN_LISTEN and row.laddr
    )

"""What goes wrong in a mesh, one thing after another, and what clients, metrics and the person on call then see.

    python -m tests.platform.faults [NAME ...]

The chart with all its parts (filters, Triton, Redis) runs as rendered behind Envoys; each row of FAULTS takes something
away under load and gives it back. Every row but those that fail open: no byte reaches a client or the model unread.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safeguards_extproc.attach.options import How, Tls
from safeguards_extproc.local import processes, triton
from tests.helm.certificates import Authority
from tests.helm.program import Helm, downloaded
from tests.helm.program import installed as found
from tests.platform import scene as stage
from tests.platform import volumes
from tests.platform.cluster import PATIENCE_S, Cluster, Manifest, cluster, waits
from tests.platform.container import ROOT
from tests.platform.network import network, refused
from tests.platform.pods import Pod
from tests.platform.scene import POLICY, SERVICE, Scene
from tests.platform.watch import Watch, missing

TRITON, REDIS = f"{SERVICE}-triton", f"{SERVICE}-redis"
CLAIM, SECRET = "small", "mesh-tls"
HOURS = 24 * 90
DISK = 24 << 20
"""Bytes of the disk for records."""
SMALL = frozenset({"SafeguardsRecordsDiskFilling"})
"""Who has such a disk is told of it all the time."""
NARROW, OPEN, BUFFERED, LATE = "narrow", "open", "buffered", "late"
"""Envoys of a fault's own."""

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


def values(*, parts: bool) -> dict[str, Any]:
    """The chart with drains for answers of a few seconds; with `parts` also Triton and Redis, and who asks them."""
    models = {"claim": "models", "digests": digests(), "load": ["screen"]}
    more = {"triton": {"enabled": True, "models": models}, "redis": {"bundled": {"enabled": True}}}
    return stage.values(
        WHOLE_POLICY if parts else POLICY,
        **(more if parts else {}),
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
def whole(folder: Path, helm: Helm, *, parts: bool = True, loopback: bool = False) -> Iterator[Whole]:
    """The release, up, and Envoy before it; without `parts` its filters alone."""
    with (
        ExitStack() as ends,
        network(loopback=loopback) as net,
        cluster(net, folder, ttl_s=1.0) as pods,
        stage.scene(pods, folder) as made,
    ):
        made.refresh_s = 1.0
        if parts:
            tritonserver(pods)
        disk = small_disk(pods.claims / CLAIM, ends)
        one = Whole(made, net.isolated, disk, Authority())
        one.certify()
        stage.installed(made, ordered(helm.render(values(parts=parts))))
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


# What is taken away. Each gives back what it took when `undo` ends.


def kill_filter(one: Whole) -> None:
    one.filters[0].container("extproc").signal(signal.SIGKILL)


def pause_filters(one: Whole) -> None:
    for pod in one.filters:
        process = pod.container("extproc")
        process.signal(signal.SIGSTOP)
        one.undo.callback(process.signal, signal.SIGCONT)


def kill_triton(one: Whole) -> None:
    process = one.triton.container("triton")
    process.kill()


def pause_triton(one: Whole) -> None:
    process = one.triton.container("triton")
    process.signal(signal.SIGSTOP)
    one.undo.callback(process.signal, signal.SIGCONT)


def slow_triton(one: Whole) -> None:
    """It works for a fifth of the time: answers take some 400 ms more."""
    process, ended = one.triton.container("triton"), threading.Event()

    def blink() -> None:
        while not ended.is_set():
            process.signal(signal.SIGSTOP)
            ended.wait(0.4)
            process.signal(signal.SIGCONT)
            ended.wait(0.1)

    thread = threading.Thread(target=blink, daemon=True)
    thread.start()
    one.undo.callback(thread.join)
    one.undo.callback(ended.set)


def unload_models(one: Whole) -> None:
    _repository(one, "unload")
    one.undo.callback(_repository, one, "load")


def _repository(one: Whole, what: str) -> None:
    connection = http.client.HTTPConnection(one.triton.address, 8000, timeout=PATIENCE_S)
    connection.request("POST", f"/v2/repository/models/screen/{what}", "{}")
    assert 200 == connection.getresponse().status
    connection.close()


def kill_redis(one: Whole) -> None:
    one.redis.container("redis").signal(signal.SIGKILL)


def cut_redis(one: Whole) -> None:
    one.redis.place.host.cut()
    one.undo.callback(one.redis.place.host.join)


def slow_link(one: Whole) -> None:
    """256 kbit/s out of each filter's pod."""
    for pod in one.filters:
        device = [*pod.place.host.within, "tc", "qdisc", "{}", "dev", "eth0", "root"]
        limit = ["tbf", "rate", "256kbit", "burst", "8kb", "latency", "5s"]
        subprocess.run([word.format("add") for word in device] + limit, check=True)
        one.undo.callback(subprocess.run, [word.format("del") for word in device], check=False)


def nothing(one: Whole) -> None:
    """How the fault's Envoy is attached is the fault."""


def extra(one: Whole, name: str, **wanted: Any) -> None:
    """An Envoy more, until the fault is over."""
    lay(one.made.folder / name, one.authority.pair("envoy", HOURS))
    edge = one.made.attach(name, tls=Tls.MUTUAL, **wanted)
    one.undo.callback(processes.stop, edge.part)
    one.undo.callback(one.made.edges.pop, name)


def rotate(one: Whole) -> None:
    before = one.served()
    one.certify()
    waits(lambda: not before & one.served(), "the new certificates are served")


def expire(one: Whole) -> None:
    """Envoys that have a connection keep it: who comes now is refused."""
    one.certify(hours=-1)
    one.undo.callback(one.certify)


def fill_disk(one: Whole) -> None:
    path = one.made.cluster.claims / CLAIM / "filler"
    one.undo.callback(path.unlink)
    with contextlib.suppress(OSError), path.open("wb") as file:
        while True:
            file.write(bytes(1 << 16))
            file.flush()


@dataclass(frozen=True, slots=True)
class Fault:
    """`ends` are the ways in which exchanges may end meanwhile, `must` those of which there is at least one; `seen` is
    what metrics then say, `alerts` who is called. `edge` is the Envoy whose clients are looked at, `wanted` how it is
    attached if it is one of the fault's own, `reached` whether that is before the fault, `passes` whether it lets
    unread bytes pass; `needs` is what the machine must allow: "network", "disk", or nothing."""

    name: str
    begin: Callable[[Whole], None]
    seen: Callable[[Whole], object]
    alerts: frozenset[str]
    ends: frozenset[str] = frozenset({"whole"})
    must: frozenset[str] = frozenset()
    edge: str = "envoy"
    passes: bool = False
    wanted: Mapping[str, Any] = field(default_factory=dict)
    reached: bool = True
    needs: str = ""
    streaming: int = 6


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def degraded(what: str) -> Callable[[Whole], object]:
    return lambda one: one.metric("safeguards_degraded", what=what)


def at_envoy(name: str, edge: str = "envoy") -> Callable[[Whole], object]:
    return lambda one: one.made.edges[edge].stats(name)


AWAY = words("whole 503 cut closed")

FAULTS = (
    Fault(
        "filter killed in mid-stream",
        kill_filter,
        at_envoy("http.ingress.ext_proc.streams_failed"),
        words("SafeguardsStreamsFailed"),
        AWAY,
        words("503"),
    ),
    Fault(
        "filters hang",
        pause_filters,
        lambda one: one.made.edges["envoy"].stats("cluster.safeguards.membership_healthy") == 0,
        words("SafeguardsNoReadyReplicas"),
        AWAY,
        words("503"),
    ),
    Fault(
        "filters hang past message_timeout",
        pause_filters,
        at_envoy("http.ingress.ext_proc.message_timeouts", BUFFERED),
        words("SafeguardsMessageTimeouts"),
        AWAY | words("504"),
        words("503"),
        edge=BUFFERED,
        wanted={"how": How.BUFFERED, "timeout_s": 1.0},
    ),
    Fault(
        "Triton killed",
        kill_triton,
        degraded("model:screen"),
        words("SafeguardsModelNotReady SafeguardsNoReadyReplicas"),
        AWAY,
        words("503"),
    ),
    Fault(
        "Triton hangs",
        pause_triton,
        lambda one: one.metric("safeguards_detector_failures_total", failure="timeout"),
        words("SafeguardsModelFailures"),
        AWAY,
        words("503"),
    ),
    Fault(
        "Triton slow",
        slow_triton,
        lambda one: (
            one.metric("safeguards_phase_seconds_count", phase="request", step="verdict")
            - one.metric("safeguards_phase_seconds_bucket", phase="request", step="verdict", le="0.25")
            > 20
        ),
        words("SafeguardsLatencyBudget"),
    ),
    Fault(
        "models unloading",
        unload_models,
        degraded("model:screen"),
        words("SafeguardsModelNotReady SafeguardsNoReadyReplicas"),
        AWAY,
        words("503"),
    ),
    Fault(
        "Redis dies and comes back",
        kill_redis,
        lambda one: one.metric("safeguards_store_failures_total"),
        words("SafeguardsRedisFailover"),
    ),
    Fault(
        "Redis blackholed",
        cut_redis,
        degraded("redis"),
        words("SafeguardsRedisDown"),
        needs="network",
    ),
    Fault(
        "slow link to the filters",
        slow_link,
        lambda one: True,
        words("SafeguardsLatencyBudget"),
        needs="network",
    ),
    Fault(
        "circuit breaker overflows",
        nothing,
        at_envoy("cluster.safeguards.upstream_rq_(active|pending)_overflow", NARROW),
        words("SafeguardsBreakerOverflow"),
        AWAY,
        words("503"),
        edge=NARROW,
        wanted={"streams": 4},
    ),
    Fault(
        "circuit breaker overflows where Envoy fails open",
        nothing,
        at_envoy("http.ingress.ext_proc.failure_mode_allowed", OPEN),
        words("SafeguardsUncheckedTraffic"),
        AWAY,
        edge=OPEN,
        wanted={"streams": 4, "how": How.FAIL_OPEN},
        passes=True,
    ),
    Fault(
        "certificate rotated",
        rotate,
        lambda one: one.metric("safeguards_certificate_loads_total", result="ok"),
        frozenset(),
    ),
    Fault(
        "certificate expired",
        expire,
        lambda one: one.made.edges[LATE].stats("cluster.safeguards.membership_healthy") == 0,
        words("SafeguardsCertificateExpiry SafeguardsNoReadyReplicas"),
        words("503"),
        words("503"),
        edge=LATE,
        reached=False,
    ),
    Fault(
        "disk full",
        fill_disk,
        lambda one: one.metric("safeguards_record_failures_total"),
        words("SafeguardsRecordsNotWritten"),
        AWAY,
        words("503"),
        needs="disk",
    ),
)


@dataclass(frozen=True, slots=True)
class Told:
    """What was seen while a fault lasted, and after it."""

    ways: frozenset[str]
    counts: dict[str, Any]
    canaries: int
    before: frozenset[str]
    alerts: frozenset[str]
    seconds: float

    def wrong(self, fault: Fault) -> list[str]:
        """What is not as it should be."""
        problems = []
        if strange := self.ways - fault.ends:
            problems.append(f"exchanges ended as {sorted(strange)}: {self.counts['failures'][:3]}")
        if lacking := fault.must - self.ways:
            problems.append(f"no exchange ended as {sorted(lacking)}")
        passed = self.counts["unchecked"] + self.canaries
        if fault.passes != bool(passed):
            problems.append(
                f"{self.counts['unchecked']} bytes unread at clients, {self.canaries} canaries at the model"
            )
        if silent := fault.alerts - self.alerts:
            problems.append(f"nobody is told by {sorted(silent)}, only by {sorted(self.alerts)}")
        own = fault.alerts if fault.edge != "envoy" else frozenset[str]()  # its Envoy was there before
        if early := self.before - SMALL - own:
            problems.append(f"before it somebody was told by {sorted(early)}")
        return problems


def play(one: Whole, fault: Fault, *, watched: bool = True) -> Told:
    """A fault under load, from the last good answer before it to the first ones after it."""
    began, canaries = time.monotonic(), one.made.seen()["canaries"]
    if fault.edge != "envoy":
        if not fault.reached:
            fault.begin(one)
        extra(one, fault.edge, **fault.wanted)
        if fault.reached:
            waits(one.made.knows_all, "it sends to every pod")
    watch = Watch(one.made, fault.name.replace(" ", "-")) if watched else None
    try:
        before = frozenset(watch.alerts()) if watch else frozenset[str]()
        load = one.made.load(4, fault.streaming, events=30, rate=60, edge=fault.edge)
        waits(lambda: load.ended("asked") > 20, "there is load")
        if fault.reached:
            fault.begin(one)
        waits(lambda: fault.seen(one), f"metrics tell of it: {fault.name}")
        waits(lambda: fault.must <= _ways(load.counts), f"clients notice: {fault.name}; {load.counts}")
        alerts = set[str]()
        if watch:
            until = time.monotonic() + 30
            while not fault.alerts <= alerts and time.monotonic() < until:
                alerts |= watch.alerts()
                time.sleep(0.2)
        if fault.edge != "envoy":
            counts = load.stop()
        one.undo.close()
        recovers(one, fault)
        counts = load.stop()
        return Told(
            _ways(counts),
            counts,
            one.made.seen()["canaries"] - canaries,
            before,
            frozenset(alerts),
            time.monotonic() - began,
        )
    finally:
        one.undo.close()
        if watch:
            watch.stop()


def recovers(one: Whole, fault: Fault) -> None:
    """Without any help: all pods ready, Envoy sends to them, and whatever is asked is answered whole."""
    waits(lambda: len([pod for pod in one.filters if pod.ready]) == 2, "filters are ready")
    waits(one.made.knows_all, "Envoy sends to every pod")
    waits(lambda: not one.metric("safeguards_degraded"), "nothing is degraded")
    waits(lambda: all_whole(one), f"{fault.name}: whatever is asked is answered whole")


def all_whole(one: Whole) -> bool:
    """Whether a few more exchanges are; what has come back is known to everybody a second or two later."""
    load = one.made.load(2, 2, events=5)
    waits(lambda: load.ended("asked") > 50 and load.ended("streamed") > 4, "there is load")
    return {"whole"} == _ways(load.stop())


def _ways(counts: dict[str, Any]) -> frozenset[str]:
    return frozenset(counts["asked"]) | frozenset(counts["streamed"])


def allowed(one: Whole, fault: Fault) -> str:
    """Why a fault cannot be made here, "" if it can."""
    if fault.needs == "network" and not one.isolated:
        return f"it needs network namespaces: {refused()}"
    if fault.needs == "disk" and not one.disk:
        return "it needs the right to mount a disk"
    return ""


def main(names: Sequence[str]) -> int:
    """Play the faults of these names, or all; 0 if all is as it should be."""
    watched = not missing()
    if not watched:
        say(f"alerts are not looked at: {missing()}")
    with tempfile.TemporaryDirectory(prefix="safeguards-") as name:
        folder = Path(name)
        (folder / "helm").mkdir()
        helm = Helm(4, found(4) or downloaded(4), folder / "helm")
        failed = 0
        with whole(folder, helm) as one:
            for fault in FAULTS:
                if names and fault.name not in names:
                    continue
                if why := allowed(one, fault):
                    say(f"left out: {fault.name}: {why}")
                    continue
                try:
                    told = play(one, fault, watched=watched)
                except AssertionError as error:  # what comes next may still be told
                    failed += 1
                    say(f"FAILED: {fault.name}", str(error))
                    continue
                problems = told.wrong(fault)
                failed += bool(problems)
                say(
                    f"{'FAILED' if problems else 'ok'}: {fault.name}: answers {dict(told.counts['asked'])}, streams "
                    f"{dict(told.counts['streamed'])}; unread {told.counts['unchecked']} B at clients, {told.canaries} "
                    f"texts at the model; longest {told.counts['longest_s']:.1f} s; {', '.join(sorted(told.alerts))}",
                    *problems,
                )
    return 1 if failed else 0


def say(*lines: str) -> None:
    sys.stdout.write("\n   ".join(lines) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Pods replaced under load, and what became of every request and every stream meanwhile.

    python -m tests.platform.rolling [TIMES] [REQUESTS] [STREAMS]

As the chart is delivered: two replicas restarted, then upgraded, TIMES over (5), each time beside at least REQUESTS
whole answers (20,000) and STREAMS streamed ones (200); then once without a drain, where some must fail.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.helm.program import Helm, downloaded
from tests.helm.program import installed as found
from tests.platform import scene as stage
from tests.platform.cluster import PATIENCE_S, Manifest, cluster, waits
from tests.platform.network import network, refused
from tests.platform.pods import Pod
from tests.platform.scene import POLICY, SERVICE, Scene

NO_DRAIN = {"preStopSeconds": 0, "delaySeconds": 0, "limitSeconds": 0}


@dataclass(slots=True)
class Pace:
    """How long things take: `drain` and `ttl_s`, `refresh_s` (DNS, and Envoy asking it) belong together."""

    requests: int = 20_000
    streams: int = 200
    drain: Mapping[str, Any] = field(default_factory=dict)
    ttl_s: float = 5.0
    refresh_s: float = 5.0
    asking: int = 16
    streaming: int = 16
    rate: float = 600.0
    replicas: int = 2


@dataclass(slots=True)
class Outcome:
    """What became of a run: counts of the clients, of the model, records, and of pods that ended."""

    counts: dict[str, Any]
    seen: dict[str, int]
    records: int
    replaced: int
    codes: set[int | None]
    drained: list[int]
    seconds: float

    @property
    def failed(self) -> int:
        """Exchanges that did not end well."""
        kinds = (self.counts["asked"], self.counts["streamed"])
        return sum(count for kind in kinds for how, count in kind.items() if how != "whole")

    def __str__(self) -> str:
        asked, streamed = self.counts["asked"].get("whole", 0), self.counts["streamed"].get("whole", 0)
        whole = f"{asked} answers and {streamed} streams whole"
        rest = f"{self.replaced} pods replaced, {sum(self.drained)} exchanges under way when they were told to end"
        return (
            f"{self.failed} failed, {whole}, {self.counts['unchecked']} bytes unchecked; {rest}; {self.seconds:.0f} s"
        )


@contextmanager
def stand(folder: Path, helm: Helm, pace: Pace, *, loopback: bool = False) -> Iterator[tuple[Scene, list[Manifest]]]:
    """The chart installed, Envoy attached; and the manifests that run."""
    with (
        network(loopback=loopback) as net,
        cluster(net, folder, ttl_s=pace.ttl_s) as pods,
        stage.scene(pods, folder) as made,
    ):
        made.refresh_s = pace.refresh_s
        manifests = stage.installed(made, rendered(helm, pace))
        made.attach()
        waits(made.knows_all, "Envoy sends to every pod")
        yield made, manifests


def rendered(
    helm: Helm, pace: Pace, name: str = "platform", drain: Mapping[str, Any] | None = None
) -> Sequence[Manifest]:
    """What Helm renders for two replicas with a policy of this name."""
    chosen = dict(pace.drain if drain is None else drain)
    more: dict[str, Any] = {"replicas": pace.replicas, **({"drain": chosen} if chosen else {})}
    return helm.render(stage.values(dict(POLICY) | {"name": name}, **more))


def roll(made: Scene, pace: Pace, upgrade: Sequence[Manifest], *, restart: bool = True) -> Outcome:
    """A restart and an upgrade beside load, which begins before and ends once every old pod is gone."""
    began, pods, before = time.monotonic(), list(made.cluster.of(SERVICE)), made.seen()
    known = sum(lines(pod) for pod in made.cluster.pods)
    load = made.load(pace.asking, pace.streaming, rate=pace.rate)
    waits(lambda: load.ended("streamed") >= pace.streaming, "every client has had a stream", 4 * PATIENCE_S)
    if restart:
        made.cluster.roll_out(SERVICE, anew=True)
        pods += made.cluster.of(SERVICE)
    stage.installed(made, upgrade)
    for pod in pods:
        pod.wait(PATIENCE_S)

    def enough() -> bool:
        return load.ended("asked") >= pace.requests and load.ended("streamed") >= pace.streams

    waits(enough, f"{pace.requests} requests and {pace.streams} streams", 10 * PATIENCE_S)
    counts, after = load.stop(), made.seen()
    return Outcome(
        counts,
        {name: after[name] - before[name] for name in after},
        sum(lines(pod) for pod in made.cluster.pods) - known,
        len(pods),
        {pod.containers[0].code for pod in pods},
        [streams(pod) for pod in pods],
        time.monotonic() - began,
    )


def lines(pod: Pod) -> int:
    """Records of a pod, none of one that keeps none."""
    path = pod.folders.get("records", Path("/nowhere")) / "records.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def streams(pod: Pod) -> int:
    """Exchanges that a pod had when it was told to end, as its log says."""
    rows = [json.loads(line) for line in pod.containers[0].said().splitlines() if line.startswith("{")]
    return next((int(row["streams"]) for row in rows if row["event"] == "draining"), 0)


def say(*lines: str) -> None:
    sys.stdout.write("\n   ".join(lines) + "\n")
    sys.stdout.flush()


def main(times: int, pace: Pace) -> int:
    """Run it; 0 if nothing failed where there is a drain, and something did where there is none."""
    say(f"network: {'addresses of loopback, because ' + refused() if refused() else 'a namespace for each pod'}")
    with tempfile.TemporaryDirectory(prefix="safeguards-") as name:
        folder = Path(name)
        (folder / "helm").mkdir()
        helm = Helm(4, found(4) or downloaded(4), folder / "helm")
        failed = 0
        with stand(folder, helm, pace) as (made, _):
            for number in range(times):
                outcome = roll(made, pace, rendered(helm, pace, f"platform-{number}"))
                say(f"{number + 1}: {outcome}", *outcome.counts["failures"][:3])
                failed += outcome.failed + outcome.counts["unchecked"]
            stage.installed(made, rendered(helm, pace, "short", NO_DRAIN))
            waits(made.knows_all, "Envoy sends to every pod")
            without = roll(made, pace, rendered(helm, pace, "shorter", NO_DRAIN))
            say(f"without a drain: {without}")
    return 1 if failed or not without.failed or without.counts["unchecked"] else 0


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:]]
    chosen = (*given, *(5, 20_000, 200)[len(given) :])
    sys.exit(main(chosen[0], Pace(chosen[1], chosen[2])))

"""What goes wrong in a mesh, one thing after another, and what clients, metrics and the person on call then see.

    python -m tests.platform.faults [NAME ...]

The chart with all its parts (filters, Triton, Redis) runs as rendered behind Envoys; each row of FAULTS takes something
away under load and gives it back. Every row but those that fail open: no byte reaches a client or the model unread.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safeguards_extproc.attach.options import How, Tls
from safeguards_extproc.local import processes
from tests.helm.program import Helm, downloaded
from tests.helm.program import installed as found
from tests.platform.breaking import (
    cut_redis,
    expire,
    fill_disk,
    kill_filter,
    kill_master,
    kill_one_triton,
    kill_redis,
    kill_triton,
    nothing,
    pause_filters,
    pause_triton,
    roll_triton,
    rotate,
    slow_link,
    slow_triton,
    unload_models,
)
from tests.platform.cluster import waits
from tests.platform.network import refused
from tests.platform.release import HOURS, Parts, Whole, lay, whole
from tests.platform.watch import Watch, missing

SMALL = frozenset({"SafeguardsRecordsDiskFilling"})
"""Who has such a disk is told of it all the time."""
NARROW, OPEN, BUFFERED, LATE = "narrow", "open", "buffered", "late"
"""Envoys of a fault's own."""


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
    parts: Parts = Parts.ONE


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def at_once(one: Whole) -> bool:
    """Nothing has to be told."""
    return True


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
        at_once,
        words("SafeguardsLatencyBudget"),
        words("whole 503"),  # what the link cannot carry is shed, as what the processor cannot is
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
    Fault(
        "Redis cluster loses a master",
        kill_master,
        lambda one: one.metric("safeguards_store_failures_total"),
        words("SafeguardsRedisDown"),
        parts=Parts.TWO,
    ),
    Fault(
        "one of two Tritons killed",
        kill_one_triton,
        at_once,
        frozenset(),
        parts=Parts.TWO,
    ),
    Fault(
        "both Tritons replaced",
        roll_triton,
        at_once,
        frozenset(),
        parts=Parts.TWO,
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


def extra(one: Whole, name: str, **wanted: Any) -> None:
    """An Envoy more, until the fault is over."""
    lay(one.made.folder / name, one.authority.pair("envoy", HOURS))
    edge = one.made.attach(name, tls=Tls.MUTUAL, **wanted)
    one.undo.callback(processes.stop, edge.part)
    one.undo.callback(one.made.edges.pop, name)


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
        wanted = [fault for fault in FAULTS if not names or fault.name in names]
        failed = 0
        for parts in Parts:
            if rows := [fault for fault in wanted if fault.parts is parts]:
                (folder / parts).mkdir()
                with whole(folder / parts, helm, parts) as one:
                    failed += sum(shown(one, fault, watched=watched) for fault in rows)
    return 1 if failed else 0


def shown(one: Whole, fault: Fault, *, watched: bool) -> bool:
    """Play a fault and say what was seen; whether something is not as it should be."""
    if why := allowed(one, fault):
        say(f"left out: {fault.name}: {why}")
        return False
    try:
        told = play(one, fault, watched=watched)
    except AssertionError as error:  # what comes next may still be told
        say(f"FAILED: {fault.name}", str(error))
        return True
    problems, counts = told.wrong(fault), told.counts
    say(
        f"{'FAILED' if problems else 'ok'}: {fault.name}: answers {counts['asked']}, streams {counts['streamed']}; "
        f"unread {counts['unchecked']} B at clients, {told.canaries} texts at the model; "
        f"longest {counts['longest_s']:.1f} s; {', '.join(sorted(told.alerts))}",
        *problems,
    )
    return bool(problems)


def say(*lines: str) -> None:
    sys.stdout.write("\n   ".join(lines) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

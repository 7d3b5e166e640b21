"""`make bench`: every figure is taken beside its reference, in turn, in one run.

The machine is not named by its absolute figures but by ratios: requests per second against a processor that decides
nothing (REFERENCE=BIN, a program that takes `SOCKET duplex`), processor time per chunk, time added to a stream. The
part `chunk` needs no Envoy: what a chunk costs in each format, against OpenAI's chat.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import accounts, body, campaigns, cascade, chunk, limits, records, replay, rig, spool
from bench.rig import Processor
from safeguards_extproc.local import triton
from safeguards_extproc.policy.load import load as load_policy
from safeguards_extproc.policy.load import parse as parse_policy

SCRIPT = Path(__file__).with_name("post.lua")
PARTS = [
    "load",
    "stream",
    "chunk",
    "screen",
    "cascade",
    "memory",
    "body",
    "campaigns",
    "limits",
    "spool",
    "records",
    "guard",
    "replay",
]
console = Console(width=150)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--reference", default="", help="a processor that decides nothing: PROGRAM SOCKET duplex")
    parser.add_argument("--seconds", type=int, default=5, help="of load, each time")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=PARTS)
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    patterns = Processor("patterns", rig.ours("policies/minimal.yaml"))
    cores = os.cpu_count() or 1
    every_core = Processor(
        f"patterns, {cores} workers", rig.ours("policies/minimal.yaml", "--workers", str(cores)), workers=cores
    )
    screened = Processor("screen", rig.ours("policies/demo.yaml"), models=("screen",))
    cascaded = Processor("cascade", rig.ours("policies/default.yaml"), models=("screen", "guard", "exchange"))
    reference = [Processor("reference", (options.reference, "{socket}", "duplex"))] if options.reference else []
    figures: dict[str, Any] = {
        "machine": f"{cores} cores, {platform.machine()}",
        "python": platform.python_version(),
    }
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        if "load" in options.only:
            processors = [Processor("none"), *reference, patterns, every_core]
            figures["load"] = load(processors, folder, options.seconds, options.rounds)
        if "stream" in options.only:
            figures["stream"] = stream([Processor("none"), *reference, patterns], folder)
        if "chunk" in options.only:
            figures["chunk"] = chunks()
        missing = triton.available() if {"screen", "cascade", "guard"} & {*options.only} else ""
        if missing:
            console.print(f"no Triton here ({missing}): its figures are left out")
        if "screen" in options.only and not missing:
            figures["screen"] = latency([Processor("none"), patterns, screened], folder)
        if "cascade" in options.only and not missing:
            figures["cascade"] = {
                "requests": cascade.requests([Processor("none"), patterns, screened, cascaded], folder, options.rounds),
                "streams": latency([Processor("none"), cascaded], folder),
            }
        if "guard" in options.only and not missing:
            from bench import guard, screening  # which want torch

            figures["guard"] = {
                "screen": screening.on_the_processor(folder, options.rounds),
                **guard.on_the_processor(folder, options.rounds),
            }
        if "limits" in options.only:
            figures["limits"] = limits.measure(folder, options.rounds)
        if "accounts" in options.only:
            figures["accounts"] = accounts.measure(folder / "accounts")
        if "spool" in options.only:
            figures["spool"] = spool.measure(folder / "spool", options.rounds, console)
        if "replay" in options.only:
            figures["replay"] = replay.measure(500, options.rounds, console)
        if "records" in options.only:
            figures["records"] = records.measure(1_000_000, console)
        if "memory" in options.only:
            figures["memory"] = memory(patterns, folder)
    if "campaigns" in options.only:
        figures["campaigns"] = campaigns.measure(100_000, options.rounds, console=console)
    if "body" in options.only:
        figures["body"] = large(options.rounds)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def load(processors: list[Processor], folder: Path, seconds: int, rounds: int) -> dict[str, Any]:
    """Requests a second at 16 connections and median latency at one, each processor in turn, so many rounds."""
    rates: dict[str, list[float]] = {one.name: [] for one in processors}
    medians: dict[str, list[float]] = {one.name: [] for one in processors}
    costs: dict[str, list[float]] = {one.name: [] for one in processors}
    for number in range(rounds):
        for processor in processors:
            with rig.running(processor, folder / f"load-{number}-{processor.name}") as running:
                rig.load(running.place, 16, 1, SCRIPT)
                before = running.cpu_s()
                rate, _, failures = rig.load(running.place, 16, seconds, SCRIPT)
                spent = running.cpu_s() - before
                _, median, failed = rig.load(running.place, 1, max(2, seconds // 2), SCRIPT)
                if failures + failed:
                    raise SystemExit(f"bench: {failures + failed} requests failed with {processor.name}")
                rates[processor.name].append(rate)
                medians[processor.name].append(median)
                costs[processor.name].append(spent / (rate * seconds) * 1e6)
    base = "reference" if "reference" in rates else "none"
    table = Table(
        "processor", "requests/s", f"of {base}", "processor CPU per request", "median at one", f"above {base}"
    )
    table.title = f"68-byte POST, full duplex, medians of {rounds} rounds"
    result = {}
    for name in rates:
        rate, median = statistics.median(rates[name]), statistics.median(medians[name])
        ratio = statistics.median(a / b for a, b in zip(rates[name], rates[base], strict=True))
        above = statistics.median(a - b for a, b in zip(medians[name], medians[base], strict=True))
        cost = statistics.median(costs[name])
        result[name] = {"rps": rate, "ratio": ratio, "cpu_us": cost, "median_ms": median, "above_ms": above}
        table.add_row(name, f"{rate:,.0f}", f"{ratio:.2f}", f"{cost:.0f} µs", f"{median:.2f} ms", f"{above:+.2f} ms")
    console.print(table)
    return result


def read(place: str, streams: int, hold: float = 0) -> dict[str, Any]:
    """What `streams` clients saw."""
    argv = [sys.executable, "-m", "bench.client", place, str(streams), str(hold)]
    seen: dict[str, Any] = json.loads(subprocess.run(argv, capture_output=True, check=True).stdout)
    return seen


def stream(processors: list[Processor], folder: Path, streams: int = 150, events: int = 200) -> dict[str, Any]:
    """150 answers of 200 events at 50 a second: processor time per chunk."""
    table = Table("processor", "complete", "seconds", "CPU per chunk", "first event p50", "p99")
    table.title = f"{streams} streams of {events} events at 50/s, full duplex"
    result = {}
    for processor in processors:
        with rig.running(processor, folder / f"stream-{processor.name}", stream=(str(events), "50")) as running:
            before, began = running.cpu_s(), time.monotonic()
            seen = read(running.place, streams)
            spent, took = running.cpu_s() - before, time.monotonic() - began
        firsts = sorted(seen["first_s"])
        row = {
            "complete": seen["complete"],
            "seconds": took,
            "cpu_us_per_chunk": spent / (streams * events) * 1e6,
            "first_p50_ms": quantile(firsts, 0.5) * 1000,
            "first_p99_ms": quantile(firsts, 0.99) * 1000,
        }
        result[processor.name] = row
        table.add_row(
            processor.name,
            f"{row['complete']}/{streams}",
            f"{took:.1f}",
            f"{row['cpu_us_per_chunk']:.0f} µs" if processor.argv else "",
            f"{row['first_p50_ms']:.0f} ms",
            f"{row['first_p99_ms']:.0f} ms",
        )
    console.print(table)
    return result


def chunks() -> dict[str, float]:
    """Processor time of a streamed chunk within the filter, by format."""
    costs = chunk.cost(load_policy("policies/minimal.yaml"))
    base = costs[chunk.BASE]
    table = Table("format", "CPU per chunk", f"of {chunk.BASE}")
    table.title = "a word a chunk, 50 a second, without Envoy and gRPC"
    for name, cost in costs.items():
        table.add_row(name, f"{cost:.1f} µs", f"{cost / base:.2f}")
    console.print(table)
    return costs


def latency(processors: list[Processor], folder: Path, events: int = 150) -> dict[str, Any]:
    """Time added to the first token and to every event, at 1, 16 and 64 streams."""
    table = Table(
        "processor", "streams", "first token p50", "p99", "added p50", "p99", "event p50", "p99", "added p50", "p99"
    )
    table.title = f"answers of {events} events at 50/s; an event's time is from its sending to its reading"
    result: dict[str, Any] = {}
    for processor in processors:
        with rig.running(processor, folder / f"latency-{processor.name}", stream=(str(events), "50")) as running:
            read(running.place, 1)
            for streams in (1, 16, 64):
                runs = [read(running.place, streams) for _ in range(5 if streams == 1 else 1)]
                firsts = sorted(second * 1000 for run in runs for second in run["first_s"])
                travelled = sorted(ms for run in runs for ms in run["travelled_ms"])
                row = [
                    quantile(firsts, 0.5),
                    quantile(firsts, 0.99),
                    quantile(travelled, 0.5),
                    quantile(travelled, 0.99),
                ]
                bare = result.get(f"none/{streams}", row)
                result[f"{processor.name}/{streams}"] = row
                added = [mine - theirs for mine, theirs in zip(row, bare, strict=True)]
                cells = (*row[:2], *added[:2], *row[2:], *added[2:])
                table.add_row(processor.name, str(streams), *(f"{cell:.1f} ms" for cell in cells))
    console.print(table)
    return result


def memory(processor: Processor, folder: Path, streams: int = 1000) -> dict[str, Any]:
    """Resident memory of a worker at rest, and with 1,000 streams that have sent one event and are silent."""
    with rig.running(processor, folder / "memory", stream=("1", "50", "12")) as running:
        rest = running.rss_mb()
        argv = [sys.executable, "-m", "bench.client", running.place, str(streams), "8"]
        client = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
        time.sleep(6)
        loaded = running.rss_mb()
        client.wait()
    console.print(f"memory of a worker: {rest:.0f} MiB at rest, {loaded:.0f} MiB with {streams} idle streams")
    return {"rest_mib": rest, "idle_streams": streams, "loaded_mib": loaded}


def large(rounds: int) -> dict[str, Any]:
    """Processor time per KB by size, and the worst lag of a loop on which 10 MB are read, of the best round."""
    table = Table("request", "read", "read and searched (policies/minimal.yaml)", title="processor time per KB of JSON")
    curve = body.curve(Path("policies/minimal.yaml"))
    for size, costs in curve.items():
        table.add_row(size, f"{costs['read']:.1f} µs", f"{costs['detect']:.1f} µs")
    console.print(table)
    table = Table("request", "read", "all but models (policies/demo.yaml)", title="by kind of text, medians")
    kinds = body.kinds(parse_policy(body.without_models(Path("policies/demo.yaml")), "demo"))
    for name, costs in kinds.items():
        table.add_row(name, f"{costs['read']:.1f} µs", f"{costs['detect']:.1f} µs")
    console.print(table)
    table = Table("10 MB", "worst lag", "of it the loop's own", "with nothing to do", "seconds", "outcome")
    table.title = f"what another stream of the process sees, best of {rounds}"
    lags = body.lags(rounds, Path("policies/minimal.yaml"))
    for shape, row in lags.items():
        lag, own, quiet = (f"{row[name]:.1f} ms" for name in ("lag_ms", "busy_ms", "quiet_ms"))
        table.add_row(shape, lag, own, quiet, f"{row['s']:.2f}", row["outcome"])
    console.print(table)
    return {"us_per_kb": curve, "us_per_kb_by_kind": kinds, "lag": lags}


def quantile(ordered: list[float], share: float) -> float:
    """The value below which `share` of the ordered values lie (nearest rank)."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


if __name__ == "__main__":
    main()

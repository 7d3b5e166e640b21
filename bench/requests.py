"""Requests a second, and what each takes longer, by scenario and processor: all of them in turn, round by round."""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from bench.offered import histogram
from bench.processors import NONE
from bench.rig import Run, Stage, offer, press
from bench.scenarios import SCENARIOS

SPARE = 0.7
"""The share of its capacity above which a processor's latency says how long a queue is, and nothing else."""


@dataclass(frozen=True)
class Plan:
    """How long each load lasts, seconds, and how often all of it is gone through."""

    seconds: float = 3.0
    rounds: int = 3


Key = tuple[str, str, int]


def measure(stage: Stage, plan: Plan, base: str) -> dict[str, list[dict[str, Any]]]:
    """Rows of "capacity" and of "latency". `base` is whom capacities are compared with."""
    peaks: dict[Key, list[float]] = defaultdict(list)
    failed: dict[Key, list[float]] = defaultdict(list)
    spent: dict[Key, list[dict[str, float]]] = defaultdict(list)
    runs: dict[tuple[str, str, int, float], list[Run]] = defaultdict(list)
    for _ in range(plan.rounds):
        for scenario in SCENARIOS.values():
            for rig in stage.rigs.values():
                if scenario.name in rig.processor.scenarios:
                    for connections in scenario.loaded:
                        peak = press(rig, scenario, connections, plan.seconds)
                        peaks[scenario.name, rig.processor.name, connections].append(peak.per_s)
                        failed[scenario.name, rig.processor.name, connections].append(peak.failed)
                        spent[scenario.name, rig.processor.name, connections].append(peak.cpu_us)
            for connections, rate in scenario.loads:
                for rig in stage.rigs.values():
                    name = rig.processor.name
                    known = peaks.get((scenario.name, name, scenario.loaded[0]), [0.0])
                    if rate <= SPARE * statistics.median(known):
                        run = offer(rig, scenario, connections, rate, plan.seconds)
                        runs[scenario.name, name, connections, rate].append(run)
    capacity = [
        {
            "scenario": scenario,
            "processor": name,
            "connections": connections,
            "per_s": statistics.median(rates),
            "failed": statistics.median(failed[scenario, name, connections]),
            f"of {base}": _ratio(rates, peaks.get((scenario, base, connections), [])),
            **_mean(spent[scenario, name, connections]),
        }
        for (scenario, name, connections), rates in peaks.items()
    ]
    return {"capacity": capacity, "latency": _latencies(runs)}


def _latencies(runs: dict[tuple[str, str, int, float], list[Run]]) -> list[dict[str, Any]]:
    rows = []
    for (scenario, name, connections, rate), each in runs.items():
        last = histogram()
        for run in each:
            last.add(run.last)
        row: dict[str, Any] = {"scenario": scenario, "processor": name, "connections": connections, "rate": rate}
        for percent in (50, 90, 99, 99.9):
            row[f"p{percent:g}_ms"] = last.get_value_at_percentile(percent) / 1000
        bare = runs.get((scenario, NONE.name, connections, rate), [])
        for percent in (50, 99) if bare else ():
            added = [mine.p_ms(percent) - theirs.p_ms(percent) for mine, theirs in zip(each, bare, strict=False)]
            row[f"added_p{percent}_ms"] = statistics.median(added)
        row["answered"] = sum(run.good for run in each) / sum(run.offered for run in each)
        rows.append({**row, **_mean([run.cpu_us for run in each]), **_memory(each[-1].rss_mib)})
    return rows


def _ratio(mine: list[float], theirs: list[float]) -> float | None:
    """The median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(mine, theirs, strict=True)) if theirs else None


def _mean(spent: list[dict[str, float]]) -> dict[str, float]:
    return {f"{part}_us": statistics.median(one[part] for one in spent) for part in spent[0]}


def _memory(rss_mib: dict[str, float]) -> dict[str, float]:
    return {f"{part}_mib": mib for part, mib in rss_mib.items() if part in ("processor", "triton")}

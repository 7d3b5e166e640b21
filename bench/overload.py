"""Goodput up to three times capacity: answers that came in time, a second, with shedding and without.

On one machine the client, Envoy and the model server need the same cores, and the more is offered the more of them:
what they leave is what a processor that decides nothing shows at the same load, with nothing to shed.
"""

from __future__ import annotations

from typing import Any

from bench.processors import NO_OP, PATTERNS, UNSHED
from bench.rig import Rig, Run, Stage, offer, press
from bench.scenarios import SCENARIOS

LATE_S = 2.0
"""After that an answer is no good."""

STEPS = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0)
CONNECTIONS = 900
MIXED = SCENARIOS["mixed"]


def measure(stage: Stage, seconds: float = 6.0) -> list[dict[str, Any]]:
    """A row for each load, of the filter as it is, of one that turns nobody away, and of the no-op."""
    rigs = [stage.rigs[each.name] for each in (PATTERNS, UNSHED, NO_OP) if each.name in stage.rigs]
    capacity = press(rigs[0], MIXED, 64, seconds).per_s
    rows: list[dict[str, Any]] = []
    for step in STEPS:
        runs = [(rig, offer(rig, MIXED, CONNECTIONS, step * capacity, seconds)) for rig in rigs]
        rows += [_row(rig, step, capacity, run, seconds) for rig, run in runs]
    for rig in rigs:
        mine = [row for row in rows if row["processor"] == rig.processor.name]
        peak = max(row["goodput_per_s"] for row in mine)
        for row in mine:
            row["of peak"] = row["goodput_per_s"] / peak if peak else None
    return rows


def _row(rig: Rig, step: float, capacity: float, run: Run, seconds: float) -> dict[str, Any]:
    good = in_time(run)
    unclear = {how: count for how, count in run.ends.items() if how not in ("200", "503")}
    return {
        "processor": rig.processor.name,
        "load": step,
        "offered_per_s": step * capacity,
        "goodput_per_s": good / seconds,
        "answered": run.good / run.offered,
        "shed": run.ends.get("503", 0) / run.offered,
        "neither": sum(unclear.values()) / run.offered,
        "p50_ms": run.p_ms(50),
        "p99_ms": run.p_ms(99),
        "shed_p99_ms": run.other.get_value_at_percentile(99) / 1000,
        **{f"{part}_us": run.cpu_us[part] for part in ("processor", "envoy", "client")},
    }


def in_time(run: Run) -> int:
    """Answers with 200 within LATE_S of when the request was due."""
    return sum(
        item.count_added_in_this_iter_step
        for item in run.last.get_recorded_iterator()
        if item.value_iterated_to <= LATE_S * 1e6
    )

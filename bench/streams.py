"""Streamed answers: what a chunk costs, and how much later the first and every other one comes.

Beside `many` idle streams that have all sent something, too, and while the model server takes its time.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hdrh.histogram import HdrHistogram

from bench.hold import percentile, travelled_ms
from bench.processors import MINIMAL, NO_OP, NONE, PATTERNS
from bench.rig import Rig, Stage, apart, offer
from bench.scenarios import SCENARIOS, streamed
from safeguards_extproc.policy.load import load

LOADS = ((1, 50), (64, 20), (64, 50), (64, 100), (150, 50))
"""Streams at once, and events a second of each."""

OPENED_PER_S = 400
"""Thousands of streams come one after the other."""

SECONDS = 3.0
ROUNDS = 3
PERCENTS = (50, 99)
PREFILL_MS = 200
"""Longer than any verdict takes."""


@dataclass(frozen=True)
class Seen:
    """What clients saw: microseconds."""

    complete: int
    refused: int
    events: int
    first: HdrHistogram
    travelled: HdrHistogram
    between: HdrHistogram


def read(rig: Rig, body: bytes, streams: int, hold: float = 0) -> Seen:
    """What `streams` clients saw that send `body`."""
    return _seen(_reading(rig, body, streams, hold))


def _reading(rig: Rig, body: bytes, streams: int, hold: float = 0, per_s: float = 0) -> subprocess.Popen[bytes]:
    file = rig.folder / f"{time.monotonic_ns()}.body"
    file.write_bytes(body)
    argv = [sys.executable, "-m", "bench.client", rig.place, str(file), str(streams), str(hold), str(per_s)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE)


def _seen(client: subprocess.Popen[bytes]) -> Seen:
    out, _ = client.communicate()
    if client.returncode:
        raise SystemExit("bench: a client of streams failed")
    said = json.loads(out)
    histograms = [HdrHistogram.decode(said[name]) for name in ("first", "travelled", "between")]
    return Seen(said["complete"], said["refused"], said["events"], *histograms)


def measure(stage: Stage) -> list[dict[str, Any]]:
    """A row for each load and processor: medians of the rounds. What an event travels is known where its id comes
    through; `hold` is what the window itself makes of that, and `beyond` what is left of a percentile without it and
    without what the no-op shows in the same round."""
    rows: list[dict[str, Any]] = []
    hold = _hold()
    for streams, rate in LOADS:
        body = streamed(int(SECONDS * rate), rate)
        found: dict[str, list[dict[str, Any]]] = {}
        for turn in range(ROUNDS):
            for rig in stage.rigs.values():
                if rig.processor.streams and (not turn or rig.processor in (NONE, NO_OP, PATTERNS)):
                    read(rig, streamed(2, 50), 1)
                    found.setdefault(rig.processor.name, []).append(_read(rig, body, streams))
        for name, mine in found.items():
            row: dict[str, Any] = {"processor": name, "streams": streams, "rate": rate}
            row |= {key: _median([one[key] for one in mine]) for key in mine[0]}
            if name != NONE.name:
                row |= _above(mine, found[NONE.name], "added")
            if name == PATTERNS.name:
                row |= {f"hold_p{percent}_ms": hold(rate, percent) for percent in PERCENTS}
                if NO_OP.name in found:
                    above = _above(mine, found[NO_OP.name], "beyond", ("event",))
                    row |= {key: each - hold(rate, int(key[-5:-3])) for key, each in above.items()}
            rows.append(row)
    return rows


def _read(rig: Rig, body: bytes, streams: int) -> dict[str, Any]:
    before, began = rig.cpu_s(), time.monotonic()
    seen = read(rig, body, streams)
    took, after = time.monotonic() - began, rig.cpu_s()
    row = {"complete": seen.complete / streams, "refused": seen.refused, "seconds": took}
    row |= _quantiles("first", seen.first) | _quantiles("between", seen.between)
    if not rig.processor.alone:
        row |= _quantiles("event", seen.travelled)
    return {**row, **{f"{part}_us": (after[part] - before[part]) / max(1, seen.events) * 1e6 for part in before}}


def _above(
    mine: list[dict[str, Any]],
    theirs: list[dict[str, Any]],
    name: str,
    kinds: Sequence[str] = ("first", "between", "event"),
) -> dict[str, float]:
    """The medians of how much later it was than with others in the same rounds."""
    keys = [f"{kind}_p{percent}_ms" for kind in kinds for percent in PERCENTS]
    return {
        f"{name}_{key}": _median([one[key] - other[key] for one, other in zip(mine, theirs, strict=False)])
        for key in keys
        if key in mine[0] and key in theirs[0]
    }


def _hold() -> Callable[[int, int], float]:
    policy = load(MINIMAL)
    held = {rate: travelled_ms(policy, rate) for rate in {rate for _, rate in LOADS}}
    return lambda rate, percent: percentile(held[rate], percent)


def _median(values: Sequence[float]) -> float:
    return statistics.median(values)


def many(rig: Rig, idle: int = 2000, active: int = 500) -> dict[str, Any]:
    """Memory at rest, with so many streams that have fallen silent, and what active ones see beside them."""
    rest = rig.rss_mib()["processor"]
    opening_s = idle / OPENED_PER_S
    quiet = _reading(rig, _silent(60), idle, 20, OPENED_PER_S)
    time.sleep(opening_s + 3)
    loaded = rig.rss_mib()["processor"]
    before = rig.cpu_s()["processor"]
    seen = _seen(_reading(rig, streamed(60, 10), active, 0, OPENED_PER_S))
    spent = rig.cpu_s()["processor"] - before
    both = rig.rss_mib()["processor"]
    held = _seen(quiet)
    return {
        "processor": rig.processor.name,
        "idle": idle,
        "idle_begun": held.first.get_total_count(),
        "active": active,
        "complete": seen.complete,
        "refused": held.refused + seen.refused,
        "rest_mib": rest,
        "idle_mib": loaded,
        "both_mib": both,
        "kib_per_idle_stream": (loaded - rest) * 1024 / idle,
        "chunk_us": spent / max(1, seen.events) * 1e6,
        **_quantiles("event", seen.travelled),
    }


def beside(stage: Stage, prompts: int = 64, streams: int = 20) -> list[dict[str, Any]]:
    """What readers of streams see while so many prompts of 220 KB come at once, and what they see without: medians of
    the rounds. The generator, the processor's Envoy and the model server share the cores, so the no-op's row says what
    the burst does to a stream before any processor decides."""
    rigs = [stage.rigs[each.name] for each in (NONE, NO_OP, PATTERNS) if each.name in stage.rigs]
    found: dict[str, list[dict[str, Any]]] = {rig.processor.name: [] for rig in rigs}
    for rig in rigs:
        offer(rig, SCENARIOS["220 KB prompt"], 1, 4, 1)
    for _ in range(ROUNDS):
        for rig in rigs:
            found[rig.processor.name].append(_beside(rig, prompts, streams))
    return [
        {"processor": name, "streams": streams, **{key: _median([one[key] for one in mine]) for key in mine[0]}}
        for name, mine in found.items()
    ]


def _beside(rig: Rig, prompts: int, streams: int) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name in ("alone", "beside"):
        reading = _reading(rig, streamed(200, 50), streams)
        time.sleep(1.5)
        if name == "beside":
            run = offer(rig, SCENARIOS["220 KB prompt"], prompts, prompts * 100, 0.01)
            row |= {"prompts": run.good, "prompts_p99_ms": run.p_ms(99), "prompt_us": run.cpu_us.get("processor", 0.0)}
        seen = _seen(reading)
        row |= {f"{name}_{key}": each for key, each in _quantiles("event", seen.travelled).items()}
        row[f"{name}_event_max_ms"] = seen.travelled.get_max_value() / 1000
    return {**row, "held_up_ms": row["beside_event_max_ms"] - row["alone_event_max_ms"]}


def overlap(stage: Stage, names: Sequence[str], times: int = 30) -> list[dict[str, Any]]:
    """Time to the first token of a model server that takes PREFILL_MS to begin, one request after the other, the
    processors in turn; `added` is the median of the differences to no filter.

    Triton has a core to itself, and everything else the others: on one machine of two cores its arithmetic would keep
    the request from the model server, which no machine of its own does."""
    body = streamed(5, 50, PREFILL_MS)
    rigs = [stage.rigs[name] for name in (NONE.name, NO_OP.name, *names) if name in stage.rigs]
    firsts: dict[str, list[float]] = {rig.processor.name: [] for rig in rigs}
    answered = dict.fromkeys(firsts, 0)
    with apart(stage):
        for rig in rigs * times:
            seen = read(rig, body, 1)
            firsts[rig.processor.name].append(seen.first.get_max_value() / 1000)
            answered[rig.processor.name] += seen.complete
    return [
        {
            "processor": name,
            "complete": answered[name] / times,
            "first_p50_ms": _median(mine),
            "added_first_p50_ms": _median([one - bare for one, bare in zip(mine, firsts[NONE.name], strict=True)]),
        }
        for name, mine in firsts.items()
    ]


def _silent(seconds: int) -> bytes:
    """A stream of two events, of which the filter may hold the last word, and so many seconds of silence."""
    return streamed(2, 50).replace(b'"bench-2-50-0"', f'"bench-2-50-0-{seconds}"'.encode())


def _quantiles(name: str, found: HdrHistogram) -> dict[str, float]:
    return {f"{name}_p{percent}_ms": found.get_value_at_percentile(percent) / 1000 for percent in PERCENTS}

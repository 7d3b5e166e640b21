"""Streamed answers: what a chunk costs, and how much later the first and every other one comes.

Beside `many` idle streams that have all sent something, too, and while the model server takes its time.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hdrh.histogram import HdrHistogram

from bench.offered import histogram
from bench.processors import NONE
from bench.rig import Rig, Stage, offer
from bench.scenarios import SCENARIOS, streamed

LOADS = ((1, 50), (64, 20), (64, 50), (64, 100), (150, 50))
"""Streams at once, and events a second of each."""

OPENED_PER_S = 400
"""Thousands of streams come one after the other."""

SECONDS = 3.0
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
    """A row for each load and processor. What an event travels is known where its id comes through."""
    rows: list[dict[str, Any]] = []
    bare: dict[tuple[int, float], Seen] = {}
    for streams, rate in LOADS:
        for rig in stage.rigs.values():
            if not rig.processor.streams:
                continue
            events = int(SECONDS * rate)
            read(rig, streamed(2, 50), 1)
            before, began = rig.cpu_s(), time.monotonic()
            seen = _repeated(rig, streamed(events, rate), streams, 3 if streams == 1 else 1)
            took, after = time.monotonic() - began, rig.cpu_s()
            row: dict[str, Any] = {
                "processor": rig.processor.name,
                "streams": streams,
                "rate": rate,
                "complete": seen.complete / (streams * (3 if streams == 1 else 1)),
                "refused": seen.refused,
                "seconds": took,
                **_quantiles("first", seen.first),
                **_quantiles("between", seen.between),
            }
            if not rig.processor.alone:
                row |= _quantiles("event", seen.travelled)
            if rig.processor == NONE:
                bare[streams, rate] = seen
            elif (streams, rate) in bare:
                row |= _added(seen, bare[streams, rate], own=not rig.processor.alone)
            row |= {f"{part}_us": (after[part] - before[part]) / max(1, seen.events) * 1e6 for part in before}
            rows.append(row)
    return rows


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


def beside(rig: Rig, prompts: int = 64, streams: int = 20) -> dict[str, Any]:
    """What readers of streams see while so many prompts of 220 KB come at once, and what they see without."""
    long, row = SCENARIOS["220 KB prompt"], dict[str, Any]()
    offer(rig, long, 1, 4, 1)
    for name in ("alone", "beside"):
        reading = _reading(rig, streamed(200, 50), streams)
        time.sleep(1.5)
        if name == "beside":
            run = offer(rig, long, prompts, prompts * 100, 0.01)
            row |= {"prompts": run.good, "prompts_p99_ms": run.p_ms(99), "prompt_us": run.cpu_us["processor"]}
        seen = _seen(reading)
        row |= {f"{name}_{key}": each for key, each in _quantiles("event", seen.travelled).items()}
        row[f"{name}_event_max_ms"] = seen.travelled.get_max_value() / 1000
    return {"processor": rig.processor.name, "streams": streams, **row}


def overlap(stage: Stage, names: Sequence[str], times: int = 15) -> list[dict[str, Any]]:
    """Time to the first token of a model server that takes PREFILL_MS to begin, one request after the other, the
    processors in turn."""
    body = streamed(5, 50, PREFILL_MS)
    rigs = [stage.rigs[name] for name in (NONE.name, *names) if name in stage.rigs]
    firsts = {rig.processor.name: histogram() for rig in rigs}
    for _ in range(times):
        for rig in rigs:
            firsts[rig.processor.name].add(read(rig, body, 1).first)
    bare = firsts[NONE.name].get_value_at_percentile(50)
    return [
        {
            "processor": name,
            **_quantiles("first", first),
            "added_first_p50_ms": (first.get_value_at_percentile(50) - bare) / 1000,
        }
        for name, first in firsts.items()
    ]


def _repeated(rig: Rig, body: bytes, streams: int, times: int) -> Seen:
    first, travelled, between = histogram(), histogram(), histogram()
    complete = refused = events = 0
    for _ in range(times):
        seen = read(rig, body, streams)
        complete, refused, events = complete + seen.complete, refused + seen.refused, events + seen.events
        for into, found in ((first, seen.first), (travelled, seen.travelled), (between, seen.between)):
            into.add(found)
    return Seen(complete, refused, events, first, travelled, between)


def _silent(seconds: int) -> bytes:
    """A stream of two events, of which the filter may hold the last word, and so many seconds of silence."""
    return streamed(2, 50).replace(b'"bench-2-50-0"', f'"bench-2-50-0-{seconds}"'.encode())


def _quantiles(name: str, found: HdrHistogram) -> dict[str, float]:
    return {f"{name}_p{percent}_ms": found.get_value_at_percentile(percent) / 1000 for percent in (50, 99)}


def _added(seen: Seen, bare: Seen, *, own: bool) -> dict[str, float]:
    pairs = {"first": (seen.first, bare.first), "between": (seen.between, bare.between)}
    if own:
        pairs["event"] = (seen.travelled, bare.travelled)
    return {
        f"added_{name}_p{percent}_ms": (mine.get_value_at_percentile(percent) - theirs.get_value_at_percentile(percent))
        / 1000
        for name, (mine, theirs) in pairs.items()
        for percent in (50, 99)
    }

"""What keeping a record costs an exchange: encoding it, each sink on top of that, and waiting for the disk.

`keep` runs on the loop that serves streams, so its time is that of all of them. Rounds take turns and the best of each
is kept, because whatever else runs on the machine only ever adds to it.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table

from safeguards_extproc.adapters.syncing import Sync, Syncing, SyncSettings
from safeguards_extproc.core.record import Account, ChannelAccount, Checks, FiredRule, Phase, Record
from safeguards_extproc.records.encode import to_json
from safeguards_extproc.records.jsonl import JsonLines, JsonLinesSettings
from safeguards_extproc.records.origin import Origin, epoch
from safeguards_extproc.records.sinks import Recorder, Sink
from safeguards_extproc.records.spool import Spool, SpoolSettings
from safeguards_extproc.telemetry import Metrics

RECORDS = 20_000
"""Of a round; a segment holds some thirty thousand of them."""
WAITS = 200
DETECTORS = {
    "screen": ("attack", "unsafe"),
    "guard": ("violence", "sexual", "self-harm", "hate", "attack"),
    "pii": ("email",),
}


def phase(*kinds: str) -> Phase:
    """A direction that three detectors looked at."""
    scores = {f"{name}.{label}": 0.0123 for name, labels in DETECTORS.items() for label in labels}
    return Phase(
        fired=[FiredRule("attack", "block", "shadow", "true")],
        scores={kind: dict(scores) for kind in kinds},
        features={
            "route": "chat",
            "format": "openai_chat",
            "model": "demo",
            "streamed": True,
            "turns": 3,
            "bytes": 2048,
        },
        account=Account(
            bytes_in=2048,
            bytes_decoded=2048,
            bytes_released=2048,
            frames=120,
            windows=4,
            channels={kind: ChannelAccount(900, 900) for kind in kinds},
            checks={name: Checks(run=4) for name in DETECTORS},
            coverage="full",
        ),
        headers_ms=0.0,
        ended_ms=1800.125,
        decided_ms=1801.25,
        first_release_ms=63.5,
        last_release_ms=1801.375,
    )


def record(number: int) -> Record:
    """One of a streamed chat, as the shipped policy leaves it."""
    return Record(
        id=f"019a0000000-0123abcd{number:07x}",
        time="2026-01-01T00:00:00.000+00:00",
        sequence=number,
        route="chat",
        format="openai_chat",
        method="POST",
        model="demo",
        streamed=True,
        gate="hold",
        release="window",
        policy="sha256:" + "0" * 64,
        versions={"screen": "3", "guard": "7"},
        request=phase("system", "user"),
        response=phase("content"),
        duration_ms=1802.5,
        identity={"key": "0123456789abcdef", "user": "fedcba9876543210"},
    )


def per_record(keep: Callable[[Record], object], records: list[Record]) -> float:
    """Microseconds that `keep` takes for one."""
    began = time.perf_counter()
    for one in records:
        keep(one)
    return (time.perf_counter() - began) / len(records) * 1e6


async def waits(spool: Spool, together: int) -> list[float]:
    """Milliseconds until the disk has records that so many streams kept at once, many times."""
    syncing, took = Syncing(spool, SyncSettings(Sync.EVERY, interval_s=3600)), list[float]()
    for number in range(WAITS):
        spool.keep(record(number + 1))
        began = time.perf_counter()
        await asyncio.gather(*(syncing.soon() for _ in range(together)))
        took.append((time.perf_counter() - began) * 1000)
    await syncing.close()
    return sorted(took)


def measure(folder: Path, rounds: int, console: Console) -> dict[str, Any]:
    """Every figure; files go into `folder`, which should lie on the disk that records will."""
    records = [record(number) for number in range(1, RECORDS + 1)]
    figures: dict[str, list[float]] = {"encoding": [], "records": [], "spool": []}
    for number in range(max(rounds, 5)):
        figures["encoding"].append(per_record(to_json, records))
        for name in ("records", "spool"):
            origin = Origin("eu-1", "bench", epoch())
            place = folder / f"{name}-{number}"
            lines = name == "records"
            made: Sink = JsonLines(JsonLinesSettings(place), Metrics()) if lines else spool_at(place, origin)
            recorder = Recorder(origin, lambda _: None, [made])
            figures[name].append(per_record(recorder.keep, records))
            recorder.close()
    best = {name: min(taken) for name, taken in figures.items()}
    table = Table("a record", "µs", "over encoding")
    table.title = f"{len(to_json(records[0])):,} bytes; the best of {max(rounds, 5)} rounds"
    for name, us in best.items():
        table.add_row(name, f"{us:.1f}", "" if name == "encoding" else f"{us - best['encoding']:.1f}")
    console.print(table)
    result: dict[str, Any] = {"us": best, "over_encoding_us": best["spool"] - best["encoding"]}
    table = Table("streams that wait", "p50", "p99")
    table.title = "until their records are on the disk"
    for together in (1, 64):
        spool = spool_at(folder / f"waits-{together}", Origin("eu-1", "bench", epoch()))
        took = uvloop.run(waits(spool, together))
        spool.close()
        p50, p99 = statistics.median(took), took[int(len(took) * 0.99)]
        result[f"wait_ms/{together}"] = {"p50": p50, "p99": p99}
        table.add_row(str(together), f"{p50:.2f} ms", f"{p99:.2f} ms")
    console.print(table)
    return result


def spool_at(folder: Path, origin: Origin) -> Spool:
    return Spool(SpoolSettings(folder, synced=True), origin, Metrics())

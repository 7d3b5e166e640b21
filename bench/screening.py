"""How many windows the model `screen` reads in a second: through a real Triton that has one core to itself.

Requests of so many windows, four of them out at a time as the service's are, from another core. The processor's time is
all of Triton's: gRPC, tokens, the model.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table
from tritonclient.grpc import aio  # type: ignore[import-untyped]

from bench.pinned import column, pinned, spent_s
from safeguards_extproc.evaluate.variants import filler
from safeguards_extproc.local import triton

REPOSITORY = Path("triton_models")
CHARACTERS, BATCHES, AT_ONCE = (160, 480), (1, 8, 32, 64), 4
SECONDS = 2.0
console = Console(width=150)


def on_the_processor(folder: Path, rounds: int) -> dict[str, Any]:
    """Windows a second, and microseconds of the processor for each, by characters and batch."""
    first, *others = sorted(os.sched_getaffinity(0))
    with pinned({first}):
        server = triton.start(REPOSITORY, folder, only=["screen"])
    table = Table("characters", "batch", "windows/s", "p50 of a request", "processor per window", "windows/s of a core")
    table.title = f"screen on one core through Triton, {AT_ONCE} requests out at a time, medians of {rounds} rounds"
    result: dict[str, Any] = {}
    try:
        charged = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        with pinned(set(others) or {first}):
            for size in CHARACTERS:
                for batch in BATCHES:
                    found = [asyncio.run(_loaded(server.grpc, size, batch, charged)) for _ in range(rounds)]
                    rate, p50_ms, cpu_us = (statistics.median(row) for row in zip(*found, strict=True))
                    result[f"{size}/{batch}"] = {"windows_s": rate, "p50_ms": p50_ms, "cpu_us": cpu_us}
                    cells = f"{rate:,.0f}", f"{p50_ms:.1f} ms", f"{cpu_us:.0f} µs", f"{1e6 / cpu_us:,.0f}"
                    table.add_row(str(size), str(batch), *cells)
    finally:
        server.stop()
    console.print(table)
    return result


async def _loaded(address: str, size: int, batch: int, charged: list[psutil.Process]) -> tuple[float, float, float]:
    """Windows a second, median milliseconds of a request, and microseconds of `charged` for a window."""
    took: list[float] = []
    async with aio.InferenceServerClient(address) as asking:
        inputs = [
            column([filler(size, seed * batch + number).encode() for number in range(batch)]) for seed in range(AT_ONCE)
        ]
        await asking.infer("screen", [inputs[0]])
        end = time.perf_counter() + SECONDS

        async def caller(mine: Any) -> None:
            while (began := time.perf_counter()) < end:
                await asking.infer("screen", [mine])
                took.append(time.perf_counter() - began)

        before, began = spent_s(charged), time.perf_counter()
        await asyncio.gather(*map(caller, inputs))
        windows, seconds = len(took) * batch, time.perf_counter() - began
        spent = spent_s(charged) - before
    return windows / seconds, statistics.median(took) * 1000, spent / windows * 1e6

"""What the encoder model `guard` costs: through a real Triton, against the same code and weights in this process.

On the processor both have one core, the same one, in turn: what Triton costs is the difference. `python -m bench.guard
--gpu` loads a GPU with 1 to 256 callers; without one it says so.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch
from rich.console import Console
from rich.table import Table
from tritonclient import grpc as client  # type: ignore[import-untyped]
from tritonclient.grpc import aio  # type: ignore[import-untyped]

from bench.pinned import column, pinned, spent_s
from encoders.bert import Config
from encoders.checkpoint import Base, load
from encoders.classifier import Classifier
from safeguards_extproc.local import triton

REPOSITORY = Path("triton_models")
LENGTHS, BATCHES, CALLERS = (128, 512), (1, 8, 32), (1, 4, 16, 64, 256)
console = Console(width=150)


def texts(base: Base, tokens: int, count: int) -> list[bytes]:
    """Texts of so many tokens, the two marks included, of words that are a token each."""
    vocabulary = json.loads(base.tokenizer())["model"]["vocab"]
    words = sorted(word for word in vocabulary if word.isascii() and word.isalpha() and 3 <= len(word) <= 8)
    rng = random.Random(tokens)  # noqa: S311
    return [" ".join(rng.choices(words, k=tokens - 2)).encode() for _ in range(count)]


def flops(config: Config, tokens: int) -> int:
    """Floating-point operations of a window: two for each weight of a block and token, and attention's two products."""
    weights = 4 * config.hidden**2 + 2 * config.hidden * config.inner
    return config.layers * (2 * tokens * weights + 4 * tokens**2 * config.hidden)


def on_the_processor(folder: Path, rounds: int) -> dict[str, Any]:
    """Milliseconds a request and windows a second, served and plain, and what serving adds."""
    first, *others = sorted(os.sched_getaffinity(0))
    with pinned({first}):
        server = triton.start(REPOSITORY, folder, only=["guard"])
    torch.set_num_threads(1)
    checkpoint = load(REPOSITORY / "guard" / "1")
    plain = Classifier(checkpoint)
    table = Table("tokens", "batch", "served p50", "windows/s", "plain p50", "windows/s", "served / plain", "processor")
    table.title = f"guard on one core: through Triton and in plain torch, in turn, medians of {rounds} rounds"
    result: dict[str, Any] = {}
    try:
        with client.InferenceServerClient(server.grpc) as asking, pinned(set(others) or {first}):
            charged = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
            for tokens in LENGTHS:
                for batch in BATCHES:
                    row = _compare(
                        lambda chosen: asking.infer("guard", [column(chosen)]),
                        plain.score,
                        texts(checkpoint.base, tokens, batch),
                        rounds,
                        first,
                        charged,
                    )
                    result[f"{tokens}/{batch}"] = row
                    table.add_row(
                        str(tokens),
                        str(batch),
                        f"{row['served_ms']:.1f} ms",
                        f"{batch / row['served_ms'] * 1000:.1f}",
                        f"{row['plain_ms']:.1f} ms",
                        f"{batch / row['plain_ms'] * 1000:.1f}",
                        f"{row['ratio']:.2f}",
                        f"{row['cpu_ms']:.1f} ms a window, {row['cpu_ratio']:.2f} of plain",
                    )
    finally:
        server.stop()
    console.print(table)
    return result


def _compare(
    served: Callable[[list[bytes]], object],
    plain: Callable[[list[bytes]], object],
    chosen: list[bytes],
    rounds: int,
    core: int,
    charged: list[psutil.Process],
) -> dict[str, float]:
    """Both in turn; the processor's time of the plain one is this thread's, that of the served one is Triton's."""
    rows: list[tuple[float, ...]] = []
    served(chosen)
    with pinned({core}):
        took, _ = _timed(lambda: plain(chosen), 1, time.thread_time)
    calls = max(1, min(40, int(1 / took)))
    for _ in range(rounds):
        with pinned({core}):
            plain_s, plain_cpu_s = _timed(lambda: plain(chosen), calls, time.thread_time)
        served_s, served_cpu_s = _timed(lambda: served(chosen), calls, lambda: spent_s(charged))
        ratios = served_s / plain_s, served_cpu_s / plain_cpu_s
        rows.append((served_s * 1000, plain_s * 1000, served_cpu_s * 1000 / len(chosen), *ratios))
    names = ("served_ms", "plain_ms", "cpu_ms", "ratio", "cpu_ratio")
    return dict(zip(names, map(statistics.median, zip(*rows, strict=True)), strict=True))


def _timed(call: Callable[[], object], calls: int, clock: Callable[[], float]) -> tuple[float, float]:
    """Median seconds of a call, and mean seconds by `clock`."""
    took, before = [], clock()
    for _ in range(calls):
        began = time.perf_counter()
        call()
        took.append(time.perf_counter() - began)
    return statistics.median(took), (clock() - before) / calls


def on_a_gpu(folder: Path, seconds: float) -> dict[str, Any]:
    """Callers of one window each at a served GPU, and batches of 64 without Triton; against a large matrix product."""
    repository = folder / "models"
    shutil.copytree(REPOSITORY / "guard", repository / "guard")
    (folder / "encoders").symlink_to(Path("encoders").resolve())
    config = repository / "guard" / "config.pbtxt"
    config.write_text(config.read_text().replace("KIND_CPU", "KIND_GPU"))
    checkpoint = load(repository / "guard" / "1")
    sizes = checkpoint.encoder.config
    peak = matmul_rate()
    table = Table("tokens", "callers", "p50", "p99", "windows/s", "of the card", title=torch.cuda.get_device_name(0))
    result: dict[str, Any] = {"device": torch.cuda.get_device_name(0), "matmul_flops": peak}

    def told(tokens: int, who: str, took: list[float], rate: float) -> None:
        ordered = sorted(took)
        p50, p99 = (ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000 for share in (0.5, 0.99))
        share = rate * flops(sizes, tokens) / peak
        result[f"{tokens}/{who}"] = {"p50_ms": p50, "p99_ms": p99, "windows_s": rate, "share": share}
        table.add_row(str(tokens), who, f"{p50:.2f} ms", f"{p99:.2f} ms", f"{rate:,.0f}", f"{share:.1%}")

    server = triton.start(repository, folder, timeout_s=180)
    try:
        for tokens in LENGTHS:
            chosen = texts(checkpoint.base, tokens, 256)
            for callers in CALLERS:
                told(tokens, str(callers), *asyncio.run(_called(server.grpc, chosen, callers, seconds)))
    finally:
        server.stop()
    direct = Classifier(checkpoint, "cuda:0")
    for tokens in LENGTHS:
        chosen = texts(checkpoint.base, tokens, 64)
        direct.score(chosen)
        took, began = [], time.perf_counter()
        while time.perf_counter() - began < seconds:
            start = time.perf_counter()
            direct.score(chosen)
            took.append(time.perf_counter() - start)
        told(tokens, "64 without Triton", took, 64 * len(took) / (time.perf_counter() - began))
    console.print(table)
    console.print(f"the card: {peak / 1e12:.0f} TFLOP/s in a bfloat16 product of two matrices of 8192 x 8192")
    return result


async def _called(address: str, chosen: list[bytes], callers: int, seconds: float) -> tuple[list[float], float]:
    """Seconds of each request, and requests a second, of callers who ask again as soon as they are answered."""
    took: list[float] = []
    async with aio.InferenceServerClient(address) as asking:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds

        async def caller(number: int) -> None:
            while (began := loop.time()) < end:
                await asking.infer("guard", [column([chosen[(number + len(took)) % len(chosen)]])])
                took.append(loop.time() - began)

        began = loop.time()
        await asyncio.gather(*(caller(number) for number in range(callers)))
        return took, len(took) / (loop.time() - began)


def matmul_rate(size: int = 8192, times: int = 20) -> float:
    """FLOP/s of a large product in bfloat16: what this card reaches, whatever its data sheet says."""
    left, right = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        left @ right
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(times):
        left @ right
    torch.cuda.synchronize()
    return times * 2 * size**3 / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.guard", description=__doc__)
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--seconds", type=float, default=5, help="of load, each time, on a GPU")
    parser.add_argument("--rounds", type=int, default=5, help="on the processor")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    why = triton.available()
    if options.gpu and not torch.cuda.is_available():
        why = "no GPU here, or a torch that was built without CUDA"
    if why:
        console.print(f"not run: {why}")
        return
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        figures = on_a_gpu(folder, options.seconds) if options.gpu else on_the_processor(folder, options.rounds)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()

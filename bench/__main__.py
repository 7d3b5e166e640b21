"""`make bench`: every figure is taken beside its reference, in turn, in one run.

The machine is not named by its absolute figures but by ratios: to no filter, to a processor that decides nothing
(REFERENCE=BIN, a program that takes `SOCKET duplex`), to what others use (PEERS=FOLDER, see `make bench-peers`). Parts
of the comparison are `requests`, `streams`, `overlap`, `overload`, `beside` and `many`; they go into `OUT`, a JSON file
with a Markdown page and a picture beside it. The other parts measure one thing by itself, and print it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import (
    accounts,
    body,
    campaigns,
    chunk,
    headlines,
    limits,
    overload,
    records,
    replay,
    report,
    requests,
    spool,
    streams,
)
from bench.processors import FOLLOWED, NO_OP, NONE, OVERLAPPED, PATTERNS, UNMODELLED, UNSHED, Processor, processors
from bench.rig import stage
from safeguards_extproc.core import COMPILED
from safeguards_extproc.local import triton
from safeguards_extproc.policy.load import load as load_policy

DELAYED = (UNMODELLED, FOLLOWED, OVERLAPPED)
"""Of which the first token is looked at: without a model, with one before the request goes on, and beside it."""

BUSY = "busy at the start"
COMPARED = ("requests", "streams", "overlap", "overload", "beside", "many")
console = Console(width=150)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--reference", default="", help="a processor that decides nothing: PROGRAM SOCKET duplex")
    parser.add_argument("--peers", default="", help="the folder in which `make bench-peers` put others' programs")
    parser.add_argument("--seconds", type=float, default=requests.Plan().seconds, help="of load, each time")
    parser.add_argument("--rounds", type=int, default=requests.Plan().rounds)
    parser.add_argument("--only", nargs="*", default=list(COMPARED), choices=[*COMPARED, *PARTS, "all"])
    parser.add_argument("--processors", nargs="*", help="only these, and none")
    parser.add_argument("--out", type=Path, default=Path("reports/bench.json"))
    parser.add_argument("--add", action="store_true", help="keep the other parts of an earlier run that wrote --out")
    options = parser.parse_args()
    chosen = [*COMPARED, *PARTS] if "all" in options.only else options.only
    figures = before(options.out) if options.add else {"machine": machine()}
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        if compared := [each for each in COMPARED if each in chosen]:
            rows = [each for each in processors(options.reference, options.peers) if _wanted(each, options, compared)]
            plan = requests.Plan(options.seconds, options.rounds)
            figures |= compare(rows, folder, plan, compared, options.reference)
        for part in chosen:
            if part in PARTS:
                figures[part] = PARTS[part](folder / part, options.rounds)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(figures, indent=1) + "\n")
    if compared:
        found = Table("", "figure", "wanted", "kept", title="What was promised")
        for row in headlines.rows(figures):
            found.add_row(*(report.cell(name, value) for name, value in row.items()))
        console.print(found)
        picture = options.out.with_suffix(".png")
        report.plot(figures, picture)
        options.out.with_suffix(".md").write_text(report.markdown(figures, picture.name))
    sys.stdout.write(f"written: {options.out}\n")


def before(path: Path) -> dict[str, Any]:
    """What an earlier run wrote there: other parts go beside it, if nothing but the load is otherwise. It names the
    busier start."""
    now = machine()
    if not path.exists():
        return {"machine": now}
    figures: dict[str, Any] = json.loads(path.read_text())
    then = figures["machine"]
    if other := [name for name in now if name != BUSY and now[name] != then.get(name)]:
        raise SystemExit(f"bench: {path} was measured with another {', another '.join(other)}")
    figures["machine"] = {**now, BUSY: max(now[BUSY], then[BUSY], key=float)}
    return figures


def machine() -> dict[str, Any]:
    """What it was measured on."""
    named = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), ""
    )
    return {
        "processor": named or platform.machine(),
        "cores": os.cpu_count() or 1,
        "system": platform.release(),
        "python": platform.python_version(),
        "hot path": "compiled" if COMPILED else "interpreted",
        BUSY: f"{os.getloadavg()[0]:.1f}",
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def _wanted(processor: Processor, options: argparse.Namespace, parts: list[str]) -> bool:
    """Whether it has a role in the chosen parts."""
    if options.processors is not None and processor.name not in (NONE.name, *options.processors):
        return False
    roles = {
        "overload": (PATTERNS, UNSHED, NO_OP),
        "many": (NO_OP, PATTERNS),
        "beside": (NO_OP, PATTERNS),
        "overlap": (NO_OP, *DELAYED),
    }
    asked = "requests" in parts and bool(processor.scenarios)
    read = "streams" in parts and processor.streams
    cast = {role.name for part in parts for role in roles.get(part, ())}
    return asked or read or processor == NONE or processor.name in cast


def compare(
    rows: list[Processor], folder: Path, plan: requests.Plan, parts: list[str], reference: str
) -> dict[str, Any]:
    """The figures of the parts that compare processors."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    found: dict[str, Any] = {}
    with stage(rows, folder / "stage", reference) as running:
        known = set(running.rigs)
        if "many" in parts and PATTERNS.name in known:
            found["many"] = [streams.many(running.rigs[name]) for name in (NO_OP.name, PATTERNS.name) if name in known]
            _show(found, "many")
        if "requests" in parts:
            base = "no-op" if "no-op" in known else NONE.name
            found |= requests.measure(running, plan, base)
            _show(found, "capacity", "latency")
        if "streams" in parts:
            found["streams"] = streams.measure(running)
            _show(found, "streams")
        if "overlap" in parts and OVERLAPPED.name in known:
            found["overlap"] = streams.overlap(running, [each.name for each in DELAYED])
            _show(found, "overlap")
        if "overload" in parts and {PATTERNS.name, UNSHED.name} <= known:
            found["overload"] = overload.measure(running)
            _show(found, "overload")
        if "beside" in parts and PATTERNS.name in known:
            found["beside"] = streams.beside(running)
            _show(found, "beside")
    return found


def _show(figures: dict[str, Any], *sections: str) -> None:
    for key in sections:
        rows = figures[key]
        columns = list(dict.fromkeys(name for row in rows for name in row))
        table = Table(*(name.replace("_", " ") for name in columns), title=report.SECTIONS[key])
        for row in rows:
            table.add_row(*(report.cell(name, row.get(name)) for name in columns))
        console.print(table)


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


def large(rounds: int) -> dict[str, Any]:
    """Processor time per KB by size, and the worst lag of a loop on which 10 MB are read, of the best round."""
    table = Table("request", "read", "read and searched (policies/minimal.yaml)", title="processor time per KB of JSON")
    curve = body.curve(Path("policies/minimal.yaml"))
    for size, costs in curve.items():
        table.add_row(size, f"{costs['read']:.1f} µs", f"{costs['detect']:.1f} µs")
    console.print(table)
    table = Table("request", "read", "all but models (policies/demo.yaml)", "again", title="by kind of text, medians")
    kinds = body.kinds(Path("policies/demo.yaml"))
    for name, costs in kinds.items():
        table.add_row(name, *(f"{costs[column]:.1f} µs" for column in ("read", "detect", "again")))
    console.print(table)
    table = Table("10 MB", "worst lag", "of it the loop's own", "with nothing to do", "seconds", "outcome")
    table.title = f"what another stream of the process sees, best of {rounds}"
    lags = body.lags(rounds, Path("policies/minimal.yaml"))
    for shape, row in lags.items():
        lag, own, quiet = (f"{row[name]:.1f} ms" for name in ("lag_ms", "busy_ms", "quiet_ms"))
        table.add_row(shape, lag, own, quiet, f"{row['s']:.2f}", row["outcome"])
    console.print(table)
    return {"us_per_kb": curve, "us_per_kb_by_kind": kinds, "lag": lags}


def _guard(folder: Path, rounds: int) -> dict[str, Any]:
    if missing := triton.available():
        console.print(f"no Triton here ({missing}): its figures are left out")
        return {}
    from bench import guard, screening  # which want torch

    folder.mkdir()
    return {"screen": screening.on_the_processor(folder, rounds), **guard.on_the_processor(folder, rounds)}


def _limits(folder: Path, rounds: int) -> dict[str, Any]:
    folder.mkdir()
    return limits.measure(folder, rounds)


PARTS: dict[str, Callable[[Path, int], Any]] = {
    "chunk": lambda folder, rounds: chunks(),
    "body": lambda folder, rounds: large(rounds),
    "campaigns": lambda folder, rounds: campaigns.measure(100_000, rounds, console=console),
    "limits": _limits,
    "accounts": lambda folder, rounds: accounts.measure(folder),
    "spool": lambda folder, rounds: spool.measure(folder, rounds, console),
    "records": lambda folder, rounds: records.measure(1_000_000, console),
    "guard": _guard,
    "replay": lambda folder, rounds: replay.measure(500, rounds, console),
}
"""What is measured by itself, by name."""

if __name__ == "__main__":
    main()

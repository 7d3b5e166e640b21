"""Part `records`: records decided again through SQL, end to end, and how much faster that is than one by one.

The records are made here, as a filter with the default policy writes them; all but their ids and numbers repeat after
20,000.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from safeguards_extproc.core.decision import Facts, Value
from safeguards_extproc.core.record import Account, FiredRule, Phase, Record
from safeguards_extproc.core.text import Direction, Kind
from safeguards_extproc.policy.compile import CompiledPolicy
from safeguards_extproc.policy.load import load
from safeguards_extproc.records import table
from safeguards_extproc.replay.compare import Comparison
from safeguards_extproc.replay.records import Policies, pairs, run
from safeguards_extproc.replay.settle import How, Said, Was, said, settle
from safeguards_extproc.replay.verdict import Side

POLICY = Path("policies/default.yaml")
DISTINCT, PER_FILE = 20_000, 100_000


def records(policy: CompiledPolicy, count: int, seed: int = 1) -> Iterator[Record]:
    """Exchanges of an API: most harmless, some that the policy refuses, a few of which a model gave no answer."""
    pick = random.Random(seed)  # noqa: S311
    how = How(True, policy.routes[-1].gate.value, policy.routes[-1].release.value)
    for number in range(1, count + 1):
        request, asked = _phase(policy, pick, Direction.REQUEST, (Kind.USER, Kind.SYSTEM))
        response, answered = _phase(policy, pick, Direction.RESPONSE, (Kind.CONTENT,))
        came = settle(_was(request), _was(response), asked, answered, how, how._replace(gate=""))
        request.applied, response.applied = came.request.applied, came.response.applied
        if came.outcome in ("block", "suspend") and request.applied == came.outcome:
            response = Phase()
        yield Record(
            id=f"{number:016x}",
            time="2026-03-01T00:00:00.000000+00:00",
            region="eu",
            producer="worker",
            epoch="1",
            sequence=number,
            route=policy.routes[-1].name,
            format="openai_chat",
            method="POST",
            model="gpt",
            streamed=True,
            gate=how.gate,
            release=how.release,
            policy=policy.digest,
            outcome=came.outcome,
            rule=came.rule,
            category=came.category,
            status=200,
            request=request,
            response=response,
            identity={"tenant": f"t{number % 200}", "key": f"k{number % 5000}"},
        )


def _phase(
    policy: CompiledPolicy, pick: random.Random, direction: Direction, kinds: tuple[Kind, ...]
) -> tuple[Phase, Said]:
    labels = [
        f"{name}.{label}"
        for name, spec in policy.document.detectors.items()
        for label in getattr(spec, "labels", ["any"])
    ]
    scores = {kind: {label: round(pick.random() ** 8, 4) for label in labels} for kind in kinds}
    features: dict[str, Value] = {
        "route": "default",
        "format": "openai_chat",
        "model": "gpt",
        "streamed": True,
        "bytes": pick.randrange(9000),
    }
    failed = {"guard": "timeout"} if pick.random() < 0.001 else {}
    facts = Facts(direction, features=features, scores=scores, failed=failed)
    verdict = policy.decide(facts)
    phase = Phase(
        decided=verdict.decided.value,
        action=verdict.action.value,
        fired=[
            FiredRule(each.rule, each.action.value, "enforce" if each.enforced else "shadow", each.cause)
            for each in verdict.fired
        ],
        scores={kind.value: of for kind, of in scores.items()},
        failed=failed,
        features=facts.features,
        account=Account(bytes_in=2000, windows=2, coverage="full"),
        headers_ms=0.0,
        ended_ms=1.0,
        decided_ms=1.0 + pick.lognormvariate(3, 0.6),
        first_release_ms=60.0,
        last_release_ms=900.0,
    )
    return phase, said(verdict)


def _was(phase: Phase) -> Was:
    return Was(Side(phase.decided, phase.action, phase.applied))


def write(folder: Path, policy: CompiledPolicy, count: int) -> list[Path]:
    """Parquet files of `count` records."""
    whole = table.table(list(records(policy, DISTINCT)))
    files = []
    for start in range(0, count, PER_FILE):
        rows = min(PER_FILE, count - start)
        part = whole.take(pa.array(np.arange(start, start + rows) % DISTINCT))
        sequence = np.arange(start + 1, start + rows + 1)
        for name, values in (("id", pa.array([f"{at:016x}" for at in sequence])), ("sequence", pa.array(sequence))):
            part = part.set_column(part.schema.get_field_index(name), name, values)
        files.append(folder / f"worker-1-{start:012d}.parquet")
        pq.write_table(part, files[-1], compression="zstd")
    return files


def measure(count: int, console: Console) -> dict[str, Any]:
    """Seconds and memory of a process of its own that decides `count` records again, and records a
    second that one process decides one by one."""
    with tempfile.TemporaryDirectory(prefix="bench-records-") as name:
        policy = load(POLICY)
        files = write(Path(name), policy, count)
        size = sum(file.stat().st_size for file in files)
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "bench.records", *map(str, files)], check=True, capture_output=True, text=True
        )
        seconds = time.perf_counter() - began
        changed, peak = done.stdout.split()
        some = list(records(policy, 2_000))
        began = time.perf_counter()
        Comparison().add_all(pairs(some, Policies(policy), {}, lambda reason: None))
        one_by_one = len(some) / (time.perf_counter() - began)
    figures = {
        "records": count,
        "bytes a record": size / count,
        "seconds": seconds,
        "records a second": count / seconds,
        "peak MB": int(peak) / 1024,
        "changed": int(changed),
        "one by one, a second": one_by_one,
    }
    shown = Table("records", "seconds", "a second", "peak memory", "one by one, a second")
    shown.title = "decided again from Parquet, the process's start included"
    shown.add_row(
        f"{count:,}", f"{seconds:.1f}", f"{count / seconds:,.0f}", f"{int(peak) / 1024:.0f} MB", f"{one_by_one:,.0f}"
    )
    console.print(shown)
    return figures


if __name__ == "__main__":
    comparison = Comparison()
    run(sys.argv[1:], Policies(load(POLICY)), comparison)
    # Not getrusage's: that counts what the parent had when it started this process, too.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    sys.stdout.write(f"{comparison.total.changed} {status.partition('VmHWM:')[2].split()[0]}\n")

"""`make fuzz`: every parser, each in a process of its own, guided by the code that its inputs reach (atheris).

An input that breaks a promise is kept in fuzz/found/TARGET-…; move it to tests/regressions/TARGET/, where the
tests hold the repair.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fuzz.targets import TARGETS, seeds

FOUND = Path(__file__).with_name("found")
ONE_INPUT_S = 20
MEMORY_MB = 4096


def main() -> int:
    """Run the targets, so many at a time; 1 if one failed."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="targets at a time")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all if none is given")
    options = parser.parse_args()
    unknown = set(options.targets) - TARGETS.keys()
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    waiting = [name for name in TARGETS if not options.targets or name in options.targets]
    FOUND.mkdir(exist_ok=True)
    failed = []
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        running: dict[str, subprocess.Popen[bytes]] = {}
        while waiting or running:
            while waiting and len(running) < options.jobs:
                name = waiting.pop(0)
                running[name] = start(name, Path(folder), options.seconds)
            for name, process in list(running.items()):
                if process.poll() is not None:
                    del running[name]
                    print(f"{name:20} {told(Path(folder) / f'{name}.log')}", flush=True)
                    if process.returncode:
                        failed.append(name)
            time.sleep(0.2)
        for name in failed:
            print(f"\n{name}: {(Path(folder) / f'{name}.log').read_text(errors='replace')[-4000:]}")
    print(f"{len(failed)} failed: {', '.join(failed)}" if failed else "nothing found")
    return 1 if failed else 0


def start(name: str, folder: Path, seconds: int) -> subprocess.Popen[bytes]:
    """Fuzz one target, beginning with its seeds."""
    corpus = folder / name
    corpus.mkdir()
    for number, seed in enumerate(seeds(name)):
        (corpus / f"seed-{number}").write_bytes(seed)
    limits = [f"-max_total_time={seconds}", f"-timeout={ONE_INPUT_S}", f"-rss_limit_mb={MEMORY_MB}", "-max_len=65536"]
    argv = [sys.executable, "-m", "fuzz.one", name, str(corpus), *limits, f"-artifact_prefix={FOUND}/{name}-"]
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(argv, stdout=log, stderr=log)


def told(log: Path) -> str:
    """What libFuzzer said last of its progress."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.startswith(("#", "Done"))]
    return lines[-1] if lines else "did not start"


if __name__ == "__main__":
    sys.exit(main())

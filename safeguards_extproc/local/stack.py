"""Everything on one machine: Triton, the filter, a model server, Envoy. On loopback, and ended with us."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

import yaml

from safeguards_extproc.errors import ConfigError
from safeguards_extproc.local import envoy, processes, triton
from safeguards_extproc.local.processes import Part

ScorerChoice = Literal["auto", "triton", "embedded"]
Say = Callable[[str], None]


class Started(Protocol):
    """Told of a part that runs, and how to stop it where that is more than `processes.stop`."""

    def __call__(self, part: Part, stop: Callable[[], None] | None = None) -> Part: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What to start. `scorer` "auto" takes Triton where it can run and the embedded scorer, saying so, where not;
    `serve` are more options for the filter."""

    policy: Path = Path("policies/demo.yaml")
    traffic: Path = Path("demo/traffic.jsonl")
    envoy: Path = Path("envoy/demo.yaml")
    models: Path = Path("triton_models")
    scorer: ScorerChoice = "auto"
    port: int = 0
    serve: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stack:
    """A running stack. `url` is Envoy's, `model` the model server's own, `scorer` "triton" or "embedded"."""

    url: str
    model: str
    records: Path
    scorer: str
    envoy: envoy.Envoy
    parts: Sequence[Part]


@contextmanager
def running(plan: Plan, say: Say = lambda _: None) -> Iterator[Stack]:
    """The stack, up; everything is ended on the way out. PartFailed or ConfigError if it cannot come up."""
    for path in (plan.policy, plan.traffic, plan.envoy, plan.models):
        if not path.exists():
            raise ConfigError("no such file", where=str(path), hint="run it from the repository's root")
    with tempfile.TemporaryDirectory(prefix="safeguards-") as name, ExitStack() as ends:
        yield _up(plan, Path(name), ends, say)
        say("stopping")


def _up(plan: Plan, folder: Path, ends: ExitStack, say: Say) -> Stack:
    """Start the parts, dependencies first; what has been started is ended by `ends`."""
    parts: list[Part] = []

    def started(part: Part, stop: Callable[[], None] | None = None) -> Part:
        parts.append(part)
        ends.callback(stop or partial(processes.stop, part))
        return part

    with _timed(say) as done:
        model = _model_server(plan, folder, started)
        done(f"model server on {model}")
    with _timed(say) as done:
        scorer, arguments = _scorer(plan, folder, started, say)
        done(f"scorer: {scorer}")
    with _timed(say) as done:
        socket, records = folder / "filter.sock", folder / "records.jsonl"
        part = started(_filter(plan, folder, [*arguments, "--listen", f"unix://{socket}", "--records", str(records)]))
        processes.wait(part, lambda: processes.accepts(socket), timeout_s=60)
        done("filter: safeguards-extproc serve")
    with _timed(say) as done:
        addresses = envoy.Addresses(model, (f"unix://{socket}",), listen=f"127.0.0.1:{plan.port}")
        front = envoy.start(envoy.load(plan.envoy), addresses, folder)
        started(front.part)
        done(f"Envoy on {front.url}, admin on http://{front.admin}")
    return Stack(front.url, f"http://{model}", records, scorer, front, parts)


def _model_server(plan: Plan, folder: Path, started: Started) -> str:
    ready = folder / "model_server.address"
    argv = [sys.executable, "-m", "safeguards_extproc.local.model_server", "--port", "0"]
    argv += ["--traffic", str(plan.traffic), "--ready-file", str(ready)]
    part = started(processes.start("model server", argv, folder / "model_server.log"))
    processes.wait(part, ready.exists, timeout_s=30)
    return ready.read_text().strip()


def _scorer(plan: Plan, folder: Path, started: Started, say: Say) -> tuple[str, list[str]]:
    """Which scorer there is, and what `serve` is told of it."""
    missing = triton.available() if plan.scorer != "embedded" else ""
    if plan.scorer == "embedded" or (plan.scorer == "auto" and missing):
        if missing:
            say(f"NOTICE: no Triton here ({missing}); the same model runs inside the filter instead")
        return "embedded", ["--scorer", "embedded", "--models", str(plan.models)]
    if missing:
        raise processes.PartFailed("triton", missing, hint="SCORER=embedded does without")
    server = triton.start(plan.models, folder, only=triton.among(plan.models, _asked(plan.policy)))
    started(server.part, server.stop)
    return "triton", ["--triton", server.grpc]


def _asked(policy: Path) -> set[str]:
    """The models that a policy names; what is wrong with it is the filter's to say."""
    match yaml.safe_load(policy.read_bytes()):
        case {"detectors": {**rows}}:
            return {str(row["model"]) for row in rows.values() if isinstance(row, dict) and "model" in row}
        case _:
            return set()


def _filter(plan: Plan, folder: Path, arguments: Sequence[str]) -> Part:
    argv = [sys.executable, "-m", "safeguards_extproc", "serve", "--policy", str(plan.policy), *arguments]
    argv += ["--health", f"127.0.0.1:{processes.free_port()}", "--metrics", f"127.0.0.1:{processes.free_port()}"]
    argv += ["--drain-delay", "0", "--drain-limit", "2", *plan.serve]  # Envoy is stopped before it
    return processes.start("filter", argv, folder / "filter.log", hint=f"check the policy {plan.policy}")


@contextmanager
def _timed(say: Say) -> Iterator[Say]:
    """Says a line with the seconds it took to come to it."""
    began = time.monotonic()
    yield lambda line: say(f"{time.monotonic() - began:5.1f} s  {line}")

"""The command line of replays: what another policy would have decided, before it does."""

from __future__ import annotations

import itertools
import os
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from safeguards_extproc import cli_say, cli_scorer
from safeguards_extproc.errors import ConfigError

if TYPE_CHECKING:
    from safeguards_extproc.replay.many import Row
    from safeguards_extproc.replay.source import Source

SAY_EVERY = 32
"""Exchanges after which progress is said again."""

KEEP_S = 7 * 86_400.0
"""How long a capture that a replay writes may be read."""


def replay(
    captures: Annotated[
        list[Path], typer.Argument(help="Captures, folders of them, or files that `capture import` reads.")
    ],
    policy: Annotated[Path, typer.Option(help="The policy to try.")] = Path("policies/demo.yaml"),
    against: Annotated[
        Path | None, typer.Option(help="Compare with this policy, not with what was decided then.")
    ] = None,
    through: Annotated[str, typer.Option(help="core, or envoy: the whole filter behind a real Envoy.")] = "core",
    timed: Annotated[
        bool, typer.Option("--timed", help="Through envoy: in the time that it took then, not as fast as it goes.")
    ] = False,
    envoy: Annotated[Path, typer.Option(help="Envoy's configuration.")] = Path("envoy/demo.yaml"),
    key: Annotated[
        Path | None, typer.Option(help="The file with the keys of captures.", envvar="SAFEGUARDS_CAPTURE_KEY")
    ] = None,
    endpoint: Annotated[
        list[str] | None, typer.Option(help="Triton's gRPC address, host:port; repeat it for more.")
    ] = None,
    embedded: Annotated[
        Path | None, typer.Option(help="Run the models of this repository in this process, without Triton.")
    ] = None,
    local: Annotated[bool, typer.Option("--local", help="Start a Triton here for the time it takes.")] = False,
    models: Annotated[Path, typer.Option(help="The model repository that a Triton started here serves.")] = Path(
        "triton_models"
    ),
    rescore: Annotated[
        bool, typer.Option("--rescore", help="Ask models about every window, whatever the capture says.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=0, help="Processes; 0 for one a core.")] = 0,
    resume: Annotated[
        Path | None, typer.Option(help="Note there what is done, and go on from there if it was interrupted.")
    ] = None,
    write: Annotated[
        Path | None, typer.Option(help="Write a capture there, with what models said and what was decided.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Decide captured traffic again, and say what changes."""
    from safeguards_extproc.replay.source import source
    from safeguards_extproc.telemetry import configure_logging

    configure_logging("warning")
    if through not in ("core", "envoy"):
        raise ConfigError(f"unknown way {through!r}", where="--through", hint="core or envoy")
    if through == "envoy" and (against is not None or write is not None):
        hint = "both are for --through core"
        raise ConfigError("Envoy sends an exchange once", where="--against, --write", hint=hint)
    if write is not None and resume is not None:
        raise ConfigError("a capture is written in one go", where="--write, --resume", hint="give one of them")
    asks = cli_scorer.one(endpoint, embedded, local=local)
    if rescore and not asks:
        raise ConfigError("nobody to ask", where="--rescore", hint="add --endpoint, --embedded or --local")
    found = source(captures, key, time.time())
    models_ = Models(asks, endpoint, embedded, models)
    jobs = jobs or os.cpu_count() or 1
    front = envoy if through == "envoy" else None
    wanted = Wanted(policy, against, front, timed, key, models_, not rescore, jobs, resume, write)
    with ExitStack() as ends:
        rows = _progress(_rows(wanted, found, ends), found, ends)
        said = _summary(rows if write is None else _written(rows, write, wanted))
    said |= {"files": [str(path) for path in found.paths], "unfinished": found.unfinished}
    cli_say.one(f"{policy} on {len(found.paths)} files", said, as_json=as_json)
    raise typer.Exit(1 if said["unreadable"] else 0)


@dataclass(frozen=True, slots=True)
class Models:
    """Who is asked what a capture does not say, if anybody is."""

    asked: bool
    endpoint: list[str] | None
    embedded: Path | None
    repository: Path


@dataclass(frozen=True, slots=True)
class Wanted:
    """A replay, as it was asked for; `envoy` is a configuration, None for a replay through the core."""

    policy: Path
    against: Path | None
    envoy: Path | None
    timed: bool
    key: Path | None
    models: Models
    recorded: bool
    jobs: int
    resume: Path | None
    write: Path | None


def _rows(wanted: Wanted, found: Source, ends: ExitStack) -> Iterator[Row]:
    """The rows of a replay, in order, those that are known from the last time first."""
    from safeguards_extproc.policy.load import load
    from safeguards_extproc.replay import many
    from safeguards_extproc.replay.journal import Begin, Journal

    policy = load(wanted.policy)
    frames, journal = found.frames(), None
    if wanted.resume is not None:
        against = load(wanted.against).digest if wanted.against is not None else ""
        begin = Begin(found.id, policy.digest, against, wanted.recorded, "envoy" if wanted.envoy else "core")
        journal = Journal(wanted.resume, begin)
        frames = itertools.islice(frames, journal.known, None)
    plan = many.Plan(wanted.policy, wanted.against, wanted.recorded, keep=wanted.write is not None)
    scorer, models = None, wanted.models
    if models.asked:
        scorer = ends.enter_context(
            cli_scorer.scorer(wanted.policy, policy, models.endpoint, models.embedded, models.repository)
        )
    if wanted.envoy is not None:
        from safeguards_extproc import app_replay

        front = app_replay.EnvoyPlan(wanted.policy, wanted.envoy, wanted.timed, wanted.recorded)
        rows = app_replay.through_envoy(frames, front, scorer)
    elif scorer is not None:
        rows = many.with_models(frames, plan, scorer)
    else:
        rows = many.in_processes(frames, plan, wanted.jobs)
    return rows if journal is None else journal.rows(rows)


def _written(rows: Iterator[Row], path: Path, wanted: Wanted) -> Iterator[Row]:
    """Write the exchanges of rows to a capture as they come."""
    from safeguards_extproc.replay import capture

    if wanted.key is None:
        raise ConfigError("a capture needs a key", where="--key", hint="`safeguards-extproc capture key FILE`")
    first, now = capture.read_keys(wanted.key)[0], time.time()
    head = capture.Head(secrets.token_hex(8), now, now + KEEP_S, first.id, f"replay of {wanted.policy.name}")
    try:
        writer = capture.Writer(path, head, first)
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", where=str(path)) from None
    ended = False
    try:
        for row in rows:
            if row.plain:
                writer.put(row.plain)
            yield row
        ended = True
    finally:
        writer.close(ended=ended)


def _progress(rows: Iterator[Row], found: Source, ends: ExitStack) -> Iterator[Row]:
    """Say on a terminal how far it has come, how fast it goes, and how long it will take."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    bar = ends.enter_context(Progress(*columns, console=Console(stderr=True), transient=True))
    task, began = bar.add_task("", total=max(found.size, 1)), time.monotonic()
    for count, row in enumerate(rows, 1):
        if count % SAY_EVERY == 0:
            rate = count / max(time.monotonic() - began, 1e-9)
            bar.update(task, completed=row.done, description=f"{count} exchanges, {rate:.0f}/s")
        yield row


def _summary(rows: Iterator[Row]) -> dict[str, Any]:
    """What changes, in numbers."""
    count: Counter[str] = Counter()
    for row in rows:
        count["exchanges"] += 1
        if row.pair is None:
            count["unreadable"] += 1
        elif row.unknown:
            count["not_comparable"] += 1
        elif row.pair.before.same(row.pair.after):
            count["same"] += 1
        elif row.pair.after.refused and not row.pair.before.refused:
            count["newly_refused"] += 1
        elif row.pair.before.refused and not row.pair.after.refused:
            count["newly_allowed"] += 1
        else:
            count["otherwise"] += 1
    names = ("exchanges", "same", "newly_refused", "newly_allowed", "otherwise", "not_comparable", "unreadable")
    return {name: count[name] for name in names}

"""The command line of replays: what another policy would have decided, before it does."""

from __future__ import annotations

import itertools
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safeguards_extproc import cli_report, cli_scorer
from safeguards_extproc.cli_report import Outputs, Told
from safeguards_extproc.errors import ConfigError

if TYPE_CHECKING:
    from safeguards_extproc.policy.compile import CompiledPolicy
    from safeguards_extproc.replay.compare import Comparison
    from safeguards_extproc.replay.many import Row
    from safeguards_extproc.replay.report import Report
    from safeguards_extproc.replay.source import Source

SAY_EVERY = 32
"""Exchanges after which progress is said again."""

UNREADABLE = "the exchange could not be read"
UNSCORED = "the capture does not say what models make of its windows"
"""Why an exchange was not compared."""

KEEP_S = 7 * 86_400.0
"""How long a capture that a replay writes may be read."""


def replay(
    captures: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Captures, folders of them, or files that `capture import` reads; through records Parquet files."
        ),
    ] = None,
    policy: Annotated[Path, typer.Option(help="The policy to try.")] = Path("policies/demo.yaml"),
    against: Annotated[
        Path | None, typer.Option(help="Compare with this policy, not with what was decided then.")
    ] = None,
    through: Annotated[
        str, typer.Option(help="core; envoy: the whole filter behind a real Envoy; or records, without any text.")
    ] = "core",
    timed: Annotated[
        bool, typer.Option("--timed", help="Through envoy: in the time that it took then, not as fast as it goes.")
    ] = False,
    envoy: Annotated[Path, typer.Option(help="Envoy's configuration.")] = Path("envoy/demo.yaml"),
    key: Annotated[
        Path | None, typer.Option(help="The file with the keys of captures.", envvar="SAFEGUARDS_CAPTURE_KEY")
    ] = None,
    endpoint: cli_scorer.Endpoint = None,
    embedded: cli_scorer.Embedded = None,
    local: cli_scorer.Local = False,
    models: cli_scorer.Models = cli_scorer.MODELS,
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
    store: Annotated[str, typer.Option(help="Through records: all sealed records of this folder or URL.")] = "",
    engine: Annotated[str, typer.Option(help="Through records: local, or ray.")] = "local",
    labels: Annotated[
        Path | None, typer.Option(help='What exchanges deserve, {"id", "label": "block" or "allow"} a line.')
    ] = None,
    gate: Annotated[Path | None, typer.Option(help="What must hold; if it does not, this ends with 1.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write the whole report there, as JSON.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the report there, as one page.")] = None,
    examples: Annotated[
        bool, typer.Option("--examples", help="Show on the page what was said in exchanges that change.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Decide recorded or captured traffic again, and say what changes."""
    from safeguards_extproc.logs import configure_logging
    from safeguards_extproc.policy.load import load
    from safeguards_extproc.replay.source import source

    configure_logging("warning")
    if through not in ("core", "envoy", "records"):
        raise ConfigError(f"unknown way {through!r}", where="--through", hint="core, envoy or records")
    if through == "envoy" and (against is not None or write is not None):
        hint = "both are for --through core"
        raise ConfigError("Envoy sends an exchange once", where="--against, --write", hint=hint)
    if examples and (html is None or through == "records"):
        raise ConfigError("texts are in captures and shown on a page", where="--examples", hint="add --html FILE")
    outputs = Outputs(report, html, gate, labels, as_json)
    known, after = cli_report.expected(outputs), load(policy)
    before = load(against) if against is not None else None
    again = _command(
        captures or [],
        {
            "--through": through,
            "--policy": policy,
            "--against": against,
            "--key": key,
            "--endpoint": endpoint,
            "--embedded": embedded,
            "--local": local,
            "--models": models if local else None,
            "--rescore": rescore,
            "--timed": timed,
            "--envoy": envoy if through == "envoy" else None,
            "--store": store,
            "--engine": engine if through == "records" else None,
            "--labels": labels,
            "--gate": gate,
        },
    )
    if through == "records":
        if write is not None or (resume is not None and engine == "ray"):
            hint = "records hold no text to write, and a cluster counts in one go"
            raise ConfigError("not of records so", where="--write, --resume", hint=hint)
        comparison, files, seconds = _records(
            captures or [], store, engine, jobs, (policy, against), known.labels, resume
        )
        replayed = Told(comparison, after, before, through, files, again, seconds)
        raise typer.Exit(0 if cli_report.told(replayed, outputs, known, lambda found: {}) else 1)
    if not captures or store or engine != "local":
        raise ConfigError("needs captures, and no store or engine", where=f"--through {through}", hint="name a file")
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
    began, comparison = time.perf_counter(), _comparison(after, before)
    with ExitStack() as ends:
        rows = _progress(_rows(wanted, found, ends), found, ends)
        _count(rows if write is None else _written(rows, write, wanted), comparison, known.labels)
    comparison.notes.update(found.unfinished)
    files = [path.name for path in found.paths]
    replayed = Told(comparison, after, before, through, files, again, time.perf_counter() - began)
    passed = cli_report.told(replayed, outputs, known, lambda told: _texts(told, found) if examples else {})
    raise typer.Exit(0 if passed and UNREADABLE not in comparison.undecided else 1)


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


def _count(rows: Iterator[Row], comparison: Comparison, labels: Mapping[str, str]) -> None:
    """Count what changes."""
    for row in rows:
        if row.pair is None:
            comparison.undecided[UNREADABLE] += 1
        elif row.unknown:
            comparison.undecided[UNSCORED] += 1
        else:
            deserved = labels.get(row.pair.before.id, row.pair.deserved)
            comparison.add(row.pair._replace(deserved=deserved))


def _texts(report: Report, found: Source) -> dict[str, str]:
    """What was said in the exchanges that the report names."""
    from safeguards_extproc.replay.texts import texts

    return texts(found.frames(), {each.id for some in report.examples.values() for each in some})


def _comparison(after: CompiledPolicy, before: CompiledPolicy | None) -> Comparison:
    from safeguards_extproc.replay.compare import Comparison
    from safeguards_extproc.replay.identities import Identities

    return Comparison(Identities((before or after).document.enforcement, after.document.enforcement))


def _records(
    paths: Sequence[Path],
    store: str,
    engine: str,
    jobs: int,
    policies: tuple[Path, Path | None],
    labels: Mapping[str, str],
    resume: Path | None,
) -> tuple[Comparison, list[str], float]:
    """Decide sealed records again: what was counted, of which files, in how many seconds."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from safeguards_extproc.policy.load import load
    from safeguards_extproc.records.stores import open_store
    from safeguards_extproc.replay import counted, on_ray, records
    from safeguards_extproc.replay.journal import Begin

    if engine not in ("local", "ray"):
        raise ConfigError(f"unknown engine {engine!r}", where="--engine", hint="local or ray")
    if bool(paths) == bool(store):
        raise ConfigError("needs Parquet files or --store, not both", where="--through records")
    after, against = policies
    opened = open_store(store) if store else records.HERE
    files = records.sealed_files(opened) if store else [str(path.absolute()) for path in paths]
    both = records.Policies(load(after), load(against) if against is not None else None)
    comparison, began = _comparison(both.after, both.against), time.perf_counter()
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("records{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=sum(group.rows for group in records.groups(files, opened)))

        def told(rows: int) -> None:
            bar.advance(task, rows)
            bar.update(task, description=f", {bar.tasks[task].speed or 0:,.0f}/s")

        def count(some: Sequence[str]) -> None:
            bar.update(task, completed=comparison.total.exchanges + comparison.undecided.total())
            records.run(some, both, comparison, labels, threads=jobs, told=told, store=opened)

        if engine == "ray":
            texts = on_ray.Texts(after.read_text(), against.read_text() if against is not None else "", store)
            on_ray.on_ray(files, texts, comparison, labels, told)
        elif resume is None:
            count(files)
        else:
            digest = both.against.digest if both.against is not None else ""
            begin = Begin(counted.named(files, labels), both.after.digest, digest, True, "records")
            counted.in_parts(files, resume, begin, comparison, count)
    return comparison, files, time.perf_counter() - began


def _command(paths: Sequence[Path], options: Mapping[str, object]) -> str:
    """The command that finds the same again: options that were given or are needed, each as often as it has values."""
    arguments: list[object] = ["replay", *paths]
    for name, value in options.items():
        match value:
            case None | False | "":
                continue
            case True:
                arguments.append(name)
            case list():
                arguments += [word for each in value for word in (name, each)]
            case _:
                arguments += [name, value]
    return cli_report.command(arguments)

"""The command line of records: sealing them, checking what was sealed, and asking."""

from __future__ import annotations

import collections
import csv
import dataclasses
import datetime
import json
import re
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from safeguards_extproc import cli_say
from safeguards_extproc.core.record import Record
from safeguards_extproc.errors import ConfigError

if TYPE_CHECKING:
    from safeguards_extproc.records.query import Span
    from safeguards_extproc.records.seal import Round
    from safeguards_extproc.records.stores import Store
    from safeguards_extproc.telemetry import Metrics

app = typer.Typer(help="Seal, verify and query decision records.", no_args_is_help=True)

StoreUrl = Annotated[str, typer.Argument(metavar="STORE", help="A folder, s3://…, gs://… or abfs://….")]
Place = Annotated[str, typer.Argument(metavar="PLACE", help="A store, a spool's folder, or a file of --records.")]
Since = Annotated[str, typer.Option(help="Records from then on: 24h, 7d, or 2026-01-31T09:00 (UTC).")]
Until = Annotated[str, typer.Option(help="Records before then.")]
Region = Annotated[str | None, typer.Option(help="Records of this region.")]
MetricsAt = Annotated[str, typer.Option("--metrics", help="Prometheus metrics while it goes on; empty for none.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]

LATEST = ("time", "id", "route", "model", "outcome", "rule", "category", "termination", "status", "duration_ms")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d(T\d\d(:\d\d(:\d\d(\.\d+)?)?)?)?Z?")
_LOOK_S = 0.5


@app.command()
def seal(
    spool: Annotated[Path, typer.Argument(help="The spool's folder (serve --spool).", exists=True, file_okay=False)],
    store: StoreUrl,
    every: Annotated[
        str, typer.Option(help="Go on until SIGTERM, then look once more; and look so often: 30s, 5m.")
    ] = "",
    metrics: MetricsAt = "",
    as_json: AsJson = False,
) -> None:
    """Turn the spool's closed segments into Parquet files of a store."""
    place, pause = store_of(store), cli_say.span("--every", every)
    from safeguards_extproc.records.seal import seal as once

    stop = until_told() if pause else threading.Event()
    with serving(metrics) as told:
        while True:
            last = stop.is_set()  # what a filter closed at its own end is sealed, too
            with reading(str(spool)):
                done = once(spool, place)
            told.sealed(done.records, done.torn, len(done.left), time.time())
            if done.segments or done.left or not pause:
                _say_round(done, place, as_json=as_json)
            if not pause:
                raise typer.Exit(1 if done.left else 0)
            if last:
                return
            stop.wait(pause)


def _say_round(done: Round, place: Store, *, as_json: bool) -> None:
    found = {name: value for name, value in dataclasses.asdict(done).items() if name != "left"}
    if as_json:
        sys.stdout.write(json.dumps({**found, "left": done.left}) + "\n")
    else:
        cli_say.one(f"sealed into {place.url}", found, as_json=False)
        for name, why in done.left.items():
            sys.stdout.write(f"LEFT  {name}: {why}\n")
    sys.stdout.flush()


@app.command()
def verify(
    store: StoreUrl,
    spool: Annotated[Path | None, typer.Option(help="Count what waits in this spool as there.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Manifests and sizes only; files are not read.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say whether all that was sealed is there, unchanged, and once."""
    place = store_of(store)
    from safeguards_extproc.records.verify import verify as look

    with reading(place.url):
        found = look(place, spool, quick=quick)
    counts = {name: getattr(found, name) for name in ("files", "records", "bytes", "waiting", "torn")}
    lives = {
        name: [
            {"producer": life[0], "epoch": life[1], "sequences": runs} for life, runs in getattr(found, name).items()
        ]
        for name in ("missing", "doubled")
    }
    if as_json:
        cli_say.print_json({"well": found.well, **counts, "problems": found.problems, **lives})
    else:
        cli_say.one(f"{place.url}: {'all is well' if found.well else 'NOT WELL'}", counts, as_json=False)
        for file, problem in found.problems.items():
            sys.stdout.write(f"PROBLEM  {file} {problem}\n")
        for name, of in lives.items():
            for life in of:
                runs = ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in life["sequences"])
                sys.stdout.write(f"{name.upper()}  {life['producer']} {life['epoch']}: {runs}\n")
    raise typer.Exit(0 if found.well else 1)


@app.command()
def sql(
    store: StoreUrl,
    question: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT over the table `records`.")],
    since: Since = "",
    until: Until = "",
    region: Region = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="As CSV.")] = False,
) -> None:
    """Ask in DuckDB's SQL. Nothing can be changed."""
    place = store_of(store)
    from safeguards_extproc.records.query import Records

    with reading(place.url), Records(place, _span(since, until, region)) as records:
        answer = records.ask(question)
        if as_csv:
            writer = csv.writer(sys.stdout)
            writer.writerow(answer.columns)
            writer.writerows(row.values() for row in answer)
        else:
            rows = [{name: _plain(value) for name, value in row.items()} for row in answer]
            cli_say.rows(f"{len(rows)} rows", rows, answer.columns, as_json=as_json)


@app.command()
def top(
    store: StoreUrl,
    by: Annotated[str, typer.Option(help="route, rule, fired, category, outcome, tenant, model, … .")] = "rule",
    rows: Annotated[int, typer.Option("-n", min=1, help="So many.")] = 20,
    since: Since = "",
    until: Until = "",
    region: Region = None,
    as_json: AsJson = False,
) -> None:
    """Count exchanges by what they have in common."""
    place = store_of(store)
    from safeguards_extproc.records import query

    if by not in (*query.BY, "fired"):
        raise ConfigError(f"cannot count by {by!r}", where="--by", hint=f"one of fired, {', '.join(query.BY)}")
    with reading(place.url), query.Records(place, _span(since, until, region)) as records:
        answer = records.ask(query.top(by, rows))
        found = list(answer)
    cli_say.rows(f"{place.url}: by {by}", found, answer.columns, as_json=as_json)


@app.command()
def show(
    place: Place,
    id: Annotated[str, typer.Argument(help="The exchange's id (x-safeguards-id).")],
    since: Since = "",
    until: Until = "",
) -> None:
    """One record, whole, as JSON."""
    import msgspec

    found = [msgspec.to_builtins(record) for record in _find(place, id, _span(since, until))]
    if not found:
        hint = "an exchange that goes on has none yet; what waits in a spool is not in the store"
        raise ConfigError("no such record", where=place, hint=hint)
    cli_say.print_json(found[0] if len(found) == 1 else found)


@app.command()
def tail(
    place: Place,
    rows: Annotated[int, typer.Option("-n", min=1, help="So many of the latest.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new ones; not for a store.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each, whole.")] = False,
) -> None:
    """The latest records, a line each."""
    from safeguards_extproc.records.follow import Following

    live = live_place(place)
    if live is None:
        if follow:
            raise ConfigError("a store has no end to wait at", where=place, hint="follow the spool")
        _say_latest(_latest(place, rows), as_json=as_json)
        return
    following = Following(live)
    with reading(place):
        _say_latest(collections.deque(following.new(), rows), as_json=as_json)
        while follow:
            time.sleep(_LOOK_S)
            _say_latest(following.new(), as_json=as_json)


@contextmanager
def serving(address: str) -> Iterator[Metrics]:
    """Metrics, which can be had at an address until the end of the block."""
    from safeguards_extproc.telemetry import Metrics

    metrics = Metrics()
    if not address:
        yield metrics
        return
    from safeguards_extproc.adapters.listener import parse

    at = parse(address)
    try:
        _, stop = metrics.serve(at.host, at.port)
    except OSError:
        hint = "is the port taken, the host one of ours?"
        raise ConfigError("cannot serve metrics", where=address, hint=hint) from None
    try:
        yield metrics
    finally:
        stop()


def until_told() -> threading.Event:
    """Set by SIGTERM and SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _say_latest(records: Iterable[Record], *, as_json: bool) -> None:
    from safeguards_extproc.records.encode import to_json

    for record in records:
        if as_json:
            sys.stdout.write(to_json(record).decode() + "\n")
        else:
            cells = (cli_say.cell(getattr(record, name)) or "-" for name in LATEST)
            sys.stdout.write("  ".join(cells) + "\n")
    sys.stdout.flush()


def _latest(place: str, rows: int) -> list[Record]:
    """The latest records of a store: of its last hours, as many as it takes."""
    store = store_of(place)
    from safeguards_extproc.records import sealed
    from safeguards_extproc.records.query import Records, Span

    with reading(store.url):
        since, count = "", 0
        for hour in sorted(sealed.hours(store), key=lambda hour: hour.split("/")[1:], reverse=True):
            since = sealed.begin(hour)
            count += sum(
                sealed.decode(store.get(sealed.manifest_path(file))).rows for file in sealed.files(store, hour)
            )
            if count >= rows:
                break
        with Records(store, Span(since)) as records:
            return records.latest(rows)


def _find(place: str, id: str, span: Span) -> list[Record]:
    from safeguards_extproc.records.follow import Following

    live = live_place(place)
    with reading(place):
        if live is not None:
            return [record for record in Following(live).new() if record.id == id]
        store = store_of(place)
        from safeguards_extproc.records.query import Records

        with Records(store, span) as records:
            return list(records.find(id))


def live_place(place: str) -> Path | None:
    """The path of a spool or of a file of JSON lines; None if the place is a store."""
    from safeguards_extproc.records import segments

    path = Path(place)
    if path.is_file():
        return path
    if "://" not in place and path.is_dir() and (segments.segments(path) or any(path.glob(f"*{segments.LOCK}"))):
        return path
    return None


def store_of(url: str) -> Store:
    try:
        from safeguards_extproc.records.stores import open_store
    except ModuleNotFoundError as missing:
        hint = 'pip install "safeguards-extproc[records]"'
        raise ConfigError(f"{missing.name} is not installed", where="records", hint=hint) from None
    return open_store(url)


@contextmanager
def reading(where: str) -> Iterator[None]:
    """What cannot be read is the operator's to mend."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror or error}", where=where) from None


def _span(since: str = "", until: str = "", region: str | None = None) -> Span:
    from safeguards_extproc.records.query import Span

    return Span(_moment("--since", since), _moment("--until", until), region)


def _moment(option: str, given: str) -> str:
    """A time as records write it, of one as people do: a moment, or how long ago."""
    if _MOMENT.fullmatch(given):
        return given.removesuffix("Z")
    ago = cli_say.span(option, given)
    if not ago:
        return ""
    then = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=ago)
    return then.isoformat(timespec="milliseconds")


def _plain(value: Any) -> Any:
    """A value of DuckDB as JSON has it."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case datetime.datetime():
            return value.isoformat()
        case _:
            return str(value)

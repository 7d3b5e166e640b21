"""The command `records reconcile`: records against what Envoy says."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safeguards_extproc import cli_say
from safeguards_extproc.cli_records import MetricsAt, live_place, reading, serving, store_of, until_told
from safeguards_extproc.errors import ConfigError

if TYPE_CHECKING:
    from safeguards_extproc.records.reconcile import Gap
    from safeguards_extproc.records.watch import Watch


def reconcile(
    places: Annotated[list[str], typer.Argument(metavar="PLACE…", help="Spools, files of --records, and one store.")],
    access_log: Annotated[Path | None, typer.Option(help="Envoy's access log, JSON lines.", dir_okay=False)] = None,
    admin: Annotated[str, typer.Option(help="Envoy's admin endpoint, HOST:PORT; with --follow.")] = "",
    stat_prefix: Annotated[str, typer.Option(help="Of the connection manager that the filter is in.")] = "ingress",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="From now on, until SIGTERM.")] = False,
    every: Annotated[str, typer.Option(help="With --follow: look so often.")] = "10s",
    grace: Annotated[str, typer.Option(help="With --follow: how old a gap is when it is named.")] = "30s",
    expect: Annotated[
        list[str] | None, typer.Option(help="Lines with these details need no record: direct_response; repeat it.")
    ] = None,
    id_field: Annotated[str, typer.Option(help="Where a line has the filter's id.")] = "safeguards.id",
    time_field: Annotated[str, typer.Option(help="Where a line has its time.")] = "time",
    metrics: MetricsAt = "",
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each gap.")] = False,
) -> None:
    """Compare records with Envoy's access log and counters: every request has one record, or a gap is named."""
    from safeguards_extproc.records.watch import Sources, Watch, all_of

    if access_log is None and not (admin and follow):
        hint = "give --access-log FILE, or --follow and --admin HOST:PORT"
        raise ConfigError("there is nothing to compare records with", where="reconcile", hint=hint)
    live = [path for path in map(live_place, places) if path is not None]
    stores = [store_of(place) for place in places if live_place(place) is None]
    if len(stores) > 1:
        raise ConfigError("are two stores", where=", ".join(store.url for store in stores), hint="name one")
    store = stores[0] if stores else None
    expected = frozenset(expect or ())
    sources = Sources(live, store, access_log, admin, stat_prefix, id_field, time_field, expected)
    pause, patience = cli_say.span("--every", every), cli_say.span("--grace", grace)
    with reading(", ".join(places)):
        if follow:
            gaps = _follow(Watch(sources, patience), pause, metrics, as_json=as_json)
        else:
            told, found = all_of(sources)
            _say_gaps(found, as_json=as_json)
            gaps = told.totals.gaps
            if not as_json:
                sys.stdout.write(f"{told.totals.lines} lines, {told.totals.records} records, {gaps} gaps\n")
    raise typer.Exit(1 if gaps else 0)


def _follow(watch: Watch, pause: float, metrics: str, *, as_json: bool) -> int:
    """Look again and again, until told to end; how many gaps there were."""
    stop, totals = until_told(), watch.reconciliation.totals
    sys.stderr.write(f"looking every {pause:g} s\n")
    sys.stderr.flush()
    with serving(metrics) as told:
        ended = False
        while not ended:
            ended = stop.wait(pause)
            before = replace(totals)
            try:
                gaps = watch.look(time.monotonic())
            except OSError as error:  # Envoy restarts, a disk is away: the next look sees what this one did not
                sys.stderr.write(f"cannot look: {error}\n")
                sys.stderr.flush()
                continue
            counts = Counter[str]()
            for gap in gaps:
                counts[gap.kind.value] += gap.count
            told.reconciled(totals.lines - before.lines, totals.records - before.records, counts, time.time())
            _say_gaps(gaps, as_json=as_json)
    return totals.gaps


def _say_gaps(gaps: Iterable[Gap], *, as_json: bool) -> None:
    for gap in gaps:
        if as_json:
            sys.stdout.write(json.dumps(asdict(gap)) + "\n")
            continue
        when = gap.first if gap.first == gap.last else f"{gap.first} to {gap.last}"
        ids = ", ".join(gap.ids) + (", …" if len(gap.ids) < gap.count else "") if gap.ids else ""
        parts = (f"{gap.kind.upper()}  {gap.count}", gap.why, when, ids)
        sys.stdout.write("  ".join(part for part in parts if part) + "\n")
    sys.stdout.flush()

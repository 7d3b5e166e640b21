"""The command that joins small files of sealed records."""

from __future__ import annotations

import dataclasses
import json
import sys
import threading
import time
from typing import TYPE_CHECKING, Annotated

import typer

from safeguards_extproc import cli_say
from safeguards_extproc.cli_records import AsJson, StoreUrl, reading, store_of, until_told

if TYPE_CHECKING:
    from safeguards_extproc.records.compact import Round
    from safeguards_extproc.records.stores import Store

HOUR_S = 3600.0


def compact(
    store: StoreUrl,
    older: Annotated[str, typer.Option(help="Only hours that ended so long ago: 2h, 1d.")] = "2h",
    keep: Annotated[str, typer.Option(help="How long files stay that were joined, for who reads them.")] = "10m",
    every: Annotated[str, typer.Option(help="Go on until SIGTERM, and look so often: 10m, 1h.")] = "",
    as_json: AsJson = False,
) -> None:
    """Join the small files of each hour and life of a producer. One at a time for a store."""
    place, pause = store_of(store), cli_say.span("--every", every)
    age_s, keep_s = cli_say.span("--older", older), cli_say.span("--keep", keep)
    from safeguards_extproc.records.compact import Settings
    from safeguards_extproc.records.compact import compact as once

    stop = until_told() if pause else threading.Event()
    while not stop.is_set():
        now = time.time()
        with reading(place.url):
            done = once(place, cli_say.moment(now - age_s - HOUR_S), now, Settings(keep_s=keep_s))
        if done.joined or done.deleted or done.left or not pause:
            _say(done, place, as_json=as_json)
        if not pause:
            raise typer.Exit(1 if done.left else 0)
        stop.wait(pause)


def _say(done: Round, place: Store, *, as_json: bool) -> None:
    found = dataclasses.asdict(done)
    left = found.pop("left")
    if as_json:
        sys.stdout.write(json.dumps({**found, "left": left}) + "\n")
    else:
        cli_say.one(f"joined in {place.url}", found, as_json=False)
        for name, why in left.items():
            sys.stdout.write(f"LEFT  {name}: {why}\n")
    sys.stdout.flush()

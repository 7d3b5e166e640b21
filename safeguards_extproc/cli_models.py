"""The command line of model repositories."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import typer

from safeguards_extproc import cli_say
from safeguards_extproc.errors import ConfigError

app = typer.Typer(help="Fetch model repositories for Triton.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Fetch model repositories for Triton."""


@app.command()
def fetch(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A folder, s3://…, gs://… or abfs://….")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the files go.", file_okay=False)],
    digests: Annotated[
        Path, typer.Option(help="The files and their SHA-256, as `sha256sum` writes them.", dir_okay=False)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Bring the files that have a digest into FOLDER, and only as that digest says; 1 if one is missing or another."""
    from safeguards_extproc.records.stores import open_store
    from safeguards_extproc.repository import digests as parse
    from safeguards_extproc.repository import fetch as bring

    try:
        wanted = parse(digests.read_text("utf-8"), str(digests))
    except (OSError, UnicodeDecodeError):
        raise ConfigError("cannot be read", where=str(digests), hint="is it a file of text?") from None
    folder.mkdir(parents=True, exist_ok=True)
    store = open_store(source)
    done = bring(store, folder, wanted)
    if as_json:
        cli_say.print_json(dataclasses.asdict(done))
    else:
        counts = {name: value for name, value in dataclasses.asdict(done).items() if name != "problems"}
        cli_say.one(f"models from {store.url}", counts, as_json=False)
        for path, problem in done.problems.items():
            sys.stdout.write(f"PROBLEM  {path} {problem}\n")
    raise typer.Exit(1 if done.problems else 0)

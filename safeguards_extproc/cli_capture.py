"""The command line of captures: keys, what others captured, what a file holds, and an end to what has expired."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from safeguards_extproc import cli_say
from safeguards_extproc.errors import ConfigError

app = typer.Typer(help="Traffic as it was captured, encrypted, until it expires.", no_args_is_help=True)

KeyFile = Annotated[Path, typer.Option(help="The file with the keys of captures.", envvar="SAFEGUARDS_CAPTURE_KEY")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]


@app.command()
def key(
    file: Annotated[Path, typer.Argument(help="Where to write it; must not be there yet.")],
    id: Annotated[str, typer.Option(help="Its name, in captures and in the file.")] = "",
) -> None:
    """Make a file with a new key. Put an older file's keys below it to go on reading what they were used for."""
    import os

    from safeguards_extproc.replay.capture import new_key

    text = new_key(id or f"k{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(text)
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", where=str(file)) from None
    typer.echo(f"{file}: a new key")


@app.command("import")
def import_(
    source: Annotated[Path, typer.Argument(help="HAR, Envoy tap, our samples, or dialogues; .gz too.")],
    target: Annotated[Path, typer.Argument(help="The capture to make; ends in .capture.")],
    key: KeyFile,
    format: Annotated[str, typer.Option(help="har, tap, samples or conversations; otherwise its name says.")] = "",
    keep: Annotated[str, typer.Option(help="How long it may be read: 12h, 7d, …")] = "7d",
) -> None:
    """Make a capture of what somebody else captured."""
    from safeguards_extproc.replay import capture, imports

    if format and format not in imports.FORMATS:
        hint = f"one of {', '.join(imports.FORMATS)}"
        raise ConfigError(f"unknown format {format!r}", where="--format", hint=hint)
    if target.suffix != capture.SUFFIX:
        raise ConfigError(f"does not end in {capture.SUFFIX}", where=str(target))
    now, found = time.time(), imports.exchanges(source, format)
    first = capture.read_keys(key)[0]
    head = capture.Head(secrets.token_hex(8), now, now + cli_say.span("--keep", keep), first.id, source.name)
    try:
        writer = capture.Writer(target, head, first)
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", where=str(target)) from None
    try:
        for taken in found:
            writer.write(taken)
    except BaseException:
        writer.close(ended=False)
        target.unlink()
        raise
    writer.close()
    typer.echo(f"{target}: {writer.exchanges} exchanges, until {cli_say.moment(head.expires)}")


@app.command()
def show(
    files: Annotated[list[Path], typer.Argument(help="Captures.")],
    key: Annotated[
        Path | None, typer.Option(help="With their keys what is in them is counted.", envvar="SAFEGUARDS_CAPTURE_KEY")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say whose captures these are, until when they may be read, and with their keys what they hold. No text."""
    found = [_row(file, key) for file in files]
    columns = ("file", "source", "created", "expires", "key", "exchanges", "messages", "bytes", "state")
    cli_say.rows(f"{len(found)} captures", found, columns, as_json=as_json)


@app.command()
def purge(folder: Annotated[Path, typer.Argument(help="A folder of captures.")], as_json: AsJson = False) -> None:
    """Remove the captures of a folder that have expired."""
    from safeguards_extproc.replay import capture

    removed = []
    for path in sorted(folder.glob(f"*{capture.SUFFIX}")):
        head = capture.head_of(path)
        if head.expires <= time.time():
            path.unlink()
            removed.append({"file": str(path), "expired": cli_say.moment(head.expires)})
    cli_say.rows(f"{len(removed)} captures removed", removed, ("file", "expired"), as_json=as_json)


def _row(file: Path, key: Path | None) -> dict[str, Any]:
    from safeguards_extproc.replay import capture

    now, head = time.time(), capture.head_of(file)
    row: dict[str, Any] = {
        "file": str(file),
        "source": head.source,
        "created": cli_say.moment(head.created),
        "expires": cli_say.moment(head.expires),
        "key": head.key,
        "state": "expired" if head.expires <= now else "",
    }
    if key is not None and head.expires > now:
        reader = capture.Reader(file, capture.read_keys(key), now)
        exchanges = messages = size = 0
        for taken in reader:
            exchanges, messages, size = exchanges + 1, messages + len(taken.messages), size + taken.size
        state = "closed" if reader.complete else f"open, {reader.torn} bytes torn off"
        row |= {"exchanges": exchanges, "messages": messages, "bytes": size, "state": state}
    return row

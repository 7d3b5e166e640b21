"""What others captured, as exchanges: one module for each format, one row for each module.

A format that knows no chunk borders gives a body as one chunk, and one that knows no times gives 0: neither changes a
verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from safeguards_extproc.core.taken import Taken
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.replay.imports import conversations, har, samples, tap

Import = Callable[[Path], Iterator[Taken]]

FORMATS: Mapping[str, Import] = {
    "har": har.exchanges,
    "tap": tap.exchanges,
    "samples": samples.exchanges,
    "conversations": conversations.exchanges,
}


def exchanges(path: Path, format: str = "") -> Iterator[Taken]:
    """The exchanges in a file of the format, "" for the one that its name says. ConfigError where it cannot be used."""
    return FORMATS[format or guess(path)](path)


def guess(path: Path) -> str:
    """The format that a file's name, or for JSON lines its first line, says."""
    name = path.name.removesuffix(".gz")
    if name.endswith(".har"):
        return "har"
    if name.endswith((".pb", ".pb_length_delimited", ".tap", ".json")):
        return "tap"
    if name.endswith(".jsonl"):
        return "samples" if samples.recognise(path) else "conversations"
    hint = f"say --format, one of {', '.join(FORMATS)}"
    raise ConfigError("its name does not say what it is", where=str(path), hint=hint)

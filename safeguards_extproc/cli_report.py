"""What commands do with a replay's comparison: the report in every form that was asked for, and the gate's word."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from safeguards_extproc import __version__
from safeguards_extproc.errors import ConfigError

if TYPE_CHECKING:
    from safeguards_extproc.policy.compile import CompiledPolicy
    from safeguards_extproc.replay.compare import Comparison
    from safeguards_extproc.replay.gate import Gate
    from safeguards_extproc.replay.report import Report


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where a report goes, and what holds it to account; None is not wanted."""

    json: Path | None = None
    html: Path | None = None
    gate: Path | None = None
    labels: Path | None = None
    as_json: bool = False


@dataclass(frozen=True, slots=True)
class Expected:
    """What was read before anything was replayed."""

    gate: Gate | None
    labels: dict[str, str]


def expected(outputs: Outputs) -> Expected:
    """Read what is needed, and say now what could not be written later. ConfigError."""
    from safeguards_extproc.replay import gate, labels

    for file in (outputs.json, outputs.html):
        if file is not None and not file.absolute().parent.is_dir():
            raise ConfigError("no such folder", where=str(file.absolute().parent))
    return Expected(
        gate.read(outputs.gate) if outputs.gate else None, labels.read(outputs.labels) if outputs.labels else {}
    )


@dataclass(frozen=True, slots=True)
class Told:
    """A replay that is over."""

    comparison: Comparison
    after: CompiledPolicy
    against: CompiledPolicy | None
    way: str
    files: list[str]
    command: str
    seconds: float


def told(replayed: Told, outputs: Outputs, known: Expected, texts: Callable[[Report], Mapping[str, str]]) -> bool:
    """Write the report, print it, and say whether the gate lets it pass. `texts` finds those of examples that may be
    shown on the page."""
    from dataclasses import replace

    from safeguards_extproc.replay import gate, page, report, terminal

    def named(policy: CompiledPolicy) -> report.Named:
        return report.Named(policy.document.name, policy.digest)

    after, against = replayed.after, replayed.against
    before = named(against) if against is not None else None
    about = report.About(__version__, replayed.way, replayed.command, replayed.files, named(after), before)
    found = report.report(about, replayed.comparison, after, against, replayed.seconds)
    if known.gate is not None:
        found = replace(found, gate=gate.judge(known.gate, replayed.comparison))
    if outputs.json is not None:
        _write(outputs.json, report.encode(found))
    if outputs.html is not None:
        _write(outputs.html, page.page(found, texts(found)))
    if outputs.as_json:
        sys.stdout.write(report.encode(found))
    else:
        for line in terminal.lines(found):
            typer.echo(line)
    return found.passed


def command(arguments: Iterable[object]) -> str:
    """A command line of this program."""
    return shlex.join(["safeguards-extproc", *(str(each) for each in arguments)])


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", where=str(path)) from None

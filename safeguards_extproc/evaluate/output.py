"""Where a report goes: JSON, a page, PNG files. What cannot be written is said before anything is evaluated."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from safeguards_extproc.errors import ConfigError
from safeguards_extproc.evaluate import plots
from safeguards_extproc.evaluate.examples import examples
from safeguards_extproc.evaluate.matching import Match
from safeguards_extproc.evaluate.page import page
from safeguards_extproc.evaluate.plots import Curve
from safeguards_extproc.evaluate.report import Report, encode
from safeguards_extproc.evaluate.run import Evaluation


@dataclass(frozen=True, slots=True)
class Files:
    """What is wanted; None is not. `plots` is a folder. `examples` of each label are shown on the page."""

    json: Path | None = None
    html: Path | None = None
    plots: Path | None = None
    examples: int = 0


def check(files: Files) -> None:
    """ConfigError where a file cannot be written, or a plot not made."""
    if files.html or files.plots:
        plots.available()
    if files.examples and not files.html:
        raise ConfigError("examples are shown on the page", where="--examples", hint="add --html FILE")
    for file in (files.json, files.html):
        if file is not None and not file.parent.is_dir():
            raise ConfigError("no such folder", where=str(file.parent))
    if files.plots is not None:
        folder = files.plots
        _written(folder, lambda: folder.mkdir(parents=True, exist_ok=True))


def keep(known: Report, files: Files) -> None:
    """Write what is known by now as JSON, whole or not at all. ConfigError where that fails."""
    if files.json:
        part = files.json.with_name(files.json.name + ".part")
        _text(part, encode(known))
        _written(files.json, lambda: part.replace(files.json or part))


def write(evaluation: Evaluation, files: Files) -> None:
    """Write what is wanted. ConfigError where that fails."""
    report = evaluation.report
    keep(report, files)
    drawn = curves(evaluation) if files.html or files.plots else {}
    if files.plots:
        for label, png in drawn.items():
            file = files.plots / f"{re.sub(r'[^A-Za-z0-9_.-]', '_', label)}.png"
            _written(file, lambda file=file, png=png: file.write_bytes(png))  # type: ignore[misc]
    if files.html:
        shown = examples(evaluation.samples, evaluation.scored, report.measured.labels, files.examples)
        _text(files.html, page(report, drawn, shown))


def curves(evaluation: Evaluation) -> dict[str, bytes]:
    """A PNG for each label that has figures."""
    drawn = {}
    for row in evaluation.report.measured.labels:
        told = [one for one in row.scores if one.match is not Match.OTHER] or row.scores[:1]
        pairs = [Curve(one.score, *evaluation.scored.pair(row.label, one.score)) for one in told[: plots.MOST]]
        if pairs:
            drawn[row.label] = plots.draw(row.label, pairs)
    return drawn


def _text(file: Path, text: str) -> None:
    _written(file, lambda: file.write_text(text, encoding="utf-8"))


def _written(place: Path, write: Callable[[], object]) -> None:
    try:
        write()
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", where=str(place)) from None

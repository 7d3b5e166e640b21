"""One evaluation from files to a report: read, play, measure."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from safeguards_extproc import __version__
from safeguards_extproc.core.text import Wire
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.evaluate.lines import File, Sample, read
from safeguards_extproc.evaluate.measure import Scored, columns, measure
from safeguards_extproc.evaluate.play import PATH, Case, Outcome, Player
from safeguards_extproc.evaluate.report import Report
from safeguards_extproc.evaluate.robustness import draw, robustness
from safeguards_extproc.evaluate.variants import case, variants
from safeguards_extproc.policy.compile import CompiledPolicy
from safeguards_extproc.ports import Scorer


@dataclass(frozen=True, slots=True)
class Plan:
    """What to evaluate. `limit` lines of each file, 0 for all; `path` is where texts are sent. `each` positives and
    negatives of every label are said in every other way, too; 0 for none."""

    files: Sequence[Path]
    limit: int = 0
    path: str = PATH
    each: int = 0


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The report, and what it was made from: the samples, and their scores in columns."""

    report: Report
    samples: Sequence[Sample]
    scored: Scored


Progress = Callable[[str, int, int], None]
"""Told what is being played, how many texts of it are done, and how many there are."""


def silent(step: str, done: int, texts: int) -> None:
    """Nobody wants to know."""


async def evaluate(
    plan: Plan, policy: CompiledPolicy, wire: Wire, scorer: Scorer, progress: Progress = silent
) -> Evaluation:
    """The whole evaluation. ConfigError where a file cannot be used or a model is not there."""
    files, samples = list[File](), list[Sample]()
    for path in plan.files:
        file, found = read(path, plan.limit)
        files.append(file)
        samples += found
    player, models = Player(policy, wire, scorer, plan.path), [model.detector for model in policy.models]

    async def play(step: str, cases: Sequence[Case]) -> list[Outcome]:
        done = 0

        def one_more() -> None:
            nonlocal done
            done += 1
            progress(step, done, len(cases))

        return await player.play(cases, one_more)

    await scorer.start()
    try:
        await _ready(policy, scorer)
        began = time.perf_counter()
        outcomes = await play("texts", [case(sample) for sample in samples])
        seconds = time.perf_counter() - began
        scored = columns(samples, outcomes, models)
        measured = measure(scored, outcomes, policy)
        tried = None
        if plan.each:
            tried = await robustness(draw(samples, plan.each), variants(), measured, models, play)
    finally:
        await scorer.close()
    versions = {name: version for one in outcomes for name, version in one.versions.items()}
    name, digest = policy.document.name, policy.digest
    report = Report(__version__, name, digest, dict(sorted(versions.items())), files, seconds, measured, tried)
    return Evaluation(report, samples, scored)


async def _ready(policy: CompiledPolicy, scorer: Scorer) -> None:
    """An evaluation of a model that is away would measure nothing but that."""
    for model in policy.models:
        if not await scorer.ready(model):
            hint = "is it in the repository, and is Triton up? `--local` starts one here"
            raise ConfigError(f"the model {model.model!r} is not ready", where=model.detector, hint=hint)

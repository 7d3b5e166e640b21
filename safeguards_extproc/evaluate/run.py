"""One evaluation from files to a report: read, play, measure."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Protocol

from safeguards_extproc import __version__
from safeguards_extproc.core.text import Wire
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.evaluate.journal import Journal, digest, program
from safeguards_extproc.evaluate.lines import File, Sample, read
from safeguards_extproc.evaluate.measure import Scored, columns, measure
from safeguards_extproc.evaluate.play import PATH, Case, Outcome, Player, weight
from safeguards_extproc.evaluate.remembering import Remembering
from safeguards_extproc.evaluate.report import Report
from safeguards_extproc.evaluate.robustness import Robustness, Said, draw, robustness
from safeguards_extproc.evaluate.variants import case, variants
from safeguards_extproc.policy.compile import CompiledPolicy
from safeguards_extproc.ports import Scorer


@dataclass(frozen=True, slots=True)
class Plan:
    """What to evaluate. `limit` lines of each file, 0 for all; `path` is where texts are sent. `each` positives and
    negatives of every label are said in every other way, too; 0 for none. `resume` keeps each outcome, so that the next
    evaluation need not play it again."""

    files: Sequence[Path]
    limit: int = 0
    path: str = PATH
    each: int = 0
    resume: Path | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The report, and what it was made from: the samples, and their scores in columns."""

    report: Report
    samples: Sequence[Sample]
    scored: Scored


class Listener(Protocol):
    """Who wants to know how far an evaluation has come. Work is told in characters."""

    def begins(self, chars: int) -> None:
        """So much is to be played, what was known before not counted."""
        ...

    def played(self, step: str, done: int, texts: int, chars: int) -> None:
        """Another text of a step, which has so many; `chars` is 0 if it was known before."""
        ...

    def found(self, report: Report, said: Said | None) -> None:
        """What is known by now: `said` is the variant that was the last, None before the first."""
        ...


class Silent:
    """Nobody wants to know."""

    def begins(self, chars: int) -> None:
        """Nothing."""

    def played(self, step: str, done: int, texts: int, chars: int) -> None:
        """Nothing."""

    def found(self, report: Report, said: Said | None) -> None:
        """Nothing."""


async def evaluate(
    plan: Plan, policy: CompiledPolicy, wire: Wire, scorer: Scorer, listener: Listener | None = None
) -> Evaluation:
    """The whole evaluation. ConfigError where a file cannot be used or a model is not there."""
    told = listener or Silent()
    files, samples = list[File](), list[Sample]()
    for path in plan.files:
        file, found = read(path, plan.limit)
        files.append(file)
        samples += found
    remembering = Remembering(scorer)
    player = Player(policy, wire, remembering, plan.path)
    journal = Journal(plan.resume, {"policy": policy.digest, "path": plan.path, "program": program()})
    drawn, ways = (draw(samples, plan.each), variants()) if plan.each else ([], [])

    async def play(step: str, cases: Sequence[Case]) -> list[Outcome]:
        outcomes = {number: known for number, case in enumerate(cases) if (known := journal.get(case))}
        new = [number for number in range(len(cases)) if number not in outcomes]
        if outcomes:
            told.played(step, len(outcomes), len(cases), 0)

        def one_more(at: int, outcome: Outcome) -> None:
            case = cases[new[at]]
            outcomes[new[at]] = outcome
            journal.add(case, outcome)
            told.played(step, len(outcomes), len(cases), weight(case))

        await player.play([cases[number] for number in new], one_more)
        journal.check()
        return [outcomes[number] for number in range(len(cases))]

    await remembering.start()
    try:
        await _ready(policy, remembering)
        plain = [case(sample) for sample in samples]
        told.begins(_work(chain(plain, *(filter(None, map(way.make, drawn)) for way in ways)), journal))
        began = time.perf_counter()
        outcomes = await play("texts", plain)
        seconds = time.perf_counter() - began
        scored = columns(samples, outcomes, policy)
        versions = {name: version for one in outcomes for name, version in one.versions.items()}
        measured = measure(scored, outcomes, policy)
        report = Report(
            __version__, policy.document.name, policy.digest, dict(sorted(versions.items())), files, seconds, measured
        )
        told.found(report, None)
        if ways:

            def another(tried: Robustness) -> None:
                told.found(replace(report, robustness=tried), tried.variants[-1])

            report = replace(report, robustness=await robustness(drawn, ways, measured, policy, play, another))
    finally:
        journal.close()
        await remembering.close()
    return Evaluation(report, samples, scored)


def _work(cases: Iterable[Case], journal: Journal) -> int:
    """Characters of the cases that have not been played, each once."""
    return sum({digest(case): weight(case) for case in cases if journal.get(case) is None}.values())


async def _ready(policy: CompiledPolicy, scorer: Scorer) -> None:
    """An evaluation of a model that is away would measure nothing but that."""
    for model in policy.models:
        if not await scorer.ready(model):
            hint = "is it in the repository, and is Triton up? `--local` starts one here"
            raise ConfigError(f"the model {model.model!r} is not ready", where=model.detector, hint=hint)

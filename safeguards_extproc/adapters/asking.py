"""Questions to models: every Classify is answered by exactly one Scored, whatever the scorer does, or was cancelled.

A model above the share of windows that it may be asked about is not asked (escalations.py): that is a failure, too.

A scorer keeps its own deadlines. One that raises, or that is not back a while after every budget has passed, is
answered for with a failure, so that no stream can hang on a fault in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import structlog

from safeguards_extproc.adapters.escalations import Escalations
from safeguards_extproc.core.decision import Model, Result
from safeguards_extproc.core.effects import Classify
from safeguards_extproc.core.events import Scored
from safeguards_extproc.ports import Scorer

GRACE_S = 0.5
"""How long after the largest budget the scorer is taken to be stuck: a scheduling delay, with room."""

log = structlog.get_logger()


@dataclass(slots=True)
class _Open:
    """A question that has not been answered: one result per model, in the order of the models."""

    models: Sequence[Model]
    results: list[Result | None]
    missing: int
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    backstop: asyncio.TimerHandle | None = None


class Asking:
    """The open questions of one stream. `answered` is called on the loop, never from within `ask`.

    `erred` is called once for each fault of the scorer.
    """

    __slots__ = ("_answered", "_erred", "_escalations", "_loop", "_open", "_scorer")

    def __init__(
        self,
        scorer: Scorer,
        escalations: Escalations,
        answered: Callable[[Scored], None],
        erred: Callable[[], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._scorer, self._answered, self._erred, self._loop = scorer, answered, erred, loop
        self._escalations = escalations
        self._open: dict[int, _Open] = {}

    def __len__(self) -> int:
        return len(self._open)

    def ask(self, effect: Classify) -> None:
        """Ask every model at once."""
        ticket, models = effect.ticket, effect.models
        question = self._open[ticket] = _Open(models, [None] * len(models), len(models))
        create = self._loop.create_task
        question.tasks = [create(self._one(effect, n, model)) for n, model in enumerate(models)]
        patience = max((model.budget_ms for model in models), default=0) / 1000 + (GRACE_S if models else 0)
        question.backstop = self._loop.call_later(patience, self._give_up, ticket)

    def cancel(self, tickets: Iterable[int]) -> None:
        """The answers are not wanted any more."""
        for ticket in tickets:
            question = self._open.pop(ticket, None)
            if question is not None:
                self._drop(question)

    def close(self) -> None:
        self.cancel(list(self._open))

    async def _one(self, effect: Classify, number: int, model: Model) -> None:
        ticket, prompt = effect.ticket, effect.prompt if model.exchange else ""
        try:
            if self._escalations.admits(model):
                result = await self._scorer.score(model, effect.texts, prompt)
            else:
                result = Result(model.detector, failure="budget")
        except asyncio.CancelledError:
            if ticket not in self._open:
                raise
            result = Result(model.detector, failure="cancelled")
        except Exception as error:  # noqa: BLE001 (a fault in a scorer is a failed check, never a hung stream)
            log.error("scorer raised", detector=model.detector, error=type(error).__name__)
            self._erred()
            result = Result(model.detector, failure="unavailable")
        question = self._open.get(ticket)
        if question is None:
            return
        question.results[number] = result
        question.missing -= 1
        if not question.missing:
            self._settle(ticket, question, "")

    def _give_up(self, ticket: int) -> None:
        question = self._open[ticket]
        if question.missing:
            log.error("scorer kept no deadline", unanswered=question.missing)
            self._erred()
        self._settle(ticket, question, "timeout")

    def _settle(self, ticket: int, question: _Open, failure: str) -> None:
        del self._open[ticket]
        results = [
            Result(model.detector, failure=failure) if result is None else result
            for model, result in zip(question.models, question.results, strict=True)
        ]
        self._drop(question)
        self._answered(Scored(ticket, results))

    def _drop(self, question: _Open) -> None:
        if question.backstop is not None:
            question.backstop.cancel()
        current = asyncio.current_task()
        for task in question.tasks:
            if task is not current:
                task.cancel()

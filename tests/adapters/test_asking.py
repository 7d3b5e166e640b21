"""Every question has one answer, with a result for each model in its order, whatever the scorer does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

import pytest

from safeguards_extproc.adapters import asking
from safeguards_extproc.adapters.asking import Asking
from safeguards_extproc.adapters.escalations import BURST, Escalations
from safeguards_extproc.core.decision import Escalation, Model, Result
from safeguards_extproc.core.effects import Classify
from safeguards_extproc.core.events import Scored
from safeguards_extproc.core.text import Direction, Kind
from tests.adapters.standins import Scores

Answer = Callable[[Model, Sequence[str]], Awaitable[Result]]


class Desk:
    """An Asking whose answers and faults are collected."""

    def __init__(self, answer: Answer) -> None:
        self.answers: asyncio.Queue[Scored] = asyncio.Queue()
        self.faults = 0
        loop = asyncio.get_running_loop()
        self.asking = Asking(Scores(answer), Escalations(), self.answers.put_nowait, self._fault, loop)

    def _fault(self) -> None:
        self.faults += 1

    def ask(self, *detectors: str, ticket: int = 1, budget_ms: int = 1000) -> None:
        models = [Model(name, name, budget_ms) for name in detectors]
        self.asking.ask(Classify(ticket, Kind.USER, ["text"], models, Direction.REQUEST))

    async def answer(self) -> Scored:
        return await asyncio.wait_for(self.answers.get(), 5)


async def slowly(model: Model, texts: Sequence[str]) -> Result:
    await asyncio.sleep(0.02 if model.detector == "slow" else 0)
    return Result(model.detector, {"x.y": 0.5})


async def never(model: Model, texts: Sequence[str]) -> Result:
    if model.detector == "slow":
        await asyncio.Event().wait()
    return Result(model.detector, {"x.y": 0.5})


async def test_results_come_together_in_the_order_of_the_models() -> None:
    """The slow one is waited for; one Scored holds both."""
    desk = Desk(slowly)
    desk.ask("slow", "quick", ticket=7)
    scored = await desk.answer()
    assert (scored.ticket, [result.detector for result in scored.results]) == (7, ["slow", "quick"])
    assert len(desk.asking) == 0


async def test_nobody_to_ask_is_answered_too() -> None:
    """A question to no model has an answer without results, and not from within the asking."""
    desk = Desk(slowly)
    desk.ask()
    assert desk.answers.empty()
    assert Scored(1, []) == await desk.answer()


@pytest.mark.parametrize(
    ("error", "failure", "faults"),
    [(ValueError("secret words"), "unavailable", 1), (asyncio.CancelledError(), "cancelled", 0)],
    ids=["bug", "cancelled inside"],
)
async def test_a_scorer_that_raises_is_a_failed_check(error: BaseException, failure: str, faults: int) -> None:
    """Its model has failed, the other has its scores."""

    async def broken(model: Model, texts: Sequence[str]) -> Result:
        if model.detector == "bad":
            raise error
        return Result(model.detector, {"x.y": 0.5})

    desk = Desk(broken)
    desk.ask("bad", "good")
    scored = await desk.answer()
    assert [failure, ""] == [result.failure for result in scored.results]
    assert faults == desk.faults


async def test_a_scorer_that_keeps_no_deadline_is_answered_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there counts; what is missing is a timeout, and its task is ended."""
    monkeypatch.setattr(asking, "GRACE_S", 0.02)
    desk = Desk(never)
    desk.ask("slow", "quick", budget_ms=1)
    scored = await desk.answer()
    assert [result.failure for result in scored.results] == ["timeout", ""]
    assert desk.faults == 1


async def test_cancelled_questions_are_silent_and_their_tasks_end() -> None:
    """Nothing comes any more, and nothing of ours still runs."""
    ended: list[str] = []

    async def waiting(model: Model, texts: Sequence[str]) -> Result:
        with contextlib.suppress(IndexError):
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(model.detector)
        return Result(model.detector)

    desk = Desk(waiting)
    desk.ask("a", ticket=1)
    desk.ask("b", "c", ticket=2)
    desk.ask("d", ticket=3)
    await asyncio.sleep(0)
    desk.asking.cancel([1, 99])
    desk.asking.cancel([1])
    assert len(desk.asking) == 2
    desk.asking.close()
    while len(ended) < 4:  # noqa: ASYNC110 (the tasks' ends are the event)
        await asyncio.sleep(0)
    assert (sorted(ended), desk.answers.empty(), desk.faults) == (["a", "b", "c", "d"], True, 0)


async def test_an_answer_may_ask_and_cancel() -> None:
    """What the answer leads to happens inside the call, also for the question being answered."""
    desk = Desk(slowly)
    seen: list[int] = []

    def answered(scored: Scored) -> None:
        seen.append(scored.ticket)
        desk.asking.cancel([scored.ticket])
        if scored.ticket < 3:
            desk.ask("quick", ticket=scored.ticket + 1)

    desk.asking = Asking(Scores(slowly), Escalations(), answered, desk._fault, asyncio.get_running_loop())
    desk.ask("quick", ticket=1)
    async with asyncio.timeout(5):
        while len(seen) < 3:  # noqa: ASYNC110 (the answers are the event)
            await asyncio.sleep(0)
    assert seen == [1, 2, 3]


async def test_the_prompt_is_for_those_who_read_exchanges() -> None:
    """A model of texts is asked without it."""
    asked: dict[str, str] = {}

    class Listening(Scores):
        async def score(self, model: Model, texts: Sequence[str], prompt: str = "") -> Result:
            asked[model.detector] = prompt
            return Result(model.detector)

    desk = Desk(slowly)
    desk.asking = Asking(Listening(), Escalations(), desk.answers.put_nowait, desk._fault, asyncio.get_running_loop())
    models = [Model("pair", "pair", 1000, exchange=True), Model("screen", "screen", 1000)]
    effect = Classify(1, Kind.CONTENT, ["text"], models, Direction.RESPONSE, "the question")
    assert "question" not in repr(effect)
    desk.asking.ask(effect)
    await desk.answer()
    assert {"pair": "the question", "screen": ""} == asked


async def test_a_share_that_is_used_up_is_a_failure() -> None:
    """The model is asked no more, and the one beside it is."""
    asked: list[str] = []

    async def counted(model: Model, texts: Sequence[str]) -> Result:
        asked.append(model.detector)
        return Result(model.detector)

    desk = Desk(counted)
    dear = Model("dear", "dear", 1000, escalation=Escalation(at_most=0.5))
    for ticket in range(4 * BURST):
        desk.asking.ask(Classify(ticket, Kind.USER, ["text"], [dear, Model("cheap", "cheap", 1000)], Direction.REQUEST))
    failures = [(await desk.answer()).results[0].failure for _ in range(4 * BURST)]
    assert (asked.count("cheap"), {"", "budget"}) == (4 * BURST, set(failures))
    assert (failures.count(""), failures[:BURST]) == (asked.count("dear"), [""] * BURST)

"""Many exchanges through the core: in several processes where the capture answers for models, beside each other on one
loop where models are asked. Rows come in the order of the capture, and only a bounded number is ever in memory.
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from safeguards_extproc import wire
from safeguards_extproc.core.decision import Policy, Result
from safeguards_extproc.core.record import Record
from safeguards_extproc.core.taken import Message, Taken
from safeguards_extproc.errors import PeerError
from safeguards_extproc.policy.load import load
from safeguards_extproc.ports import Scorer
from safeguards_extproc.replay import capture, verdict
from safeguards_extproc.replay.source import Frame
from safeguards_extproc.replay.through_core import Asked, Play, Played, alone, play
from safeguards_extproc.replay.verdict import MUST_ALLOW, MUST_BLOCK, REFUSALS, UNKNOWN, Pair, Side, Verdict

AT_ONCE = 48
"""Exchanges that are played beside each other where models are asked: enough to fill their batches."""

BATCH, BATCH_BYTES = 64, 4 << 20
"""Exchanges that another process is given at a time, and their bytes."""

PATIENCE_MS = 600_000
"""How long a model may take for a window: what a slow machine does to budgets is the affair of `make bench`."""


class Row(msgspec.Struct, array_like=True):
    """What became of exchange `number`. `unknown`: of so many windows the capture did not say what models make of them.
    `pair` is None where the exchange could not be read. `plain` is the exchange with its new record, if it was wanted;
    `done` is how many bytes of the capture are behind it."""

    number: int
    done: int
    pair: Pair | None
    unknown: int = 0
    plain: bytes = b""

    def __repr__(self) -> str:
        return f"Row({self.number}, {self.unknown} unknown)"


@dataclass(frozen=True, slots=True)
class Plan:
    """`policy` decides; what came before is what `against` decides, or where that is None what was decided when the
    exchange was taken. Without `recorded` models are asked about every window. `keep` wants `Row.plain`."""

    policy: Path
    against: Path | None = None
    recorded: bool = True
    keep: bool = False


class Judge:
    """Makes a row of a frame, asking whoever drives it what the capture does not say."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.policy: Policy = load(plan.policy)
        self.against: Policy | None = load(plan.against) if plan.against is not None else None

    def row(self, frame: Frame, taken: Taken, plays: Sequence[Played]) -> Row:
        """`plays` are under the policy and, if there is one, the one before."""
        after = plays[0]
        before = plays[1].record if len(plays) > 1 else taken.record
        unknown = max(one.unknown for one in plays)
        plain = capture.encode(after.taken) if after.taken is not None else b""
        pair = Pair(_said(before, taken.id), _later(after, before, taken), deserved(taken))
        return Row(frame.number, frame.done, pair, unknown, plain)

    def judged(self, frame: Frame) -> Row:
        """The row of a frame, if nobody is asked what the capture does not say."""
        taken = frame.open()
        try:
            return self.row(frame, taken, [alone(one) for one in self.plays(taken)])
        except PeerError:
            return Row(frame.number, frame.done, None)

    def plays(self, taken: Taken) -> list[Play]:
        """What `row` needs, to be driven."""
        policies = [self.policy] if self.against is None else [self.policy, self.against]
        return [play(taken, policy, wire, recorded=self._plan.recorded, keep=self._plan.keep) for policy in policies]


def deserved(taken: Taken) -> str:
    """What somebody has said that the exchange deserves."""
    said = set(taken.expected.values())
    return MUST_BLOCK if said & REFUSALS else MUST_ALLOW if said else ""


def said_before(taken: Taken) -> Verdict:
    """What was decided when an exchange was taken."""
    return _said(taken.record, taken.id)


def _said(record: Record | None, id: str) -> Verdict:
    """What was decided; of an exchange that nobody decided, that it passed."""
    passed = Side("allow", "allow", "allow")
    if record is None:
        return Verdict(id, request=passed, response=passed)
    return verdict.of(record, timed=False)


def _later(played: Played, before: Record | None, taken: Taken) -> Verdict:
    """What is decided now. An answer that the upstream was never asked for is unknown."""
    said = verdict.of(played.record, timed=False)
    refused = before is not None and before.request.applied in REFUSALS
    if refused and said.request.applied not in REFUSALS and not any(map(_answers, taken.messages)):
        return replace(said, response=said.response._replace(applied=UNKNOWN))
    return said


def _answers(message: Message) -> bool:
    """Whether Envoy says something of the answer: `response_headers` is field 3 of a ProcessingRequest."""
    return message.from_envoy and message.raw[:1] == b"\x1a"


def in_processes(frames: Iterable[Frame], plan: Plan, jobs: int) -> Iterator[Row]:
    """Play frames in `jobs` processes; what the capture does not say about a window is unavailable."""
    if jobs <= 1:
        judge = Judge(plan)
        yield from (judge.judged(frame) for frame in frames)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _begin, (plan,)) as pool:
        running: deque[Future[list[Row]]] = deque()
        try:
            for batch in _batches(frames):
                running.append(pool.submit(_rows, batch))
                if len(running) > 2 * jobs:
                    yield from running.popleft().result()
            while running:
                yield from running.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _batches(frames: Iterable[Frame]) -> Iterator[list[Frame]]:
    batch: list[Frame] = []
    size = 0
    for frame in frames:
        batch.append(frame)
        size += len(frame.data)
        if len(batch) >= BATCH or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


_judges: list[Judge] = []


def _begin(plan: Plan) -> None:
    _judges.append(Judge(plan))


def _rows(batch: list[Frame]) -> list[Row]:
    return [_judges[0].judged(frame) for frame in batch]


def with_models(frames: Iterable[Frame], plan: Plan, scorer: Scorer) -> Iterator[Row]:
    """Play frames beside each other, asking `scorer` what the capture does not say."""
    judge = Judge(plan)
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        runner.run(scorer.start())
        running: deque[asyncio.Task[Row]] = deque()
        try:
            rest = iter(frames)
            while True:
                for frame in itertools.islice(rest, AT_ONCE - len(running)):
                    running.append(loop.create_task(_asking(judge, frame, scorer)))
                if not running:
                    return
                yield loop.run_until_complete(running.popleft())
        finally:
            for task in running:
                task.cancel()
            runner.run(scorer.close())


async def _asking(judge: Judge, frame: Frame, scorer: Scorer) -> Row:
    taken = frame.open()
    try:
        return judge.row(frame, taken, [await _driven(one, scorer) for one in judge.plays(taken)])
    except PeerError:
        return Row(frame.number, frame.done, None)


async def _driven(play: Play, scorer: Scorer) -> Played:
    results: Sequence[Result] | None = None
    while True:
        try:
            asked = next(play) if results is None else play.send(results)
        except StopIteration as stop:
            played: Played = stop.value
            return replace(played, unknown=0)
        results = await asyncio.gather(*(_score(one, scorer) for one in asked))


async def _score(asked: Asked, scorer: Scorer) -> Result:
    return await scorer.score(replace(asked.model, budget_ms=PATIENCE_MS), asked.texts, asked.prompt)

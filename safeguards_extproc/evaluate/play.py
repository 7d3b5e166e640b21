"""Plays a text to the filter's own core, with the policy's models answering, and says what became of it.

The exchange is only observed (as with Envoy's `observability_mode`), so every window is scored even after a verdict
that would have ended it, and the record holds every score. Models get as long as they need: what a slow machine does to
budgets is the affair of `make bench`. Whoever asks is nobody in particular, and has no limits.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from safeguards_extproc.core import account
from safeguards_extproc.core.decision import SEVERITY, Action, Model, Policy, Result
from safeguards_extproc.core.effects import Admit, Classify, Effect, Keep, Offload, Wake
from safeguards_extproc.core.events import Admitted, Body, BodyMode, Event, Headers, Offloaded, Opened, Scored, Woke
from safeguards_extproc.core.exchange import TURN, Exchange
from safeguards_extproc.core.record import Phase, Record
from safeguards_extproc.core.text import Direction, Wire
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.ports import Scorer

PATH = "/v1/chat/completions"
FORMAT = "openai_chat"

AT_ONCE, WINDOWS = 48, 128
"""Texts that are played at a time, and windows that wait for models: enough to fill their batches."""

PATIENCE_S = 600.0
"""How long a model may take for a window."""

Turns = Sequence[tuple[str, str]]
"""Roles of chat messages and what they say."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is said to the filter, and the answer, None if there is none. The answer is what is judged, if there is
    one."""

    turns: Turns = field(repr=False)
    answer: str | None = field(default=None, repr=False)


def weight(case: Case) -> int:
    """Characters of a case: what playing it costs, as far as can be told before."""
    return sum(len(text) for _, text in case.turns) + len(case.answer or "")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a case. `scores` by "detector.label", the largest of any window, of the judged direction;
    those of the question to a judged answer are named "prompt/detector.label". `errors` are checks that gave no answer
    and bodies that could not be read, by what went wrong. `asked` is of how many windows each model was asked, and how
    many there were for it; one that was asked of none has no scores, though records say 0 of them."""

    action: Action
    decided: Action
    rules: tuple[str, ...]
    scores: Mapping[str, float]
    errors: tuple[str, ...]
    versions: Mapping[str, str]
    asked: Mapping[str, tuple[int, int]] = field(default_factory=dict)


class Player:
    """Plays cases through one policy and one scorer, many at a time."""

    def __init__(self, policy: Policy, wire: Wire, scorer: Scorer, path: str = PATH) -> None:
        """ConfigError if the policy does not inspect chat completions at `path`."""
        self._policy, self._wire, self._scorer, self._path = policy, wire, scorer, path
        self._gate = asyncio.Semaphore(WINDOWS)
        self._fields = {":method": "POST", ":path": path, ":authority": "evaluation", "content-type": _JSON}
        route = policy.route("POST", "evaluation", path)
        if not route.inspect:
            raise ConfigError(
                f"the policy does not inspect {path}", where="--path", hint="name a path that it inspects"
            )
        found = policy.declared(route.format, self._fields) or wire.resolve(route.format, self._fields)[0]
        if found.name != FORMAT:
            hint = "name a path of chat completions"
            raise ConfigError(f"{path} speaks {found.name}, not {FORMAT}", where="--path", hint=hint)

    async def play(
        self, cases: Sequence[Case], done: Callable[[int, Outcome], None] = lambda number, outcome: None
    ) -> list[Outcome]:
        """The outcome of each case, in their order; `done` hears of each, with its number, as it ends."""
        outcomes: list[Outcome | None] = [None] * len(cases)
        numbers = iter(range(len(cases)))

        async def player() -> None:
            for number in numbers:
                one = outcomes[number] = outcome(await self._record(cases[number]), cases[number].answer is not None)
                done(number, one)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, len(cases))):
                group.create_task(player())
        return [one for one in outcomes if one is not None]

    async def _record(self, case: Case) -> Record:
        opened = Opened(BodyMode.DUPLEX, BodyMode.DUPLEX, silent=True)
        exchange = Exchange(self._policy, self._wire, "evaluation", opened, 0.0)
        answered: asyncio.Queue[Scored] = asyncio.Queue()
        tasks: set[asyncio.Task[None]] = set()
        events: deque[Event] = deque()
        records: list[Record] = []

        def carry_out(effect: Effect) -> None:
            match effect:
                case Classify():
                    task = asyncio.create_task(self._ask(effect, answered))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                case Offload(direction, task=work):
                    events.append(Offloaded(direction, work.run(self._wire)))
                case Admit():
                    events.append(Admitted(account.Admitted()))
                case Wake(timer) if timer == TURN:
                    events.append(Woke(timer))
                case Keep(record):
                    records.append(record)

        for said in (_request(self._fields, case.turns), _response(case.answer)):
            events.extend(said)
            while events or (exchange.waiting and not records):
                for effect in exchange.feed(events.popleft() if events else await answered.get()):
                    carry_out(effect)
        if not records:
            raise AssertionError("an exchange without a record")
        return records[0]

    async def _ask(self, asked: Classify, answered: asyncio.Queue[Scored]) -> None:
        async with self._gate:
            results: list[Result] = await asyncio.gather(
                *(
                    self._scorer.score(_patient(model), asked.texts, asked.prompt if model.exchange else "")
                    for model in asked.models
                )
            )
        answered.put_nowait(Scored(asked.ticket, results))


def outcome(record: Record, answers: bool) -> Outcome:
    """What a record says. `answers`: the answer is judged, and the question came with it."""
    request, response = record.request, record.response
    phases = (request, response)
    scores = _largest(response if answers else request)
    if answers:
        scores |= {f"prompt/{name}": score for name, score in _largest(request).items()}
    return Outcome(
        _worst(phase.action for phase in phases),
        _worst(phase.decided for phase in phases),
        tuple(dict.fromkeys(fired.rule for phase in phases for fired in phase.fired)),
        scores,
        tuple(error for phase in phases for error in _errors(phase)),
        record.versions,
        _asked(phases),
    )


_JSON = "application/json"


def _request(fields: Mapping[str, str], turns: Turns) -> list[Event]:
    messages = [
        {"role": role, "content": text, **({"tool_call_id": "call_1"} if role == "tool" else {})}
        for role, text in turns
    ]
    body = json.dumps({"model": "evaluation", "messages": messages}, ensure_ascii=False).encode("utf-8", "replace")
    return [Headers(Direction.REQUEST, dict(fields), False), Body(Direction.REQUEST, body, True)]


def _response(answer: str | None) -> list[Event]:
    fields = {":status": "200", "content-type": _JSON}
    if answer is None:
        return [Headers(Direction.RESPONSE, fields, True)]
    choice: dict[str, Any] = {
        "index": 0,
        "message": {"role": "assistant", "content": answer},
        "finish_reason": "stop",
    }
    whole = {"id": "evaluation", "object": "chat.completion", "model": "evaluation", "choices": [choice]}
    body = json.dumps(whole, ensure_ascii=False).encode("utf-8", "replace")
    return [Headers(Direction.RESPONSE, fields, False), Body(Direction.RESPONSE, body, True)]


def _patient(model: Model) -> Model:
    return replace(model, budget_ms=int(PATIENCE_S * 1000))


def _largest(phase: Phase) -> dict[str, float]:
    """Of every kind of text, without models that no condition called for."""
    idle = {detector for detector, checks in phase.account.checks.items() if checks.not_due and not checks.run}
    best: dict[str, float] = {}
    for scores in phase.scores.values():
        for name, score in scores.items():
            if name.partition(".")[0] not in idle:
                best[name] = max(score, best.get(name, 0.0))
    return best


def _asked(phases: Sequence[Phase]) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for phase in phases:
        for detector, checks in phase.account.checks.items():
            asked, windows = found.get(detector, (0, 0))
            mine = checks.run + checks.failed
            found[detector] = asked + mine, windows + mine + checks.not_due
    return found


def _errors(phase: Phase) -> list[str]:
    found = [f"{detector}: {failure}" for detector, failure in phase.failed.items()]
    if phase.account.uninspectable:
        found.append(phase.account.uninspectable)
    return found


def _worst(actions: Any) -> Action:
    return max(map(Action, actions), key=SEVERITY.__getitem__)

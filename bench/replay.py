"""What an exchange costs in a replay through the core, with the scores that its capture holds: one process, from the
encrypted frame to the row. Whole answers and streamed ones, a word a chunk; the least of the rounds counts.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import texts
from safeguards_extproc import wire
from safeguards_extproc.core.decision import Result
from safeguards_extproc.policy.load import load
from safeguards_extproc.replay import capture
from safeguards_extproc.replay.imports import samples
from safeguards_extproc.replay.many import Judge, Plan
from safeguards_extproc.replay.source import Frame
from safeguards_extproc.replay.through_core import Asked, alone, play
from safeguards_extproc.replay.traffic import Answer, Exchange, Message

POLICY = Path("policies/demo.yaml")
QUESTION, ANSWER = 200, 200
"""Characters, about those of a real dialogue's turn."""


def measure(exchanges: int, rounds: int, console: Console) -> dict[str, Any]:
    """Processor time of an exchange, and exchanges a second of one core."""
    table = Table("answer", "messages", "CPU per exchange", "exchanges/s a core")
    table.title = f"replay --through core, {exchanges} exchanges of {QUESTION} and {ANSWER} characters, recorded scores"
    result: dict[str, Any] = {}
    for name, stream in (("whole", False), ("streamed", True)):
        frames = _frames(exchanges, stream=stream)
        judge = Judge(Plan(POLICY))
        costs = []
        for _ in range(rounds + 1):
            began = time.process_time()
            for frame in frames:
                judge.judged(frame)
            costs.append((time.process_time() - began) / exchanges)
        cost, messages = min(costs), len(frames[0].open().messages)
        table.add_row(name, str(messages), f"{cost * 1e6:.0f} µs", f"{1 / cost:.0f}")
        result[name] = {"messages": messages, "seconds": cost}
    console.print(table)
    return result


def _frames(exchanges: int, *, stream: bool) -> list[Frame]:
    policy, draw = load(POLICY), texts.chat(random.Random(1))  # noqa: S311 (the same texts in every run)
    sealed = capture.Sealed(bytes(capture.KEY_BYTES))
    frames = []
    for number in range(exchanges):
        asked = Message("user", next(draw)[:QUESTION])
        answer = Answer(next(draw)[:ANSWER])
        found = samples.taken(Exchange(str(number), "openai_chat", [asked], stream, answer=answer))
        kept = alone(play(found, policy, wire, keep=True), _model).taken
        assert kept is not None
        data = sealed.frame(number, capture.encode(kept))
        frames.append(Frame(number, number, number, data, sealed, "bench"))
    return frames


def _model(asked: Asked) -> Result:
    name = asked.model.detector
    labels = ("attack", "harmful", "hate", "toxic", "sexist", "injection", "unsafe")
    return Result(name, {f"{name}.{label}": 0.01 for label in labels}, version="1")

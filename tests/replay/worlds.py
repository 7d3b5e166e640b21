"""A policy with a model, exchanges, and what they look like when a filter has taken them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from safeguards_extproc import wire
from safeguards_extproc.core.decision import Result
from safeguards_extproc.core.taken import Taken
from safeguards_extproc.policy.compile import CompiledPolicy
from safeguards_extproc.policy.load import parse
from safeguards_extproc.replay.imports import samples
from safeguards_extproc.replay.through_core import Asked, alone, play
from safeguards_extproc.replay.traffic import Answer, Exchange, Message

POLICY = """
version: 1
name: replayed
thresholds: {bad: 0.8}
detectors:
  words: {kind: patterns, lists: {codename: {keywords: [bluefinch]}}}
  judge: {kind: classification, model: judge, labels: [bad]}
rules:
  - name: bad
    when: scores.judge.bad >= thresholds.bad
    then: block
    on: request
  - name: bad-answer
    when: scores.judge.bad >= thresholds.bad
    then: stop
    on: response
  - name: codename
    when: scores.words.codename >= 1.0
    then: redact
    entities: [codename]
routes:
  - name: all
    window: {first: 40, largest: 80, overlap: 10, flush_ms: 60}
"""

BAD = "something bad"
HARMLESS = "a word about bluefinch and about the weather, which is fine today and will be tomorrow. "


def policy(threshold: float = 0.8, text: str = POLICY) -> CompiledPolicy:
    return parse(text.replace("bad: 0.8", f"bad: {threshold}"), "replayed.yaml")


def file(folder: Path, threshold: float = 0.8) -> Path:
    path = folder / f"policy-{threshold}.yaml"
    path.write_text(POLICY.replace("bad: 0.8", f"bad: {threshold}"))
    return path


def model(asked: Asked) -> Result:
    """0.9 for a text that holds something bad, 0.1 for any other."""
    score = 0.9 if any(BAD in text for text in asked.texts) else 0.1
    return Result(asked.model.detector, {f"{asked.model.detector}.bad": score}, version="1")


def sample(
    id: str = "one", question: str = HARMLESS, answer: str = HARMLESS * 3, *, stream: bool = True, delay_ms: float = 0.0
) -> Taken:
    """An exchange that nobody has decided."""
    return samples.taken(
        Exchange(
            id,
            "openai_chat",
            [Message("user", question)],
            stream,
            answer=Answer(answer, piece=9, delay_ms=delay_ms),
        )
    )


SAMPLES: dict[str, Callable[[], Taken]] = {
    "harmless": lambda: sample("harmless"),
    "whole": lambda: sample("whole", stream=False),
    "bad question": lambda: sample("bad question", BAD),
    "bad answer": lambda: sample("bad answer", answer=HARMLESS * 4 + BAD + HARMLESS * 4),
    "bad whole": lambda: sample("bad whole", answer=HARMLESS + BAD, stream=False),
    "slow": lambda: sample("slow", delay_ms=25.0),
}


def decided(name: str, under: CompiledPolicy | None = None) -> Taken:
    """A sample that a policy has decided, as a filter would have taken it."""
    return kept(SAMPLES[name](), under)


def kept(sample: Taken, under: CompiledPolicy | None = None) -> Taken:
    """An exchange as a filter would have taken it."""
    found = alone(play(sample, under or policy(), wire, keep=True), model).taken
    assert found is not None
    return found

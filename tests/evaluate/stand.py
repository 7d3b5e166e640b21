"""A small policy with a model that knows a few words, for tests of evaluations."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from safeguards_extproc.core.decision import Model, Result
from safeguards_extproc.policy.load import parse

POLICY = parse(
    """
version: 1
name: small
thresholds: {attack: 0.9}
detectors:
  pii: {kind: pii, entities: [email]}
  screen: {kind: classification, model: screen, labels: [attack, unsafe], on_failure: flag}
rules:
  - {name: attack, when: scores.screen.attack >= thresholds.attack, on: request, in: [user, tool], then: block}
  - {name: unsafe, when: scores.screen.unsafe > 0.5, on: response, then: stop}
  - {name: mail, when: scores.pii.email > 0.5, in: [user], then: annotate, annotations: {mail: "1"}}
  - {name: watched, when: scores.screen.attack > 0.2, in: [user], then: block, mode: shadow}
routes:
  - {name: health, match: {paths: [/healthz]}, inspect: false}
  - {name: messages, match: {paths: [/v1/messages]}, format: anthropic_messages}
  - {name: default, window: {first: 100, largest: 200, overlap: 20}}
""",
    "small.yaml",
)
CASCADE = parse(
    """
version: 1
name: cascade
detectors:
  screen: {kind: classification, model: screen, labels: [attack, unsafe], on_failure: flag}
  guard:
    kind: classification
    model: guard
    labels: [attack, unsafe]
    on_failure: flag
    when: scores.screen.attack > 0.2
rules:
  - {name: attack, when: scores.guard.attack >= 0.9, on: request, in: [user], then: block}
""",
    "cascade.yaml",
)
SCORES = {"bomb": {"attack": 0.97, "unsafe": 0.6}, "odd": {"attack": 0.3, "unsafe": 0.1}}


class Words:
    """ports.Scorer: scores are those of the words in a text; "broken" has none."""

    def __init__(self, ready: bool = True) -> None:
        self.up, self.most, self._now = ready, 0, 0

    async def start(self) -> None:
        """Nothing to connect to."""

    async def close(self) -> None:
        """Nothing to hang up."""

    async def ready(self, model: Model) -> bool:
        """As it was made."""
        return self.up

    async def score(self, model: Model, texts: Sequence[str], prompt: str = "") -> Result:
        """The largest score of any word."""
        self._now += 1
        self.most = max(self.most, self._now)
        await asyncio.sleep(0)
        self._now -= 1
        if any("broken" in text for text in texts):
            return Result(model.detector, failure="timeout")
        held = [scores for word, scores in SCORES.items() if any(word in text for text in texts)]
        best = {
            f"{model.detector}.{label}": max([0.01, *(scores[label] for scores in held)])
            for label in ("attack", "unsafe")
        }
        return Result(model.detector, best, version="1@words")

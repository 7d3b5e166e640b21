"""The models of one window, asked in rounds: one with a condition once the answers that its condition reads are in, or
once those that are make it true.

Which models are asked depends on the window's own scores and on features, which are settled before the first window is
cut. So neither the speed of a model nor the order of answers changes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from safeguards_extproc.core.decision import Model, Policy, Result, Value
from safeguards_extproc.core.text import Direction


class Rounds:
    """`results` in the order of the models, once there are no more to come. `spared` are the models whose condition did
    not hold, or that would have had nothing to read, in the order in which that turned out."""

    __slots__ = (
        "_direction", "_features", "_left", "_models", "_open", "_policy", "_said", "_scores", "_sentences", "spared"
    )  # fmt: skip

    def __init__(
        self,
        policy: Policy,
        direction: Direction,
        models: Sequence[Model],
        found: Mapping[str, float],
        features: Mapping[str, Value],
        sentences: bool = False,
    ) -> None:
        """`models` are those for texts of the window's kind, `found` the scores of the detectors in process.
        `sentences` says whether the window has several."""
        self._sentences = sentences
        self._policy, self._direction, self._features = policy, direction, features
        self._models, self._left = models, list(models)
        self._open = {model.detector for model in models}
        self._scores = dict(found)
        self._said: dict[str, Result] = {}
        self.spared: list[Model] = []

    @property
    def results(self) -> Sequence[Result] | None:
        """None while an answer is out."""
        return None if self._open else [self._said[model.detector] for model in self._models]

    def take(self, results: Sequence[Result]) -> None:
        """Models have answered. The scores of one that failed stay unknown."""
        for result in results:
            self._said[result.detector] = result
            self._open.discard(result.detector)
            if not result.failure:
                self._scores.update(result.scores)

    def due(self) -> list[Sequence[Model]]:
        """The models to ask now, in groups that are answered together: those for which others wait, then the rest."""
        asked: list[Model] = []
        spared = -1
        while self._left and spared != len(self.spared):  # one that is not asked may be all that another waited for
            spared = len(self.spared)
            waiting = []
            for model in self._left:
                if not self._ready(model):
                    waiting.append(model)
                elif self._wanted(model):
                    asked.append(model)
                else:
                    self._spare(model)
            self._left = waiting
        if not (asked and self._left):
            return [asked] if asked else []
        awaited = frozenset[str]().union(*(each.escalation.after for each in self._left if each.escalation))
        groups = (
            [model for model in asked if model.detector in awaited],
            [model for model in asked if model.detector not in awaited],
        )
        return [group for group in groups if group]

    def _ready(self, model: Model) -> bool:
        """Whether it can be told if the model is to be asked: also where an answer that is out changes nothing."""
        known = model.escalation
        if known is None or self._mute(model):
            return True
        return self._open.isdisjoint(known.after) or (known.early and self._holds(model) is True)

    def _wanted(self, model: Model) -> bool:
        return not self._mute(model) and (model.escalation is None or self._holds(model) is not False)

    def _mute(self, model: Model) -> bool:
        """Whether the window has nothing that the model reads."""
        return bool(model.sentences) and not self._sentences

    def _holds(self, model: Model) -> bool | None:
        return self._policy.due(model.detector, self._direction, self._scores, self._features)

    def _spare(self, model: Model) -> None:
        names = model.sentences or (model.escalation.scores if model.escalation else ())
        self.spared.append(model)
        self.take([Result(model.detector, dict.fromkeys(names, 0.0), asked=False)])

"""Models with a condition: their windows are counted, and those that they are asked about bounded by a share.

The one rule: of any windows in a row, however many, a model is asked about no more than its share of them, and `BURST`.
A share needs no clock, and each process keeps it by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from safeguards_extproc.core.decision import Model

BURST = 64
"""Windows above its share that a model may be asked about in a row: those of one long text."""

RECENT = 1000
"""Windows that a recent share is taken over."""


class Observer(Protocol):
    """Who wants to know (telemetry.Metrics)."""

    def escalation(self, detector: str, result: str, share: float) -> None:
        """A window: "asked", "not-due" or "budget" (due, and not asked). `share` of recent windows were asked."""
        ...


@dataclass(slots=True)
class _Account:
    """Of one model. `tokens`: windows that it may be asked about now."""

    tokens: float = BURST
    windows: int = 0
    share: float = 0.0


class Escalations:
    """One per process."""

    def __init__(self, observer: Observer | None = None) -> None:
        self._observer = observer
        self._accounts: dict[str, _Account] = {}

    def admits(self, model: Model) -> bool:
        """Whether a model may be asked about a window for which it is due. One without a condition always may."""
        if model.escalation is None:
            return True
        account = self._window(model, model.escalation.at_most)
        admitted = account.tokens >= 1
        account.tokens -= admitted
        self._count(model, account, "asked" if admitted else "budget")
        return admitted

    def spared(self, models: Sequence[Model]) -> None:
        """A window for which these models are not due."""
        for model in models:
            if model.escalation is not None:
                self._count(model, self._window(model, model.escalation.at_most), "not-due")

    def _window(self, model: Model, at_most: float) -> _Account:
        account = self._accounts.get(model.detector)
        if account is None:
            account = self._accounts[model.detector] = _Account()
        account.tokens = min(account.tokens + at_most, BURST)
        return account

    def _count(self, model: Model, account: _Account, result: str) -> None:
        account.windows = min(account.windows + 1, RECENT)
        account.share += ((result == "asked") - account.share) / account.windows
        if self._observer is not None:
            self._observer.escalation(model.detector, result, account.share)

"""What a driver needs from the world. Every adapter behind a port passes the same contract tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from safeguards_extproc.core.aside import Outcome, Task
from safeguards_extproc.core.decision import Model, Result
from safeguards_extproc.core.record import Record


class Scorer(Protocol):
    """Asks classifiers for scores."""

    async def start(self) -> None:
        """Connect; never fails because a peer is away (that is `ready`'s to say)."""
        ...

    async def score(self, model: Model, texts: Sequence[str], prompt: str = "") -> Result:
        """Scores of one window: the maximum per label over `texts`, its views. `prompt` is what the texts answer, for
        a model that reads both. Never raises but CancelledError: a failure is a Result with `failure` set. Answers
        within `model.budget_ms` (and a scheduling delay)."""
        ...

    async def ready(self, model: Model) -> bool:
        """Whether the model can answer now."""
        ...

    async def close(self) -> None: ...


class Reader(Protocol):
    """Reads and edits large bodies where that holds up nobody."""

    async def do(self, task: Task) -> Outcome:
        """What `task.run` gives. Never raises but CancelledError: what cannot be done in time is `task.undone()`."""
        ...

    async def close(self) -> None: ...


class RecordSink(Protocol):
    """Keeps decision records."""

    def keep(self, record: Record) -> None:
        """Hand the record to the operating system before returning (a crash of this process loses nothing).
        A failure is counted and logged by the sink, never raised."""
        ...

    def close(self) -> None: ...

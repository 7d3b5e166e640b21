"""What a driver needs from the world. Every adapter behind a port passes the same contract tests."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Sequence
from typing import Protocol

from safeguards_extproc.core.account import Admission, Admitted, Charge, Counted, Settlement, Standing
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

    def durable(self, record: Record) -> Future[None] | None:
        """What to wait for before the answer that depends on this record, which was kept, leaves: that it is on the
        disk, or counted as late or failed. None where there is nothing to wait for. It has no error."""
        ...

    def close(self) -> None: ...


class LimitStore(Protocol):
    """Counts charges. In process or on Redis; the same contract tests hold for both."""

    async def admit(self, id: str, charges: Sequence[Charge], shares: Sequence[float]) -> Sequence[Counted]:
        """Take the charges if every enforced limit allows its own, else none; one answer each, in order. `shares` say
        what part of each limit counts, 1.0 for all. Charges of the same exchange `id` are told apart by their place.
        Raises StoreError where the store does not answer in time; then nothing may have been taken, or all."""
        ...

    async def settle(self, id: str, used: Sequence[tuple[Charge, int]]) -> None:
        """Put each charge of the exchange right: `used` instead of `cost`; leases end. Once for an admitted `id`;
        again is without effect. Raises StoreError."""
        ...

    async def renew(self, ids: Sequence[tuple[str, Sequence[Charge]]]) -> None:
        """The exchanges go on: their leases begin anew. Raises StoreError."""
        ...

    async def close(self) -> None: ...


class Standings(Protocol):
    """Where identities stand: a snapshot in memory that is kept up to date from outside."""

    def of(self, pseudonyms: Sequence[str]) -> Standing:
        """The most severe standing of these identities, flags of all of them joined. Never waits."""
        ...


class Accounts(Protocol):
    """What streams ask: limits, standings, and whoever learns from what happened, behind one door."""

    async def admit(self, admission: Admission) -> Admitted:
        """Never raises but CancelledError; answers within the store's deadline."""
        ...

    def settle(self, settlement: Settlement) -> None:
        """Never waits and never raises: what cannot be told now is told later, or counted as lost."""
        ...

    async def close(self) -> None: ...

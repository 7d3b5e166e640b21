"""What all streams of a process share, and what their driver asks of an exchange and tells telemetry."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from safeguards_extproc.adapters.capturing import Capturing
from safeguards_extproc.adapters.escalations import Escalations
from safeguards_extproc.adapters.run_queue import RunQueue
from safeguards_extproc.core.account import Admission, Admitted, Settlement
from safeguards_extproc.core.aside import Outcome, Task
from safeguards_extproc.core.effects import Effect
from safeguards_extproc.core.events import Event, Opened
from safeguards_extproc.ports import Accounts, Reader, RecordSink, Scorer

if TYPE_CHECKING:
    from safeguards_extproc.adapters.stream import Stream


class Exchange(Protocol):
    """What the driver needs of `core.exchange.Exchange`."""

    def feed(self, event: Event) -> list[Effect]: ...

    @property
    def finished(self) -> bool:
        """The record is kept and Envoy has every answer it needs."""
        ...

    @property
    def held(self) -> int:
        """Bytes of bodies that it holds."""
        ...

    @property
    def waiting(self) -> bool:
        """Whether scores or timers are outstanding."""
        ...


class Telemetry(Protocol):
    """What streams tell. Called once a stream, never once a message. None may raise."""

    def stream_opened(self) -> None: ...

    def stream_closed(self, how: str, seconds: float, received: int, sent: int) -> None:
        """`how` is "complete", "closed", "shutdown", "deadline" or "error"; bytes are those of gRPC messages."""
        ...

    def stream_refused(self, reason: str) -> None:
        """Not taken at all: "shutdown", "records", "streams" or "overload"."""
        ...

    def fault(self, where: str) -> None:
        """A bug or a broken promise: "exchange", "scorer", "reader", "accounts" or "peer"."""
        ...

    def admitted(self, answer: Admitted) -> None:
        """An exchange was admitted, or was not."""
        ...

    def draining(self, ends: float) -> None:
        """The process goes down: streams that are open at that Unix time are cut."""
        ...


class NoTelemetry:
    """Tells nobody."""

    def stream_opened(self) -> None: ...

    def stream_closed(self, how: str, seconds: float, received: int, sent: int) -> None: ...

    def stream_refused(self, reason: str) -> None: ...

    def fault(self, where: str) -> None: ...

    def admitted(self, answer: Admitted) -> None: ...

    def draining(self, ends: float) -> None: ...


class NoReader:
    """Reads no large body: each is judged as one that could not be read."""

    async def do(self, task: Task) -> Outcome:
        return task.undone()

    async def close(self) -> None: ...


class NoAccounts:
    """Counts nothing, and knows of nobody anything but good."""

    async def admit(self, admission: Admission) -> Admitted:
        return Admitted()

    def settle(self, settlement: Settlement) -> None: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """`stream_held_bytes`: reading pauses above it while answers are outstanding; keep it above policy's own limits.
    `total_held_bytes` and `streams`: new streams are refused above them. `max_stream_s`: no stream lives longer.
    `linger_s`: how long a stream that Envoy has closed may wait for scores that only its record needs."""

    stream_held_bytes: int = 32 << 20
    total_held_bytes: int = 1 << 30
    streams: int = 20_000
    max_stream_s: float = 3600.0
    linger_s: float = 5.0


@dataclass(slots=True, eq=False)
class Shared:
    """What all streams of a process share. `held` is the sum over `streams`; `sequence` is the
    number of the next record.

    `admitting` are admissions under way, some of streams that are no more. `unrecordable` says whether new exchanges
    are refused because their records could not be kept, `sheds` whether one that begins now finds us overloaded.
    """

    begin: Callable[[Opened, float], Exchange]
    scorer: Scorer
    sink: RecordSink
    telemetry: Telemetry = field(default_factory=NoTelemetry)
    limits: StreamLimits = StreamLimits()
    reader: Reader = field(default_factory=NoReader)
    unrecordable: Callable[[], bool] = lambda: False
    escalations: Escalations = field(default_factory=Escalations)
    sheds: Callable[[], bool] = lambda: False
    accounts: Accounts = field(default_factory=NoAccounts)
    capturing: Capturing | None = None
    admitting: set[asyncio.Task[None]] = field(default_factory=set)
    streams: set[Stream] = field(default_factory=set)
    turns: RunQueue = field(default_factory=RunQueue)
    held: int = 0
    sequence: int = 1
    closing: bool = False
    _empty: asyncio.Event = field(default_factory=asyncio.Event)

    def refusal(self) -> str:
        """Why a new stream is not taken: "shutdown", "records", "streams" or "overload"; "" if it is."""
        if self.closing:
            return "shutdown"
        if self.unrecordable():
            return "records"
        if len(self.streams) >= self.limits.streams:
            return "streams"
        return "overload" if self.held >= self.limits.total_held_bytes else ""

    def left(self, stream: Stream, held: int) -> None:
        """The stream is no more, nor are the bytes it held."""
        self.held -= held
        self.streams.discard(stream)
        if self.closing and not self.streams:
            self._empty.set()

    async def settled(self) -> None:
        """Wait until no admission is under way, and let go of the accounts."""
        while self.admitting:
            await asyncio.wait(self.admitting)
        await self.accounts.close()

    async def empty(self) -> None:
        """Take no stream any more, and wait until none is left."""
        self.closing = True
        if self.streams:
            await self._empty.wait()

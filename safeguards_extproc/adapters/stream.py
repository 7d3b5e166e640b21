"""One ext_proc stream: the only owner of its exchange's `feed`.

Envoy's messages, answers to questions and timers each feed from their callback, and what that yields is sent at once:
the call keeps the order and waits for room. Only what depends on a record that has to be on the disk first is held back
until it is. Everything runs on one loop.

The law of the end: an OK before Envoy has its last answer lets everything after it through unscanned, whatever Envoy's
failure mode says. So OK is said only when Envoy has closed its side and the exchange is finished. Every other end is an
error status with a constant text, because Envoy shows that text to clients.
"""

from __future__ import annotations

import asyncio
import datetime
import time
from dataclasses import dataclass

import structlog

from safeguards_extproc.adapters import extproc
from safeguards_extproc.adapters.admitting import Admitting
from safeguards_extproc.adapters.asking import Asking
from safeguards_extproc.adapters.capturing import Taking
from safeguards_extproc.adapters.dues import Dues
from safeguards_extproc.adapters.shared import Exchange, Shared
from safeguards_extproc.core.effects import (
    Admit,
    AnswerBody,
    Cancel,
    Classify,
    Keep,
    Offload,
    Refuse,
    SendBody,
    SendHeaders,
    SendTrailers,
    Spare,
    Wake,
)
from safeguards_extproc.core.events import Aborted, Admitted, Event, Offloaded, Scored, Woke
from safeguards_extproc.core.exchange import TURN
from safeguards_extproc.errors import PeerError
from safeguards_extproc.rpc.call import Call
from safeguards_extproc.rpc.status import Status

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _End:
    """How a stream ends that Envoy did not end: cause for the record, name for telemetry, status and text for Envoy."""

    cause: str
    how: str
    status: Status
    text: str


_GONE = _End("closed", "closed", Status.UNAVAILABLE, "closed before the last answer")
_SHUTDOWN = _End("shutdown", "shutdown", Status.UNAVAILABLE, "shutting down")
_DEADLINE = _End("error", "deadline", Status.DEADLINE_EXCEEDED, "stream deadline")
_PROTOCOL = _End("error", "error", Status.INVALID_ARGUMENT, "unexpected message")
_FAULT = _End("error", "error", Status.INTERNAL, "internal error")


class Stream:
    """Runs one exchange against one call, as its owner (rpc.call.Owner)."""

    def __init__(self, shared: Shared, call: Call) -> None:
        self._shared, self._call = shared, call
        self._loop = loop = asyncio.get_running_loop()
        self._asking: Asking | None = None
        self._admitting: Admitting | None = None
        self._exchange: Exchange | None = None
        self._dues: Dues | None = None
        self._taking: Taking | None = None
        self._readings: set[asyncio.Task[None]] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._held: list[bytes] | None = None  # what waits for the disk
        self._full = self._half_closed = self._gone = self._disposed = False
        self._behind = False  # whether it has asked for a turn
        self._counted = self._received = self._sent = 0
        self._began = 0.0
        self._opened_at = loop.time()
        self._deadline = loop.call_later(shared.limits.max_stream_s, self._stop, _DEADLINE)
        shared.streams.add(self)
        shared.telemetry.stream_opened()

    def message(self, data: bytes) -> None:
        """What Envoy says."""
        self._received += len(data)
        try:
            exchange, dues = self._exchange, self._dues
            if exchange is None or dues is None:
                opened, event = extproc.opened(data)
                self._began = time.time()
                opened.overloaded = self._shared.sheds()
                self._dues = dues = Dues(opened)
                now = self._loop.time()
                self._exchange = exchange = self._shared.begin(opened, now)
                if self._shared.capturing is not None and not opened.overloaded:
                    self._taking = self._shared.capturing.begin(data, now)
                event.at = now
            else:
                event = extproc.decode(data)
                event.at = self._loop.time()
                if self._taking is not None:
                    self._taking.took(data, event.at)
            dues.took(event)
            self._feed(exchange, event)
        except PeerError as error:
            self._note(error, "peer")
            self._stop(_PROTOCOL)
        except Exception as error:  # noqa: BLE001 (whatever it is, the stream must end with our status)
            self._note(error, "exchange")
            self._stop(_FAULT)
        else:
            if self._too_full(exchange):
                self._full = True
                self._call.pause()

    def half_closed(self) -> None:
        """Envoy will say nothing more."""
        self._half_closed = True
        if self._held is not None:
            return
        if self._exchange is not None and self._exchange.finished:
            self._call.end(Status.OK)
            self._close(_GONE)
        else:
            self._stop(_GONE)

    def gone(self) -> None:
        """Envoy has left: often as soon as it has the last answer that it needs."""
        self._close(_GONE)

    def stop(self) -> None:
        """The process goes down: end now, with an error that tells Envoy so."""
        self._stop(_SHUTDOWN)

    def _feed(self, exchange: Exchange, event: Event) -> None:
        taking = self._taking
        if taking is not None:
            taking.heard(event)
        for effect in exchange.feed(event):
            match effect:
                case SendBody() | SendHeaders() | AnswerBody() | SendTrailers() | Refuse():
                    if not self._gone:
                        self._dues.gave(effect)  # type: ignore[union-attr]
                        message = extproc.encode(effect)
                        self._sent += len(message)
                        if taking is not None:
                            taking.gave(message, event.at)
                        if self._held is None:
                            self._call.send(message)
                        else:
                            self._held.append(message)
                case Classify():
                    if self._asking is None:
                        shared, told = self._shared, self._deliver
                        self._asking = Asking(shared.scorer, shared.escalations, told, self._scorer_fault, self._loop)
                    self._asking.ask(effect)
                    if taking is not None:
                        taking.asked(effect, event.at)
                case Spare():
                    self._shared.escalations.spared(effect.models)
                case Cancel():
                    if self._asking is not None:
                        self._asking.cancel(effect.tickets)
                case Offload():
                    reading = self._loop.create_task(self._offload(effect))
                    self._readings.add(reading)
                    reading.add_done_callback(self._readings.discard)
                case Admit():
                    self._admitting = Admitting(self._shared, effect.admission, self._deliver, self._note)
                case Wake():
                    self._wake(effect)
                case Keep():
                    self._keep(effect)
        held = exchange.held
        self._shared.held += held - self._counted
        self._counted = held

    def _keep(self, effect: Keep) -> None:
        shared, record = self._shared, effect.record
        record.time = datetime.datetime.fromtimestamp(self._began, datetime.UTC).isoformat(timespec="milliseconds")
        record.sequence = shared.sequence
        shared.sequence += 1
        shared.sink.keep(record)
        durable = shared.sink.durable(record)
        if durable is not None and not self._gone:
            self._held = []
            durable.add_done_callback(self._on_disk)
        if self._taking is not None:
            self._taking.kept(record)
        if self._admitting is not None:
            self._admitting.keep(record, effect.sketch)

    def _on_disk(self, _: asyncio.Future[None]) -> None:
        """The record is where it has to be: go on where it waited."""
        held, self._held = self._held, None
        if self._gone:
            return
        for message in held or ():
            self._call.send(message)
        if self._half_closed:
            self.half_closed()

    async def _offload(self, effect: Offload) -> None:
        """Have it done; whatever the reader does, there is an outcome."""
        try:
            outcome = await self._shared.reader.do(effect.task)
        except Exception as error:  # noqa: BLE001 (a fault in a reader is a body that was not read, never a hung stream)
            self._note(error, "reader")
            outcome = effect.task.undone()
        self._deliver(Offloaded(effect.direction, outcome))

    def _wake(self, effect: Wake) -> None:
        if effect.timer == TURN:
            if not self._behind:
                self._behind = True
                self._shared.turns.ask(self._turn)
            return
        before = self._timers.pop(effect.timer, None)
        if before is not None:
            before.cancel()
        self._timers[effect.timer] = self._loop.call_later(effect.after_s, self._woke, effect.timer)

    def _turn(self) -> None:
        self._behind = False
        self._deliver(Woke(TURN))

    def _woke(self, timer: str) -> None:
        del self._timers[timer]
        self._deliver(Woke(timer))

    def _deliver(self, event: Scored | Offloaded | Admitted | Woke) -> None:
        """What happens between Envoy's messages."""
        exchange = self._exchange
        if self._disposed or exchange is None:
            return
        event.at = self._loop.time()
        try:
            self._feed(exchange, event)
        except Exception as error:  # noqa: BLE001 (a callback has no caller that could end the stream)
            self._note(error, "exchange")
            self._stop(_FAULT)
            return
        if self._gone:
            if exchange.finished or not exchange.waiting:
                self._dispose(_GONE)
            return
        if self._full and not self._too_full(exchange):
            self._full = False
            self._call.resume()

    def _too_full(self, exchange: Exchange) -> bool:
        """Whether reading pauses: only where an answer that is outstanding can change that."""
        return self._counted > self._shared.limits.stream_held_bytes and exchange.waiting

    def _stop(self, end: _End) -> None:
        """End the stream with an error."""
        if self._gone:
            self._dispose(end)
        else:
            self._call.end(end.status, end.text)
            self._close(end)

    def _close(self, end: _End) -> None:
        """The call is over. The exchange ends with it, unless only its record waits for something."""
        self._gone = True
        exchange, dues = self._exchange, self._dues
        if end is _GONE and exchange is not None and dues is not None and not exchange.finished:
            linger_s = self._shared.limits.linger_s
            if dues.none and exchange.waiting and linger_s > 0:
                self._deadline.cancel()
                self._deadline = self._loop.call_later(linger_s, self._dispose, _GONE)
                return
        self._dispose(end)

    def _dispose(self, end: _End) -> None:
        """Exactly one record is kept, and nothing of this stream is left."""
        if self._disposed:
            return
        self._disposed = True
        exchange, shared = self._exchange, self._shared
        how = end.how
        if exchange is not None and exchange.finished:
            how = "complete" if end is _GONE else how
        elif exchange is not None:
            try:
                self._feed(exchange, Aborted(end.cause, self._loop.time()))
            except Exception as error:  # noqa: BLE001 (nothing is left to do for this exchange but to say so)
                self._note(error, "exchange")
        self._deadline.cancel()
        for handle in self._timers.values():
            handle.cancel()
        for reading in self._readings:
            reading.cancel()
        if self._asking is not None:
            self._asking.close()
        if self._taking is not None:
            self._taking.over()
        self._asking = self._exchange = self._taking = (
            None  # bodies are freed now, not when the collector finds the cycle
        )
        shared.left(self, self._counted)
        shared.telemetry.stream_closed(how, self._loop.time() - self._opened_at, self._received, self._sent)

    def _note(self, error: Exception, where: str) -> None:
        """Count it and log what it was and where, without its message: that may hold text."""
        self._shared.telemetry.fault(where)
        if isinstance(error, PeerError):
            log.warning("stream ended", reason=error.code, detail=str(error))
        else:
            frame = error.__traceback__
            while frame is not None and frame.tb_next is not None:
                frame = frame.tb_next
            at = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame is not None else ""
            log.error("stream failed", where=where, error=type(error).__name__, at=at)

    def _scorer_fault(self) -> None:
        self._shared.telemetry.fault("scorer")

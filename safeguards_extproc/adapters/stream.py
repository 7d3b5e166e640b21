"""One ext_proc stream: the only owner of its exchange's `feed`.

The reading coroutine feeds and writes; answers to questions and timers feed from their callbacks and start a writer
only where none is at work, so that no two writes are ever under way at once. Everything runs on one loop.

The law of the end: an OK before Envoy has its last answer lets everything after it through unscanned, whatever Envoy's
failure mode says. So the handler returns only when Envoy has closed its side and the exchange is finished. Every other
end is an error status with a constant text, because Envoy shows that text to clients.
"""

from __future__ import annotations

import asyncio
import datetime
import time
from collections import deque
from dataclasses import dataclass

import grpc
import structlog
from grpc.aio import EOF  # type: ignore[attr-defined]

from safeguards_extproc.adapters import extproc
from safeguards_extproc.adapters.admitting import Admitting
from safeguards_extproc.adapters.asking import Asking
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
from safeguards_extproc.errors import PeerError

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _End:
    """How a stream ends that Envoy did not end: cause for the record, name for telemetry, status and text for Envoy."""

    cause: str
    how: str
    code: grpc.StatusCode
    text: str


class _Stopped(Exception):
    """Leaves the conversation, which `_end` ends."""


_GONE = _End("closed", "closed", grpc.StatusCode.UNAVAILABLE, "closed before the last answer")
_SHUTDOWN = _End("shutdown", "shutdown", grpc.StatusCode.UNAVAILABLE, "shutting down")
_DEADLINE = _End("error", "deadline", grpc.StatusCode.DEADLINE_EXCEEDED, "stream deadline")
_PROTOCOL = _End("error", "error", grpc.StatusCode.INVALID_ARGUMENT, "unexpected message")
_FAULT = _End("error", "error", grpc.StatusCode.INTERNAL, "internal error")


class Stream:
    """Runs one exchange against one RPC."""

    def __init__(self, shared: Shared, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        self._shared, self._context = shared, context
        self._loop = loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._asking: Asking | None = None
        self._admitting: Admitting | None = None
        self._exchange: Exchange | None = None
        self._dues: Dues | None = None
        self._outbox: deque[bytes] = deque()
        self._writing = self._answered = False
        self._writer: asyncio.Task[None] | None = None
        self._readings: set[asyncio.Task[None]] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._relief: asyncio.Future[None] | None = None
        self._end: _End | None = None
        self._gone = False
        self._disposed = False
        self._counted = self._received = self._sent = 0
        self._began = 0.0
        self._opened_at = loop.time()
        self._deadline = loop.call_later(shared.limits.max_stream_s, self._stop, _DEADLINE)
        shared.streams.add(self)
        shared.telemetry.stream_opened()

    async def run(self) -> None:
        """Until Envoy has closed its side; ends in CancelledError, AbortError or, all answers given, normally.

        The first answer is never broken off: gRPC sends its headers with it, and would send them twice with a status.
        """
        try:
            await self._converse()
        except asyncio.CancelledError:
            if self._end is None:
                self._close(_GONE)
                raise
            asyncio.current_task().uncancel()  # type: ignore[union-attr]  # we cancelled it, to end it our way
        except (_Stopped, grpc.aio.BaseError):
            pass  # stopped, or a write found the RPC over
        except PeerError as error:
            self._note(error, "peer")
            self._end = self._end or _PROTOCOL
        except Exception as error:  # noqa: BLE001 (whatever it is, the stream must end with our status)
            self._note(error, "exchange")
            self._end = self._end or _FAULT
        if self._end is None and self._exchange is not None and self._exchange.finished:
            self._close(_GONE)
            return
        end = self._end or _GONE
        if self._writer is not None and not self._answered:
            await asyncio.wait((self._writer,))
        self._close(end)
        await self._context.abort(end.code, end.text)

    def stop(self) -> None:
        """The process goes down: end now, with an error that tells Envoy so."""
        self._stop(_SHUTDOWN)

    async def _converse(self) -> None:
        read, now, limit = self._context.read, self._loop.time, self._shared.limits.stream_held_bytes
        raw = await read()
        if raw is EOF:
            return
        opened, event = extproc.opened(raw)
        self._began = time.time()
        self._dues = dues = Dues(opened)
        self._exchange = exchange = self._shared.begin(opened, now())
        outbox, write = self._outbox, self._context.write
        while True:
            self._received += len(raw)
            event.at = now()
            dues.took(event)
            self._feed(exchange, event)
            if outbox and not self._writing:
                self._writing = True
                while outbox:
                    await write(outbox.popleft())
                    self._answered = True
                    if self._end is not None:
                        raise _Stopped
                self._writing = False
            while self._counted > limit and exchange.waiting:
                self._relief = self._loop.create_future()
                await self._relief
            raw = await read()
            if raw is EOF:
                break
            event = extproc.decode(raw)
        if self._writing and self._writer is not None:
            await self._writer

    def _feed(self, exchange: Exchange, event: Event) -> None:
        for effect in exchange.feed(event):
            match effect:
                case SendBody() | SendHeaders() | AnswerBody() | SendTrailers() | Refuse():
                    if not self._gone:
                        self._dues.gave(effect)  # type: ignore[union-attr]
                        message = extproc.encode(effect)
                        self._sent += len(message)
                        self._outbox.append(message)
                case Classify():
                    if self._asking is None:
                        shared, told = self._shared, self._deliver
                        self._asking = Asking(shared.scorer, shared.escalations, told, self._scorer_fault, self._loop)
                    self._asking.ask(effect)
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
        record.producer, record.sequence = shared.producer, shared.sequence
        shared.sequence += 1
        shared.sink.keep(record)
        if self._admitting is not None:
            self._admitting.keep(record, effect.sketch)

    async def _offload(self, effect: Offload) -> None:
        """Have it done; whatever the reader does, there is an outcome."""
        try:
            outcome = await self._shared.reader.do(effect.task)
        except Exception as error:  # noqa: BLE001 (a fault in a reader is a body that was not read, never a hung stream)
            self._note(error, "reader")
            outcome = effect.task.undone()
        self._deliver(Offloaded(effect.direction, outcome))

    def _wake(self, effect: Wake) -> None:
        before = self._timers.pop(effect.timer, None)
        if before is not None:
            before.cancel()
        self._timers[effect.timer] = self._loop.call_later(effect.after_s, self._woke, effect.timer)

    def _woke(self, timer: str) -> None:
        del self._timers[timer]
        self._deliver(Woke(timer))

    def _deliver(self, event: Scored | Offloaded | Admitted | Woke) -> None:
        """What happens between Envoy's messages."""
        exchange = self._exchange
        if self._disposed or self._end is not None or exchange is None:
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
        if self._outbox and not self._writing:
            self._writing = True
            self._writer = self._loop.create_task(self._write())
        if self._relief is not None and not self._relief.done():
            self._relief.set_result(None)

    async def _write(self) -> None:
        """Empty the outbox while the reading coroutine waits for Envoy. The caller has set `_writing`."""
        outbox, write = self._outbox, self._context.write
        try:
            while outbox:
                await write(outbox.popleft())
                self._answered = True
                if self._end is not None:
                    return
            self._writing = False
        except grpc.aio.BaseError:
            outbox.clear()  # the RPC is over: nothing can be written any more, and reading ends next

    def _stop(self, end: _End) -> None:
        """End the stream from outside its coroutine."""
        if self._gone:
            self._dispose(end)
        elif self._end is None:
            self._end = end
            if self._task is not None and (self._answered or not self._writing or self._writer is not None):
                self._task.cancel()

    def _close(self, end: _End) -> None:
        """The RPC is over. The exchange ends with it, unless only its record waits for something."""
        self._gone = True
        self._outbox.clear()
        if self._writer is not None:
            self._writer.cancel()
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
        self._asking = self._exchange = None  # bodies are freed now, not when the collector finds the cycle
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

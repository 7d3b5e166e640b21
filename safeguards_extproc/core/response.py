"""The response's half of an exchange: nothing is released past the scanned watermark.

A stream is held as frames; each leaves, in order, once the text that it carries is cleared. Any other body is held
whole. `follow` and `observe` let bytes go first and judge them after.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from safeguards_extproc.core import context as shared
from safeguards_extproc.core.actions import ACTIONS, Deed, Point
from safeguards_extproc.core.context import OURS, Context
from safeguards_extproc.core.decision import Action, Release, Verdict
from safeguards_extproc.core.effects import Metadata, SendHeaders, Wake
from safeguards_extproc.core.events import Body, BodyMode, Headers, Trailers, Woke
from safeguards_extproc.core.lifecycle import Stage, step
from safeguards_extproc.core.outbox import Last, outbox
from safeguards_extproc.core.record import Phase
from safeguards_extproc.core.redact import chosen, edits
from safeguards_extproc.core.scan import Unread
from safeguards_extproc.core.text import Channel, Decoder, Direction, Edit, Framer, Segment, StreamReader
from safeguards_extproc.errors import LimitExceeded, MalformedBody

TIMER = "flush"

OVERHEAD = 64
"""Bytes of frames that may be held for each byte of text in `Limits.held_bytes`: a token's frame takes so many."""

PATIENCE_S = 2.0
"""How long frames without text wait for the first verdict, while the status can still change; heartbeats then go."""


class Reading(enum.Enum):
    """How the body is read."""

    NOT = "not at all"
    WHOLE = "whole"
    STREAM = "frame by frame"


@dataclass(slots=True)
class _Frame:
    """A frame that waits: it may go once each of `needs` is cleared up to that character, and policy allows what
    is `unread` of it."""

    raw: bytes
    needs: list[tuple[Channel, int]] = field(default_factory=list)
    parts: list[tuple[Segment, int]] = field(default_factory=list)
    unread: Unread | None = None


class ResponseLane:
    """`stopped` once a verdict has ended the response; `done` once all of it has been answered for.

    `refused` holds the verdict that must be told by an answer of our own; `error` says in which shape.
    """

    def __init__(self, ctx: Context, release_allowed: Callable[[], bool]) -> None:
        """The exchange calls `advance` after every event."""
        self.ctx = ctx
        self.phase = Phase()
        self.scan = ctx.scan(Direction.RESPONSE)
        self.refused: Verdict | None = None
        self.as_error = True
        self.stopped = self.done = False
        self.status = 0
        self._kept_bytes = self._behind_whole = 0
        self._may_release = release_allowed
        self._outbox = outbox(ctx.opened, Direction.RESPONSE, ctx.out)
        self._stage = Stage.HEADERS
        self._reading = Reading.NOT
        self._sent = self._armed = False
        self._fields: dict[str, str] = {}
        self._waiting_raw: list[bytes] = []  # bytes that are not inspected, until the request has its verdict
        self._chunks: list[bytes] = []
        self._frames: deque[_Frame] = deque()
        self._decoder: Decoder | None = None
        self._framer: Framer | None = None
        self._reader: StreamReader | None = None
        self._first = True

    @property
    def enforcing(self) -> bool:
        """Whether a verdict has consequences."""
        return not self.ctx.opened.silent and self.ctx.route.release is not Release.OBSERVE

    @property
    def held(self) -> int:
        """Bytes held back."""
        return self._kept_bytes + (self._framer.held if self._framer is not None else 0)

    def headers(self, event: Headers) -> None:
        ctx, fields = self.ctx, event.fields
        self._stage = step(self._stage, event)
        self._outbox.took_headers(event.end)
        self.phase.headers_ms = ctx.ms()
        self._fields = fields
        status = fields.get(":status", "")
        self.status = int(status) if status.isdecimal() else 0
        self.scan.facts.features.update(status=self.status, model=ctx.model, streamed=ctx.streamed)
        if ctx.route.inspect and not event.end:
            self._choose()
        if event.end:
            self._end()

    def _choose(self) -> None:
        """How to read this body; where it cannot be read, policy says whether it goes on."""
        ctx, fields = self.ctx, self._fields
        if ctx.format is None or ctx.format.name == "opaque":
            self._give_up_reading("opaque")
        elif ctx.mode(Direction.RESPONSE) in (BodyMode.NONE, BodyMode.PARTIAL):
            self._give_up_reading("not-sent")
        elif not fields.get("content-type", "").lower().startswith("text/event-stream"):
            self._reading = Reading.WHOLE
        else:
            self._reading = Reading.STREAM
            self._framer, self._reader = ctx.format.framer(), ctx.format.stream()
            encoding = fields.get("content-encoding", "identity")
            if encoding != "identity":
                try:
                    self._decoder = ctx.wire.decoder(encoding, 1 << 62)
                except MalformedBody:
                    self._give_up_reading("encoding")

    def body(self, event: Body) -> None:
        late = self._stage is Stage.ENDED
        self._stage = step(self._stage, event)
        data = event.data
        if late or self.stopped:
            self._outbox.took_body(data, event.end)
            return
        self.scan.account.bytes_in += len(data)
        end = event.end or self.ctx.mode(Direction.RESPONSE) is BodyMode.BUFFERED
        if end:
            self._stage = Stage.ENDED
        if self._reading is Reading.STREAM and self._decoder is not None and self.enforcing:
            plain = self._decode(data, end=end)
            self._outbox.took_body(plain, event.end, exact=False)
            self._stream(plain)
        else:
            self._outbox.took_body(data, event.end)
            self._take(data, end=end)
        if end:
            self._end()

    def trailers(self, event: Trailers) -> None:
        late = self._stage is Stage.ENDED
        self._stage = step(self._stage, event)
        self._outbox.took_trailers()
        if not late and not self.stopped:
            if self._reading is Reading.STREAM and self._decoder is not None and self.enforcing:
                self._stream(self._decode(b"", end=True))
            self._end()

    def woke(self, event: Woke) -> None:
        """Text has waited long enough: have it scanned as it stands. Frames without text go."""
        self._armed = False
        if self.stopped or self.done:
            return
        self.scan.flush()
        if not self.scan.waiting and self.ctx.ms() - self.phase.headers_ms >= PATIENCE_S * 1000:
            self._first = False

    def advance(self) -> None:
        """Apply the verdicts that have come in and release what they clear."""
        if self.stopped or self.done or self._stage is Stage.HEADERS or not self._may_release():
            return
        if not self._sent and (not self._outbox.holds or self._goes_first()):
            self._send_headers()
        if self._waiting_raw:
            raw, self._waiting_raw = b"".join(self._waiting_raw), []
            self._forward(raw, len(raw))
        for _ in self.scan.settle(enforcing=self.enforcing):
            if self._reading is Reading.STREAM and self.enforcing:
                self._first = False
                self._release_frames()
        if self.scan.terminal and self.enforcing:
            self._terminate(self.scan.verdict)
            return
        if self._reading is Reading.STREAM and self.enforcing:
            self._release_frames()
            if self._frames and not self._armed and self._stage is not Stage.ENDED:
                self._armed = True
                self.ctx.out.append(Wake(TIMER, self.ctx.route.windowing.flush_ms / 1000))
        if self._stage is Stage.ENDED:
            if not self.enforcing:
                self._outbox.finish()
            if not self.scan.waiting:
                self._finish()

    def _goes_first(self) -> bool:
        """Whether headers need not wait for any text."""
        return self._reading is Reading.NOT or not self.enforcing or self._follows

    @property
    def _follows(self) -> bool:
        return self._reading is Reading.STREAM and self.ctx.route.release is Release.FOLLOW

    def _take(self, data: bytes, *, end: bool) -> None:
        if self._reading is Reading.NOT or not self.enforcing:
            self._waiting_raw.append(data)
        if self._reading is Reading.WHOLE:
            self._chunks.append(data)
            self._kept_bytes += len(data)
            if self.scan.account.bytes_in > self.ctx.route.limits.response_bytes:
                self._give_up_reading("too-large")
        elif self._reading is Reading.STREAM:
            self._stream(data if self._decoder is None else self._decode(data, end=end))

    def _decode(self, data: bytes, *, end: bool) -> bytes:
        if self._decoder is None or self._reading is not Reading.STREAM:
            return data
        if self._framer is None:
            return b""
        try:
            plain = self._decoder.push(data)
            return plain + self._decoder.finish() if end else plain
        except MalformedBody:
            self._break_off("encoding")
        except LimitExceeded:
            self._break_off("too-large")
        return b""

    def _stream(self, data: bytes) -> None:
        """Cut into frames, read each, and have the text scanned."""
        if self._framer is None or self._reader is None:
            return
        self.scan.account.bytes_decoded += len(data)
        for raw in self._framer.push(data):
            self._frame(raw)
        if self._framer is not None and self._framer.held > self.ctx.route.limits.event_bytes:
            self._break_off("too-large")

    def _frame(self, raw: bytes) -> None:
        if self._framer is None or self._reader is None:
            return
        scan, frame = self.scan, _Frame(raw)
        scan.account.frames += 1
        self._frames.append(frame)
        self._kept_bytes += len(raw)
        if len(raw) > self.ctx.route.limits.event_bytes:
            frame.unread = self._break_off("too-large")
            return
        reading = self._reader.read(raw)
        if reading.unread:
            scan.account.frames_unread += 1
            frame.unread = scan.unread("unread")
        for segment in reading.segments:
            start = scan.push(segment)
            frame.needs.append((segment.channel, start + len(segment.text)))
            frame.parts.append((segment, start))
        for channel in reading.closed:
            scan.close(channel)
        # Nothing but its own end lets a text go that is held whole, nor the frames behind it.
        self._behind_whole = self._behind_whole + len(raw) if scan.whole else 0
        held = self.ctx.route.limits.held_bytes
        if scan.whole > held or self._behind_whole > OVERHEAD * held:
            frame.unread = self._break_off("too-large")

    def _end(self) -> None:
        """Nothing more comes from the upstream."""
        self.phase.ended_ms = self.ctx.ms()
        if self._reading is Reading.WHOLE:
            self._read_whole()
        elif self._reading is Reading.STREAM:
            rest = self._framer.finish() if self._framer is not None else b""
            if rest:
                self._frame(rest)
            self.scan.close_all()

    def _read_whole(self) -> None:
        ctx, scan = self.ctx, self.scan
        body = b"".join(self._chunks)
        self._chunks = [body]
        if ctx.format is None:
            raise AssertionError("a body is read by its format")
        try:
            encoding = self._fields.get("content-encoding", "identity")
            if encoding != "identity":
                decoder = ctx.wire.decoder(encoding, ctx.route.limits.response_bytes)
                body = decoder.push(body) + decoder.finish()
            scan.account.bytes_decoded = len(body)
            document = ctx.format.read_response(body, self.status)
        except MalformedBody as error:
            # An error of a gateway on the way is often a page, not the API's: unknown rather than broken.
            other = "opaque" if self.status >= 400 else "malformed"
            self._give_up_reading("encoding" if error.reason == "content-encoding" else other)
            return
        except LimitExceeded:
            self._give_up_reading("too-large")
            return
        features = scan.facts.features
        features.update(document.features)
        features["bytes"] = len(body)
        frame = _Frame(body)
        for segment in document.segments:
            frame.parts.append((segment, scan.push(segment)))
            if scan.size > ctx.route.limits.windows:
                self._give_up_reading("too-large")
                return
        self._frames.append(frame)
        scan.close_all()
        if document.unread:
            features["unread"] = ",".join(sorted(document.unread))
            scan.uninspectable("unread")

    def _give_up_reading(self, reason: str) -> None:
        """The text cannot be judged. Policy says whether it goes on; if so it goes on as it is."""
        self.scan.uninspectable(reason)
        if self.scan.terminal and self.enforcing:
            return
        self._reading = Reading.NOT
        if self.enforcing:
            self._waiting_raw += self._chunks
        self._chunks, self._kept_bytes = [], 0

    def _break_off(self, reason: str) -> Unread:
        """The stream cannot be read any further, and what was decoded cannot be undone: it ends here."""
        self.scan.account.frames_unread += 1
        self._framer = None
        return self.scan.unread(reason, final=True)

    def _release_frames(self) -> None:
        """Frames leave in order, up to the watermark."""
        frames, scan, out = self._frames, self.scan, []
        consumed = 0
        reader = self._reader
        if reader is None:
            raise AssertionError("frames belong to a stream")
        while frames:
            frame = frames[0]
            if not self._follows:
                if any(scan.cleared(channel) < end for channel, end in frame.needs):
                    break
                if frame.unread is not None and not frame.unread.allowed:
                    break
                if self._first and (self._stage is not Stage.ENDED or scan.waiting):
                    break  # a frame without text waits for the first verdict, while the status can still change
            frames.popleft()
            raw = self._edited(frame)
            reader.released(raw)
            out.append(raw)
            consumed += len(frame.raw)
        if out:
            self._forward(b"".join(out), consumed)
            self._kept_bytes -= consumed

    def _edited(self, frame: _Frame) -> bytes:
        redact = self.scan.verdict.redact
        if not redact or not frame.parts or self._follows or self._reader is None:
            return frame.raw
        wanted = self._edits(frame, redact)
        return self._reader.edit(frame.raw, wanted) if wanted else frame.raw

    def _edits(self, frame: _Frame, entities: frozenset[str]) -> list[Edit]:
        wanted: list[Edit] = []
        for segment, start in frame.parts:
            spans = chosen(self.scan.spans(segment.channel), entities)
            wanted += edits(segment, start, spans)
            for span in spans:
                if start <= span.start < start + len(segment.text):
                    self.phase.redactions[span.entity] = self.phase.redactions.get(span.entity, 0) + 1
        return wanted

    def _forward(self, data: bytes, consumed: int) -> None:
        if not self._sent:
            self._send_headers()
        self._outbox.body(data, consumed)
        account, phase = self.scan.account, self.phase
        account.bytes_released += consumed
        account.bytes_written += len(data)
        if self._reading is not Reading.NOT and (self._follows or not self.enforcing):
            account.released_unscanned = True
        if phase.first_release_ms < 0:
            phase.first_release_ms = self.ctx.ms()
        phase.last_release_ms = self.ctx.ms()

    def _finish(self) -> None:
        """Everything has its verdict: the rest goes, and the end with it."""
        scan, phase = self.scan, self.phase
        if not scan.decided and self.ctx.route.inspect:
            scan.decide()
            if scan.terminal and self.enforcing:
                self._terminate(scan.verdict)
                return
        verdict = scan.verdict
        if self.ctx.route.inspect:
            phase.decided_ms = self.ctx.ms()
            phase.applied = verdict.action.value if self.enforcing else Action.ALLOW.value
            if verdict.decided is not verdict.action:
                phase.cause = "shadow"
            elif not self.enforcing and verdict.action is not Action.ALLOW:
                phase.cause = "observe"
        dropped: list[str] = []
        if self._reading is Reading.WHOLE and self.enforcing:
            raw, edited = self._chunks[0], self._chunks[0]
            if verdict.redact and self._frames and self.ctx.format is not None:
                wanted = self._edits(self._frames[0], verdict.redact)
                if wanted:
                    try:
                        edited = self.ctx.format.edit(self._frames[0].raw, wanted)
                    except MalformedBody:
                        self._terminate(Verdict(Action.BLOCK, Action.BLOCK, verdict.fired, reason="unavailable"))
                        return
                    dropped = [name for name in ("content-encoding", "content-length") if name in self._fields]
            if not self._sent:
                self._send_headers(dropped)
            self._forward(edited, len(raw))
        elif not self._sent:
            self._send_headers()
        self.done = True
        self._drop()
        self._outbox.finish(Last(self._metadata(), self._changes() if self._outbox.revocable else (), dropped))

    def _terminate(self, verdict: Verdict) -> None:
        """The verdict ends the response: with an answer of ours while nothing was sent, else in the stream."""
        self.scan.verdict = verdict
        self.phase.decided_ms = self.ctx.ms()
        self.stopped = True
        self.scan.give_up()
        point = Point.OPEN if self._sent and not self._outbox.revocable else Point.HELD
        deed = ACTIONS.get((verdict.action, point), Deed.REFUSE)
        if deed is Deed.END:
            self.phase.applied = Action.STOP.value
            self.phase.cause = "" if verdict.action is Action.STOP else "phase"
            ending = self._ending(verdict)
            self.scan.account.bytes_written += len(ending)
            self._outbox.cut(ending, self._metadata())
        else:
            self.phase.applied = verdict.action.value
            self.refused, self.as_error = verdict, deed is Deed.REFUSE and self.ctx.route.refuse_as == "error"
        self._drop()

    def _ending(self, verdict: Verdict) -> bytes:
        """The last bytes of a response that is under way."""
        if self._reading is Reading.STREAM and self._reader is not None:
            return self._reader.ending(self.ctx.refusal(verdict))
        return self.ctx.answer(verdict, as_error=False, streamed=False).body

    def _drop(self) -> None:
        self._frames.clear()
        self._waiting_raw, self._chunks, self._framer, self._kept_bytes = [], [], None, 0

    def _changes(self) -> list[tuple[str, str]]:
        """Headers of ours on the way to the client."""
        ctx = self.ctx
        changes = [(OURS + "id", ctx.id), (OURS + "policy", ctx.policy.digest[:12])]
        if self.enforcing:
            changes += [(OURS + name, value) for name, value in self.scan.verdict.annotations.items()]
        if self.phase.applied != "pass":
            changes.append((OURS + "response", self.phase.applied))
        return changes

    def _metadata(self) -> Metadata:
        return {"id": self.ctx.id, "response": self.phase.applied, "coverage": self.scan.coverage()}

    def _send_headers(self, dropped: list[str] | None = None) -> None:
        self._sent = True
        removed = [*shared.foreign(self._fields), *(dropped or ())]
        if self._decoder is not None and self.enforcing:
            removed.append("content-encoding")
        changes = self._changes() if self.ctx.route.inspect else []
        self._outbox.headers(SendHeaders(Direction.RESPONSE, changes, removed))

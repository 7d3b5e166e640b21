"""The response's half of an exchange: nothing is released past the scanned watermark.

A stream's frames leave in order, each once the text that it carries is cleared; any other body leaves whole. `follow`
and `observe` let bytes go first and judge them after. `core/intake.py` reads what comes in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from safeguards_extproc.core import context as shared
from safeguards_extproc.core.account import Usage
from safeguards_extproc.core.actions import ACTIONS, Deed, Point
from safeguards_extproc.core.aside import Outcome, Parsed, Rewrite, Rewritten
from safeguards_extproc.core.context import OURS, Context
from safeguards_extproc.core.decision import Action, Span, Verdict
from safeguards_extproc.core.effects import Metadata, Offload, SendHeaders, Wake
from safeguards_extproc.core.events import Body, BodyMode, Headers, Trailers, Woke
from safeguards_extproc.core.intake import Frame, Intake, Reading
from safeguards_extproc.core.lifecycle import Stage, step
from safeguards_extproc.core.outbox import Last, outbox
from safeguards_extproc.core.recipes import Restore
from safeguards_extproc.core.record import Phase
from safeguards_extproc.core.redact import chosen, edits
from safeguards_extproc.core.restore import Restorer
from safeguards_extproc.core.text import Direction, Edit
from safeguards_extproc.errors import MalformedBody

TIMER = "flush"

PATIENCE_S = 2.0
"""How long frames without text wait for the first verdict, while the status can still change; heartbeats then go."""

PER_TURN = 1024
"""Frames that are released for one event: one takes 0.002 ms to 0.01 ms."""


class ResponseLane:
    """`stopped` once a verdict has ended the response; `done` once all of it has been answered for.

    `refused` holds the verdict that must be told by an answer of our own; `as_error` says in which shape.
    """

    def __init__(self, ctx: Context, release_allowed: Callable[[], bool]) -> None:
        """The exchange calls `advance` after every event."""
        self.ctx = ctx
        self.phase = Phase()
        self.scan = ctx.scan(Direction.RESPONSE)
        self.refused: Verdict | None = None
        self.as_error = True
        self.stopped = self.done = False
        self._intake = intake = Intake(ctx, self.scan)
        self._enforcing = intake.enforcing
        self._may_release = release_allowed
        self._restorer = Restorer(
            ctx.originals, self.scan.marks.places, self.phase.restored, ctx.route.limits.response_bytes
        )
        self._outbox = outbox(ctx.opened, Direction.RESPONSE, ctx.out)
        self._stage = Stage.HEADERS
        self._sent = self._armed = self._edits_whole = False
        self._owes = False  # whether frames that are cleared wait for a turn
        self._stuck = False  # whether the first frame waits for a verdict or a timer
        self._quiet = False  # whether nothing has come since what waits was looked at last
        self._overdue = False  # whether it was so until now
        self._left = PER_TURN
        self._first = True

    @property
    def status(self) -> int:
        """The upstream's, 0 until it is known."""
        return self._intake.status

    @property
    def usage(self) -> Usage | None:
        """What the provider says that the exchange used, as far as it has said."""
        return self._intake.usage

    @property
    def ended(self) -> bool:
        """Whether nothing more of it comes."""
        return self._stage is Stage.ENDED

    @property
    def behind(self) -> bool:
        """Whether there is something to do without any event: `turn` and `advance` do it."""
        return self._owes or self._intake.behind or self.scan.behind

    @property
    def away(self) -> bool:
        """Whether the body is read or edited elsewhere."""
        return self._intake.away or self._edits_whole

    @property
    def held(self) -> int:
        """Bytes held back."""
        return self._intake.held

    def turn(self) -> None:
        """Another event: go on with what the last one left."""
        self.scan.turn()
        if self._intake.behind:
            self._intake.turn()

    def headers(self, event: Headers) -> None:
        self._stage = step(self._stage, event)
        self._outbox.took_headers(event.end)
        self.phase.headers_ms = self.ctx.ms()
        self._intake.headers(event.fields, end=event.end)
        if event.end:
            self._end()

    def body(self, event: Body) -> None:
        late = self._stage is Stage.ENDED
        self._stage = step(self._stage, event)
        data = event.data
        if late or self.stopped:
            self._outbox.took_body(data, event.end)
            return
        self.scan.account.bytes_in += len(data)
        if self._quiet:
            self._quiet = self._stuck = False
            self._overdue = True
        end = event.end or self.ctx.mode(Direction.RESPONSE) is BodyMode.BUFFERED
        if end:
            self._stage = Stage.ENDED
        intake = self._intake
        if intake.decodes:
            plain = intake.decode(data, end=end)
            self._outbox.took_body(plain, event.end, exact=False)
            intake.stream(plain)
        else:
            self._outbox.took_body(data, event.end)
            intake.take(data, end=end)
        if end:
            self._end()

    def trailers(self, event: Trailers) -> None:
        late = self._stage is Stage.ENDED
        self._stage = step(self._stage, event)
        self._outbox.took_trailers()
        if not late and not self.stopped:
            if self._intake.decodes:
                self._intake.stream(self._intake.decode(b"", end=True))
            self._end()

    def woke(self, event: Woke) -> None:
        """Text has waited long enough: have it scanned as it stands. Frames without text go.

        Where there is none since the last time, what waits is the end of a text that may go on: only more of it can
        help, so no timer goes off until that comes, and then one at once."""
        self._armed = self._stuck = False
        if self.stopped or self.done:
            return
        self.scan.flush()
        if not self.scan.waiting and self.ctx.ms() - self.phase.headers_ms >= PATIENCE_S * 1000:
            self._first = False
        self._quiet = not (self._first or self.scan.waiting or self._intake.behind)

    def broken_off(self) -> None:
        """Nobody waits for the rest: what has gone on went by the verdict so far."""
        if self.phase.first_release_ms >= 0 and self.ctx.route.inspect and not (self.stopped or self.done):
            self._passed(self.scan.verdict)

    def advance(self) -> None:
        """Apply the verdicts that have come in and release what they clear."""
        if self.stopped or self.done or self._edits_whole or self._stage is Stage.HEADERS:
            return
        intake, enforcing = self._intake, self._enforcing
        if self._stuck and self._stage is Stage.BODY and not self.scan.ready:
            return  # most chunks of a stream: the first frame still waits for its text, so all the others do
        if intake.reading is Reading.LATER and not self.ctx.pending:
            intake.resume(end=self.ended)
        intake.pour()
        if not self._may_release():
            return
        framed = enforcing and intake.reading is Reading.STREAM
        if enforcing and self.scan.terminal:
            self._terminate(self.scan.verdict)
            return
        if not self._sent and (not self._outbox.holds or self._goes_first()):
            self._send_headers()
        if intake.raw:
            raw, intake.raw = b"".join(intake.raw), []
            self._forward(raw, len(raw))
        if intake.reads:
            if not enforcing and self._stage is Stage.ENDED:
                self._outbox.finish()
            return
        # What a window has cleared leaves before the next one's verdict, however many turns that takes.
        self._left = PER_TURN
        if self._owes:
            self._release_frames()
        for _ in () if self._owes else self.scan.settle(enforcing=enforcing):
            if framed:
                self._first = False
                self._release_frames()
                if self._owes:
                    break
        if self._owes:
            return
        if self.scan.terminal and enforcing:
            self._terminate(self.scan.verdict)
            return
        if intake.reading is Reading.LATER:
            return
        if framed:
            self._release_frames()
            if self._owes:
                return
            if self.scan.terminal:
                self._terminate(self.scan.verdict)
                return
            if intake.frames and not (self._armed or self._quiet) and self._stage is not Stage.ENDED:
                self._armed = True
                self.ctx.out.append(Wake(TIMER, 0.0 if self._overdue else self.ctx.route.windowing.flush_ms / 1000))
                self._overdue = False
        if self._stage is Stage.ENDED:
            if not enforcing:
                self._outbox.finish()
            if not self.scan.waiting and not intake.behind:
                self._finish()

    def _goes_first(self) -> bool:
        """Whether headers need not wait for any text."""
        return self._intake.reading is Reading.NOT or not self._enforcing or self._intake.follows

    def _end(self) -> None:
        """Nothing more comes from the upstream."""
        self.phase.ended_ms = self.ctx.ms()
        self._intake.end()

    def _release_frames(self) -> None:
        """Frames leave in order, up to the watermark."""
        intake, out = self._intake, []
        frames, reader, follows = intake.frames, intake.reader, intake.follows
        consumed = 0
        if reader is None:
            raise AssertionError("frames belong to a stream")
        self._owes = False
        while frames and (follows or self._may_go(frames[0])):
            if not self._left:
                self._owes = True
                break
            self._left -= 1
            frame = frames.popleft()
            if isinstance(frame, Frame):
                try:
                    raw = self._edited(frame)
                except MalformedBody:
                    self.scan.verdict = self._unmendable()
                    break
                consumed += len(frame.raw)
            else:
                raw = frame
                consumed += len(raw)
            reader.released(raw)
            out.append(raw)
        self._stuck = bool(frames) and not self._owes
        if out:
            self._forward(b"".join(out), consumed)
            intake.kept_bytes -= consumed

    def _may_go(self, frame: Frame | bytes) -> bool:
        if isinstance(frame, Frame):
            cleared = self.scan.cleared
            for segment, start in frame.parts:
                if cleared(segment.channel) < start + len(segment.text):
                    return False
            if frame.unread is not None and not frame.unread.allowed:
                return False
        # A frame without text waits for the first verdict, while the status can still change.
        return not self._first or (self._stage is Stage.ENDED and not self.scan.waiting and not self._intake.behind)

    def _edited(self, frame: Frame) -> bytes:
        redact, intake = self.scan.verdict.redact, self._intake
        changes = redact or self.ctx.originals
        if not changes or not frame.parts or intake.follows or intake.reader is None:
            return frame.raw
        wanted = self._edits(frame, redact)
        # A segment without text is a replica: its reader knows what has become of the text that it repeats.
        if wanted or not all(segment.text for segment, _ in frame.parts):
            return intake.reader.edit(frame.raw, wanted)
        return frame.raw

    def _edits(self, frame: Frame, entities: frozenset[str]) -> list[Edit]:
        wanted: list[Edit] = []
        for segment, start in frame.parts:
            known = self.scan.marks.spans(segment.channel, start)
            spans: Sequence[Span] = chosen(known, entities) if known and entities else ()
            if self.ctx.originals:
                restored, spans = self._restorer.edits(segment, start, spans)
                wanted += restored
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
        if self._intake.reading is not Reading.NOT and (self._intake.follows or not self._enforcing):
            account.released_unscanned = True
        if phase.first_release_ms < 0:
            phase.first_release_ms = self.ctx.ms()
        phase.last_release_ms = self.ctx.ms()

    def _finish(self) -> None:
        """Everything has its verdict: the rest goes, and the end with it."""
        scan, phase, intake = self.scan, self.phase, self._intake
        if self.ctx.route.inspect:
            scan.conclude()
            if scan.terminal and self._enforcing:
                self._terminate(scan.verdict)
                return
        verdict = scan.verdict
        if self.ctx.route.inspect:
            phase.decided_ms = self.ctx.ms()
            self._passed(verdict)
        if intake.reading is not Reading.WHOLE or not self._enforcing:
            if not self._sent:
                self._send_headers()
            self._close([])
        else:
            self._edit_whole(verdict)

    def _edit_whole(self, verdict: Verdict) -> None:
        """Have a whole body edited, if the verdict or the request asks for it; it then goes."""
        intake, ctx, scan = self._intake, self.ctx, self.scan
        if ctx.format is None:
            raise AssertionError("a body is read by its format")
        if not (verdict.redact or verdict.drop or ctx.originals):
            self._let_go(Rewritten())
            return
        limit = ctx.route.limits.response_bytes
        recipe = Restore(scan.marks.all_spans(), verdict.redact, ctx.originals, scan.marks.all_places(), limit)
        if scan.listing is not None and verdict.drop:
            recipe.leave_out(scan.listing.listed, verdict.drop)
        if recipe.idle:
            self._let_go(Rewritten())
        elif intake.plain is not None:
            task = Rewrite(Direction.RESPONSE, ctx.format, intake.plain, "", limit, self.status, recipe)
            self._let_go(task.at_once(intake.parts))
        else:
            encoding = intake.fields.get("content-encoding", "")
            task = Rewrite(Direction.RESPONSE, ctx.format, intake.chunks[0], encoding, limit, self.status, recipe)
            self._edits_whole = True
            ctx.out.append(Offload(Direction.RESPONSE, task))

    def offloaded(self, outcome: Outcome) -> None:
        """What was to be done elsewhere is done, or could not be."""
        if isinstance(outcome, Parsed):
            if self._intake.away:
                self._intake.understand(outcome)
        elif self._edits_whole:
            self._edits_whole = False
            self._let_go(outcome)

    def _let_go(self, outcome: Rewritten) -> None:
        """A whole body goes, as it came or edited."""
        intake = self._intake
        if outcome.reason:
            self._terminate(self._unmendable())
            return
        self.phase.redactions.update(outcome.counts)
        self.phase.restored.update(outcome.restored)
        raw, dropped = intake.chunks[0], list[str]()
        if outcome.body is not None:
            dropped = [name for name in ("content-encoding", "content-length") if name in intake.fields]
        if not self._sent:
            self._send_headers(dropped)
        self._forward(raw if outcome.body is None else outcome.body, len(raw))
        self._close(dropped)

    def _close(self, dropped: list[str]) -> None:
        """The end goes too."""
        self.done = True
        self._intake.drop()
        self._outbox.finish(Last(self._metadata(), self._changes() if self._outbox.revocable else (), dropped))

    def _unmendable(self) -> Verdict:
        """What cannot be edited cannot go on: a mark ran across the punctuation of a value."""
        return Verdict(Action.BLOCK, Action.BLOCK, self.scan.verdict.fired, reason="unavailable")

    def _passed(self, verdict: Verdict) -> None:
        """Say what was done to what went on."""
        phase = self.phase
        phase.applied = verdict.action.value if self._enforcing else Action.ALLOW.value
        if verdict.decided is not verdict.action:
            phase.cause = "shadow"
        elif not self._enforcing and verdict.action is not Action.ALLOW:
            phase.cause = "observe"

    def _terminate(self, verdict: Verdict) -> None:
        """The verdict ends the response: with an answer of ours while nothing was sent, else in the stream."""
        self.scan.verdict = verdict
        self.phase.decided_ms = self.ctx.ms()
        self.stopped = True
        self._owes = False
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
        self._intake.drop()

    def _ending(self, verdict: Verdict) -> bytes:
        """The last bytes of a response that is under way."""
        reader = self._intake.reader
        if self._intake.reading is Reading.STREAM and reader is not None:
            return reader.ending(self.ctx.refusal(verdict))
        return self.ctx.answer(verdict, as_error=False, streamed=False).body

    def _changes(self) -> list[tuple[str, str]]:
        """Headers of ours on the way to the client."""
        ctx = self.ctx
        changes = [(OURS + "id", ctx.id), (OURS + "policy", ctx.policy.digest[:12])]
        if self._enforcing:
            changes += [(OURS + name, value) for name, value in self.scan.verdict.annotations.items()]
        if self.phase.applied != "pass":
            changes.append((OURS + "response", self.phase.applied))
        return changes

    def _metadata(self) -> Metadata:
        return {"id": self.ctx.id, "response": self.phase.applied, "coverage": self.scan.coverage()}

    def _send_headers(self, dropped: list[str] | None = None) -> None:
        self._sent = True
        removed = [*shared.foreign(self._intake.fields), *(dropped or ())]
        if self._intake.decoder is not None and self._enforcing:
            removed.append("content-encoding")
        changes = [*(self._changes() if self.ctx.route.inspect else ()), *self.ctx.limits]
        self._outbox.headers(SendHeaders(Direction.RESPONSE, changes, removed))

"""The request's half of an exchange: nothing goes on before the gate says so.

hold: headers and body wait for the verdict. overlap: they go on at once, and the response waits for the verdict.
observe: they go on at once, and nothing waits.

Where no header tells the format, the body is read for its shape; until then the response waits with it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

from safeguards_extproc.core import context as shared
from safeguards_extproc.core import media
from safeguards_extproc.core.account import Admitted
from safeguards_extproc.core.actions import ACTIONS, Deed, Point
from safeguards_extproc.core.admission import TOOLS
from safeguards_extproc.core.aside import LARGE, Outcome, Parse, Parsed, Rewrite, Rewritten, heavy
from safeguards_extproc.core.context import MODEL_CHARS, OURS, Context
from safeguards_extproc.core.decision import TERMINAL, Action, Gate, Value, Verdict
from safeguards_extproc.core.effects import Offload, SendHeaders, Wake
from safeguards_extproc.core.events import Body, BodyMode, Headers, Trailers, Woke
from safeguards_extproc.core.lifecycle import Stage, step
from safeguards_extproc.core.outbox import Last, outbox
from safeguards_extproc.core.pour import Pour, Progress
from safeguards_extproc.core.recipes import Mask, Parts
from safeguards_extproc.core.record import Phase
from safeguards_extproc.core.text import Direction, Document, Format
from safeguards_extproc.errors import MalformedBody

TIMER = "request-body"

NOTHING_TOLD: Mapping[str, str] = {}

BEGINNING = 64
"""Bytes at the start of a body of unknown format that show whether it is worth waiting for."""


class RequestLane:
    """`settled` once the verdict is final; `refused` holds the verdict that the client is told, if it is a no. `away`
    while the body waits to be read, or is read or edited elsewhere."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.phase = Phase()
        self.scan = ctx.scan(Direction.REQUEST)
        self.settled = False
        self.refused: Verdict | None = None
        self.held = 0
        self._outbox = outbox(ctx.opened, Direction.REQUEST, ctx.out)
        self._stage = Stage.HEADERS
        self._waits = False
        self._inspects = False
        self._fields: dict[str, str] = {}
        self._chunks: list[bytes] = []
        self.away = False
        self._turn: Parse | None = None  # what is to be read when it has its turn
        self._pour: Pour | None = None
        self._parts: Parts = ()
        self._unread: frozenset[str] = frozenset()
        self._document: Document | None = None  # what is scanned once the exchange is admitted
        self._unreadable = ""  # why the text cannot be read, which is judged then
        self._sent = False
        self._plain: bytes | None = None
        self._decoded = False

    @property
    def enforcing(self) -> bool:
        """Whether a verdict has consequences."""
        return not self.ctx.opened.silent and self.ctx.route.gate is not Gate.OBSERVE

    @property
    def behind(self) -> bool:
        """Whether there is something to do without any event: `turn` and `advance` do it."""
        return self._turn is not None or self.scan.behind

    def turn(self) -> None:
        """Another event: go on with what the last one left."""
        self.scan.turn()
        task, self._turn = self._turn, None
        if task is not None:
            self._parse(task)

    def lets_answer(self) -> bool:
        """Nothing of a response leaves before the request has its verdict, unless the request is only observed."""
        return self.settled or not self.enforcing

    def headers(self, event: Headers) -> None:
        ctx, fields = self.ctx, event.fields
        self._stage = step(self._stage, event)
        self._outbox.took_headers(event.end)
        self.phase.headers_ms = ctx.ms()
        self._fields = fields
        self._inspects = ctx.route.inspect and not event.end
        if not ctx.route.inspect:
            self.settled = not self._asks(self._declared)
        elif ctx.sheds and not event.end:
            self._shed()
        elif media.upgrades(fields):
            self._give_up_reading(media.WEBSOCKET)
        elif event.end:
            self._bare()
            if not self._asks(0):
                self._conclude()
        elif ctx.format is None or (ctx.format.name == "opaque" and not ctx.pending):
            self._give_up_reading(media.unknown(fields))
        elif ctx.mode(Direction.REQUEST) in (BodyMode.NONE, BodyMode.PARTIAL):
            self._give_up_reading("not-sent")
        if self.refused:
            return
        asks = self._undecided
        self._waits = (self._inspects or asks) and self.enforcing and ctx.route.gate is Gate.HOLD and not self.settled
        if self._waits and self._inspects:
            ctx.out.append(Wake(TIMER, ctx.route.limits.request_body_s))
        if not self._waits or not (self._outbox.holds or asks):
            self._send_headers()
        if event.end and not self._waits:
            self._outbox.finish()

    def body(self, event: Body) -> None:
        late = self._stage is Stage.ENDED
        self._stage = step(self._stage, event)
        data, account = event.data, self.scan.account
        self._outbox.took_body(data, event.end)
        if late:
            return
        account.bytes_in += len(data)
        if not self._waits:
            self._forward(data)
        if self._waits and not self._inspects:
            self._chunks.append(data)
            self.held += len(data)
        if self._inspects:
            self._chunks.append(data)
            if self._waits:
                self.held += len(data)
            if account.bytes_in > self.ctx.route.limits.request_bytes:
                self._give_up_reading("too-large", max(self._declared, self.ctx.route.limits.request_bytes))
            elif self.ctx.pending and account.bytes_in - len(data) < BEGINNING:
                self._look_ahead()
        if event.end or self.ctx.mode(Direction.REQUEST) is BodyMode.BUFFERED:
            self._stage = Stage.ENDED
            self._end()

    def trailers(self, event: Trailers) -> None:
        late = self._stage is Stage.ENDED
        self._stage = step(self._stage, event)
        self._outbox.took_trailers()
        if not late:
            self._end()

    def recognise(self) -> None:
        """Nothing waits for this request any more but the answer's format: tell it by what has come. What has come of
        a large one is no whole JSON, and shows nothing."""
        if self.away:
            return
        body, found = b"".join(self._chunks), None
        if not heavy(body):
            with contextlib.suppress(MalformedBody):
                found = self.ctx.wire.recognise(body)
        self._name(found)

    def woke(self, event: Woke) -> None:
        """The body took too long to come."""
        if self._waits and not self.settled and self._stage is Stage.BODY:
            self._refuse(Verdict(Action.BLOCK, Action.BLOCK, reason="timeout"), "timeout", "limit")

    def advance(self) -> None:
        """Decide once everything is known: nothing of a request can leave earlier anyway."""
        if self.settled or self.away or self._stage is not Stage.ENDED or self._undecided:
            return
        if self._pour is not None and not self._poured(self._pour):
            return
        if not self.settled and self.scan.absorb_all():
            self._conclude()

    def admitted(self, answer: Admitted, features: Mapping[str, Value]) -> None:
        """Whether the exchange may go on is known. If not, nothing more of it is looked at; if so, the rest is."""
        scan = self.scan
        scan.facts.admission = answer
        scan.facts.features.update(features, model=self.ctx.model)
        if self.settled:
            return
        if not self.ctx.route.inspect:
            self._carry_out(scan.admit())
        elif self.enforcing and self.ctx.policy.admit(scan.facts).action in TERMINAL:
            self._carry_out(scan.decide())
        elif self._unreadable:
            self._judge_unread(self._unreadable)
        elif self._document is not None:
            self._pour_in(self._document)
        else:
            self._conclude()

    @property
    def _undecided(self) -> bool:
        """Whether it is not known yet if the exchange may go on."""
        return self.ctx.desk is not None and self.ctx.desk.waits

    @property
    def _declared(self) -> int:
        """Bytes of the body by its header; 0 if that does not say."""
        length = self._fields.get("content-length", "")
        return int(length) if length.isdecimal() and len(length) < 16 else 0

    def _asks(self, size: int, told: Mapping[str, str] = NOTHING_TOLD, document: Document | None = None) -> bool:
        """Ask whether the exchange may go on, a body of `size` bytes included; whether the answer has yet to come."""
        ctx, desk = self.ctx, self.ctx.desk
        if desk is not None:
            desk.ask(self._fields, told, ctx.model, size, document)
        return self._undecided

    def offloaded(self, outcome: Outcome) -> None:
        """What was to be done elsewhere is done, or could not be."""
        if not self.away:
            return
        self.away = False
        if isinstance(outcome, Parsed):
            self._understand(outcome)
        else:
            self._let_go(self.scan.verdict, outcome)
            self._drop()

    def _forward(self, data: bytes) -> None:
        self._outbox.body(data, len(data))
        account = self.scan.account
        account.bytes_released += len(data)
        account.bytes_written += len(data)
        if data and self._inspects:
            account.released_unscanned = True
        if self.phase.first_release_ms < 0:
            self.phase.first_release_ms = self.ctx.ms()
        self.phase.last_release_ms = self.ctx.ms()

    def _end(self) -> None:
        self.phase.ended_ms = self.ctx.ms()
        if not self._waits:
            self._outbox.finish()
        if self._inspects and not self.settled and not self._unreadable:
            self._read()
        self.advance()

    def _look_ahead(self) -> None:
        """A body that begins as that of no known API does is not waited for."""
        if self._fields.get("content-encoding", "identity") != "identity":
            return
        if not self.ctx.wire.promises(b"".join(self._chunks)[:BEGINNING]):
            self._give_up_reading(media.unknown(self._fields))

    def _name(self, found: Format | None) -> None:
        """The body has shown its format, or that it has none that is known."""
        if found is None:
            self._give_up_reading(media.unknown(self._fields))
            return
        self.ctx.pending, self.ctx.format = False, found
        self.scan.facts.features.update(format=found.name, recognised="body")

    def _bare(self) -> None:
        """There is no body: nothing to read, and nothing to wait for."""
        self.ctx.pending, self.ctx.bare = False, True

    def _read(self) -> None:
        """The body is whole: decode and parse it, and have its text scanned."""
        ctx = self.ctx
        body = b"".join(self._chunks)
        self._chunks = [body]
        if ctx.question is not None:
            ctx.question.open = True
        known = None if ctx.pending else ctx.format
        encoding, limit = self._fields.get("content-encoding", ""), ctx.route.limits.request_bytes
        wants = ctx.desk.wants if ctx.desk is not None else ()
        task = Parse(Direction.REQUEST, known, body, encoding, limit, wants=wants)
        self.away = True
        if len(body) > LARGE and not heavy(body):
            self._turn = task
        else:
            self._parse(task)

    def _parse(self, task: Parse) -> None:
        """Read it here, or have it read elsewhere."""
        parsed = task.at_once(self.ctx.wire)
        if parsed is None:
            self.ctx.out.append(Offload(Direction.REQUEST, task))
        else:
            self.away = False
            self._understand(parsed)

    def _understand(self, parsed: Parsed) -> None:
        """What the body says."""
        ctx, scan, document = self.ctx, self.scan, parsed.document
        self._plain, self._decoded = parsed.plain, parsed.decoded
        scan.account.bytes_decoded = parsed.size
        size = len(self._chunks[0])
        if parsed.reason:
            self._give_up_reading(parsed.reason, size, parsed.told)
            return
        if ctx.pending and not parsed.size:
            self._bare()
            self._asks(size)
            return
        if ctx.pending and parsed.format is None:
            self._give_up_reading(media.unknown(self._fields), size, parsed.told)
            return
        if ctx.pending:
            self._name(parsed.format)
        ctx.model, ctx.streamed = (document.model or ctx.model)[:MODEL_CHARS], document.streamed
        features = scan.facts.features
        features.update(document.features)
        features["model"], features["streamed"] = ctx.model, document.streamed
        features["bytes"] = parsed.size
        self._unread = document.unread
        if self._unread:
            features["unread"] = ",".join(sorted(self._unread))
        if ctx.desk is not None:
            features["tools"] = any(segment.channel[0] in TOOLS for segment in document.segments)
        if self._asks(size, parsed.told, document):
            self._document = document
        else:
            self._pour_in(document)

    def _pour_in(self, document: Document) -> None:
        """Have the text scanned, turn by turn."""
        ctx, keeps = self.ctx, self._plain is not None
        self._document = None
        self._pour = Pour(self.scan, document, ctx.route.limits.windows, keeps=keeps, hears=ctx.question)

    def _poured(self, pour: Pour) -> bool:
        """Have more of the text scanned; whether all of it has been."""
        progress = pour.turn()
        if progress is Progress.MORE:
            return False
        self._pour, self._parts = None, pour.parts
        self._heard()
        if progress is Progress.OVER:
            self._give_up_reading("too-large")
        elif self._unread:
            self.scan.uninspectable("unread")
        return True

    def _shed(self) -> None:
        """Policy says whether it goes on unread. Who is refused for this is not asked who they are, nor charged."""
        verdict = self.scan.uninspectable(media.OVERLOADED)
        if self.scan.terminal and self.enforcing:
            self._inspects = self.ctx.pending = False
            self._carry_out(verdict)
        else:
            self._give_up_reading(media.OVERLOADED)

    def _give_up_reading(self, reason: str, size: int | None = None, told: Mapping[str, str] = NOTHING_TOLD) -> None:
        """The text cannot be judged. Policy says whether it goes on; if so it goes on as it is. `size` is that of the
        body, if it is known better than by its header."""
        self.ctx.pending = False
        if self._unreadable:
            return
        if self._asks(self._declared if size is None else size, told):
            self._unreadable = reason
        else:
            self._judge_unread(reason)

    def _judge_unread(self, reason: str) -> None:
        verdict = self.scan.uninspectable(reason)
        if self.scan.terminal or not self.scan.waiting:
            self._inspects = False
            self._carry_out(verdict)

    def _conclude(self) -> None:
        self._carry_out(self.scan.verdict if self.scan.terminal else self.scan.decide())

    def _carry_out(self, verdict: Verdict) -> None:
        """The verdict is final: do what it says."""
        self.settled = True
        self.scan.give_up()
        self.phase.decided_ms = self.ctx.ms()
        if not self.enforcing:
            self.phase.applied = Action.ALLOW.value if self.ctx.route.inspect else "pass"
            self.phase.cause = "observe" if verdict.decided is not Action.ALLOW else ""
            self._drop()
            return
        if ACTIONS.get((verdict.action, Point.PROMPT)) is Deed.REFUSE or self.scan.terminal:
            self._refuse(verdict, verdict.action.value, "")
            return
        self.phase.applied = verdict.action.value if self.ctx.route.inspect else "pass"
        self.phase.cause = "shadow" if verdict.decided is not verdict.action else ""
        if self._waits:
            self._release(verdict)
        if not self.away:
            self._drop()

    def _heard(self) -> None:
        """What the request asks is known, as far as it ever will be."""
        if self.ctx.question is not None:
            self.ctx.question.open = False

    def _drop(self) -> None:
        self._heard()
        self._chunks, self._parts, self.held, self._plain, self._pour = [], (), 0, None, None
        self._document, self._turn, self._unreadable = None, None, ""
        self.scan.pouring = False

    def _refuse(self, verdict: Verdict, applied: str, cause: str) -> None:
        self.settled, self.refused = True, verdict
        self.phase.applied, self.phase.cause = applied, cause
        self.scan.give_up()
        self._drop()

    def _release(self, verdict: Verdict) -> None:
        """Held bytes go on, edited if the verdict asks for it."""
        if not (verdict.redact or verdict.steer) or not self._decoded:
            self._let_go(verdict, Rewritten())
            return
        ctx, plain = self.ctx, self._plain
        if ctx.format is None:
            raise AssertionError("headers come first")
        recipe = None
        if verdict.redact:
            spans = self.scan.marks.all_spans()
            recipe = Mask(spans, verdict, numbers="history" not in self._unread)
            if ctx.question is not None:
                ctx.question.redact(spans, verdict.redact)
        limit, encoding = ctx.route.limits.request_bytes, self._fields.get("content-encoding", "")
        if plain is not None:
            task = Rewrite(Direction.REQUEST, ctx.format, plain, "", limit, 0, recipe, verdict.steer)
            self._let_go(verdict, task.at_once(self._parts))
        else:
            task = Rewrite(Direction.REQUEST, ctx.format, self._chunks[0], encoding, limit, 0, recipe, verdict.steer)
            self.settled, self.away = False, True
            ctx.out.append(Offload(Direction.REQUEST, task))

    def _let_go(self, verdict: Verdict, outcome: Rewritten) -> None:
        self.settled = True
        if outcome.reason:
            # What cannot be edited cannot go on: a mark ran across the punctuation of a value.
            self._refuse(Verdict(Action.BLOCK, Action.BLOCK, reason=outcome.reason), "block", "failure")
            return
        account = self.scan.account
        self.phase.redactions.update(outcome.counts)
        if outcome.originals:
            self.ctx.originals.keep(outcome.originals)
        body = b"".join(self._chunks)
        edited, dropped = body, list[str]()
        if outcome.body is not None:
            edited = outcome.body
            if "content-encoding" in self._fields:
                dropped.append("content-encoding")
        self._waits, changed = False, self._sent
        if not self._sent:
            self._send_headers(dropped)
        account.bytes_released += len(body)
        account.bytes_written += len(edited)
        if body:
            self._outbox.body(edited, len(body))
            self.phase.first_release_ms = self.phase.last_release_ms = self.ctx.ms()
        if self._stage is Stage.ENDED:
            said = Last(self._metadata(), self._changes(), dropped, bool(verdict.reroute))
            self._outbox.finish(said if changed else Last())

    def _changes(self) -> list[tuple[str, str]]:
        """Headers that the verdict sets on the way to the upstream."""
        verdict = self.scan.verdict
        if not (self.settled and self.enforcing):
            return []
        return [*((OURS + name, value) for name, value in verdict.annotations.items()), *verdict.reroute.items()]

    def _metadata(self) -> dict[str, str | int | float | bool]:
        return {
            "id": self.ctx.id,
            "policy": self.ctx.policy.digest,
            "route": self.ctx.route.name,
            "request": self.phase.applied,
            **{f"annotation.{name}": value for name, value in self.scan.verdict.annotations.items()},
        }

    def _send_headers(self, dropped: Sequence[str] = ()) -> None:
        self._sent = True
        removed = [*shared.foreign(self._fields), *dropped]
        inspect = self.ctx.route.inspect
        if inspect and self.ctx.route.strip_accept_encoding and "accept-encoding" in self._fields:
            removed.append("accept-encoding")
        changes = self._changes()
        reroutes = bool(changes and self.scan.verdict.reroute)
        metadata = self._metadata() if self.settled and inspect else None
        self._outbox.headers(SendHeaders(Direction.REQUEST, changes, removed, reroutes, metadata))

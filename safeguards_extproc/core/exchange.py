"""One ext_proc stream is one Exchange: events in, effects out. The one class that a driver sees.

It never awaits, never reads a clock, never logs. Every exchange ends in exactly one record, even when aborted.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import replace

from safeguards_extproc.core import context as shared
from safeguards_extproc.core.account import NOBODY_KNOWN, Who
from safeguards_extproc.core.admission import Desk
from safeguards_extproc.core.context import Context
from safeguards_extproc.core.decision import SEVERITY, Action, Policy, Release, Verdict
from safeguards_extproc.core.effects import Effect, Keep, Metadata, Wake
from safeguards_extproc.core.events import (
    Aborted,
    Admitted,
    Body,
    Event,
    Headers,
    Offloaded,
    Opened,
    Scored,
    Trailers,
    Woke,
)
from safeguards_extproc.core.question import Question
from safeguards_extproc.core.record import Record
from safeguards_extproc.core.request import RequestLane
from safeguards_extproc.core.response import ResponseLane
from safeguards_extproc.core.text import Direction, Wire

PATHS = ("request.path", "request.url_path")
"""Envoy's attributes that name a path, where `:path` is one that no format claims."""

TURN = "turn"
"""The timer of what has not been read, looked at or released yet: it goes off at once, after what else waits."""


class Exchange:
    """`policy` is the snapshot that this exchange keeps to its end, `who` says by it who asks. `at` is the time of the
    first message, seconds."""

    def __init__(self, policy: Policy, wire: Wire, id: str, opened: Opened, at: float, who: Who = NOBODY_KNOWN) -> None:
        self._ctx = Context(policy, wire, id, opened, [], itertools.count(1), at, at)
        self._sketch = who.sketch if policy.admits else None
        if self._sketch is not None or any(model.exchange for model in policy.models):
            self._ctx.question = Question(policy.views)
        if policy.admits:
            self._ctx.desk = Desk(policy, who, id, opened, self._ctx.out)
        self._lanes: tuple[RequestLane, ResponseLane] | None = None
        self._kept = self._over = False
        self._method = self._trace = ""
        self._status = 0

    @property
    def _request(self) -> RequestLane:
        return (self._lanes or self._open(None))[0]

    @property
    def _response(self) -> ResponseLane:
        return (self._lanes or self._open(None))[1]

    def _open(self, event: Event | None) -> tuple[RequestLane, ResponseLane]:
        """Find the route and the format by the request's headers: both directions go by them."""
        ctx = self._ctx
        fields = event.fields if isinstance(event, Headers) and event.direction is Direction.REQUEST else {}
        method, target = fields.get(":method", ""), fields.get(":path", "")
        ctx.route = ctx.policy.route(method, fields.get(":authority", ""), target)
        ctx.resolve(ctx.route.format, fields)
        original = next((ctx.opened.attributes[name] for name in PATHS if name in ctx.opened.attributes), "")
        if ctx.unclaimed and original:
            ctx.resolve("auto", {**fields, ":path": original})
        ctx.pending = ctx.route.inspect and ctx.unclaimed
        self._method = method if _METHOD.fullmatch(method) else "other" if method else ""
        self._trace = trace_of(fields)
        request = RequestLane(ctx)
        self._lanes = (request, ResponseLane(ctx, request.lets_answer))
        return self._lanes

    @property
    def finished(self) -> bool:
        """The record is kept and Envoy has every answer that it needs."""
        return self._kept and (self._over or self._response.done or self._response.stopped)

    @property
    def held(self) -> int:
        """Bytes held back."""
        return self._lanes[0].held + self._lanes[1].held if self._lanes else 0

    @property
    def waiting(self) -> bool:
        """Scores or an admission are due, turns are to come or work is done elsewhere, and the record waits for it."""
        request, response, desk = self._request, self._response, self._ctx.desk
        return not self._kept and (
            request.scan.waiting
            or request.away
            or response.scan.waiting
            or response.behind
            or response.away
            or (desk is not None and desk.waits)
        )

    def feed(self, event: Event) -> list[Effect]:
        """What to do about `event`. Raises IllegalEvent, and nothing else."""
        ctx = self._ctx
        out = ctx.out
        out.clear()
        ctx.now = event.at or ctx.now
        request, response = self._lanes or self._open(event)
        if isinstance(event, Aborted):
            self._abort(event.cause)
            return list(out)
        if self._over:
            return []
        if isinstance(event, Scored):
            request.scan.scored(event.ticket, event.results)
            response.scan.scored(event.ticket, event.results)
        request.turn()
        response.turn()
        match event:
            case Body() | Headers() | Trailers():
                self._hear(event, response if event.direction is Direction.RESPONSE else request)
            case Woke() if event.timer != TURN:
                (request if event.timer == "request-body" else response).woke(event)
            case Admitted():
                self._admitted(event)
            case Offloaded():
                (response if event.direction is Direction.RESPONSE else request).offloaded(event.outcome)
        self._advance(request, response)
        if not self._over and (request.behind or response.behind):
            out.append(Wake(TURN, 0.0))
        return list(out)

    def _admitted(self, event: Admitted) -> None:
        """What is known of who asks holds for both directions. Whoever stands out gets nothing ahead of its verdict."""
        ctx, desk = self._ctx, self._ctx.desk
        if desk is None or not desk.waits:
            return
        features = desk.take(event.answer)
        if event.answer.standing.flags and ctx.route.release is Release.FOLLOW:
            ctx.route = replace(ctx.route, release=Release.WINDOW)
        self._response.scan.facts.features.update(features)
        self._request.admitted(event.answer, features)

    def _hear(self, event: Headers | Body | Trailers, lane: RequestLane | ResponseLane) -> None:
        if isinstance(event, Body):
            lane.body(event)
        elif isinstance(event, Headers):
            lane.headers(event)
        else:
            lane.trailers(event)

    def _advance(self, request: RequestLane, response: ResponseLane) -> None:
        if self._ctx.pending and response.ended and not request.enforcing:
            request.recognise()
        request.advance()
        if request.refused:
            self._refuse(request.refused, request.phase.applied, as_error=self._ctx.route.refuse_as == "error")
            return
        response.advance()
        if response.refused:
            self._refuse(response.refused, response.phase.applied, as_error=response.as_error)
        elif response.stopped:
            self._keep("stopped")
        elif response.done and request.settled:
            self._keep("complete")

    def _refuse(self, verdict: Verdict, outcome: str, *, as_error: bool) -> None:
        ctx = self._ctx
        self._over = True
        self._response.scan.give_up()
        metadata: Metadata = {
            "id": ctx.id,
            "policy": ctx.policy.digest,
            "route": ctx.route.name,
            "outcome": outcome,
            "request": self._request.phase.applied,
            "response": self._response.phase.applied,
        }
        self._status = ctx.refuse(verdict, outcome, metadata, as_error=as_error)
        self._keep("refused")

    def _abort(self, cause: str) -> None:
        if not self._kept:
            self._request.scan.give_up()
            self._response.scan.give_up()
            self._response.broken_off()
            self._keep(cause)
        self._over = True

    def _keep(self, termination: str) -> None:
        """Write the record, ahead of the answers of this turn."""
        if self._kept:
            return
        self._kept = True
        self._ctx.originals.drop()
        ctx, request, response = self._ctx, self._request, self._response
        shared.close(request.phase, request.scan)
        shared.close(response.phase, response.scan)
        route, format_ = ctx.route, ctx.format
        record = Record(
            id=ctx.id,
            route=route.name,
            format=format_.name if format_ else "opaque",
            method=self._method,
            model=ctx.model,
            streamed=ctx.streamed,
            gate=route.gate.value,
            release=route.release.value,
            policy=ctx.policy.digest,
            versions={**request.scan.versions, **response.scan.versions},
            termination=termination,
            status=self._status or response.status,
            request=request.phase,
            response=response.phase,
            duration_ms=ctx.ms(),
            trace_id=self._trace,
        )
        record.outcome = max((request.phase.applied, response.phase.applied), key=_severity)
        for lane in (request, response):
            verdict = lane.scan.verdict
            if verdict.fired and not record.rule and lane.phase.applied == record.outcome:
                record.rule, record.category = _leading(verdict), verdict.category
        if ctx.desk is not None:
            ctx.desk.write(record, response.usage)
        asked = ctx.question.text if self._sketch is not None and ctx.question is not None else ""
        ctx.out.insert(0, Keep(record, self._sketch(asked) if self._sketch is not None else 0))


_METHOD = re.compile(r"[A-Z]{1,20}")
_TRACE = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
"""A W3C traceparent, of this version or a later one (https://www.w3.org/TR/trace-context/): whatever else a client
writes there is no trace, and stays out of records."""


def trace_of(fields: Mapping[str, str]) -> str:
    """The trace that a request belongs to, "" if its headers name none."""
    trace = _TRACE.fullmatch(fields.get("traceparent", ""))
    return trace.group(1) if trace is not None else ""


def _severity(applied: str) -> int:
    return SEVERITY[Action(applied)] if applied in SEVERITY else (len(SEVERITY) if applied == "timeout" else -1)


def _leading(verdict: Verdict) -> str:
    """The rule that gave the verdict its action."""
    return next((fired.rule for fired in verdict.fired if fired.enforced and fired.action is verdict.action), "")

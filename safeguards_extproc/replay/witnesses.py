"""What the filter did to an exchange, from three witnesses: the client, the model server, the decision record.

The client and the model server say what happened; the record only names what cannot be seen from outside (annotate,
steer, reroute), and why. Where the record contradicts them, that is a miss.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any

from safeguards_extproc.core.record import Phase, Record
from safeguards_extproc.replay.outcome import Kind, Outcome
from safeguards_extproc.replay.traffic import Exchange

_ENDINGS = frozenset({"block", "stop", "throttle", "suspend", "refuse"})
_REFUSALS = {403: "suspend", 429: "throttle"}
_UNSEEN = frozenset({"annotate", "redact", "steer", "reroute"})


@dataclass(frozen=True, slots=True)
class Reached:
    """What the model server saw of an exchange; `leaks` counts strings that should have been hidden from it."""

    received: int = 0
    bytes_sent: int = 0
    finished: int = 0
    cancelled: int = 0
    leaks: int = 0


@dataclass(slots=True)
class Result:
    """An exchange judged. `request` and `response` are what was done, "" where it cannot be known or did not happen.
    `problems` says what is not as expected; empty if all is."""

    exchange: Exchange
    outcome: Outcome
    reached: Reached | None
    record: Record | None
    request: str
    response: str
    problems: list[str] = field(default_factory=list)

    @property
    def rules(self) -> list[str]:
        """Rules that took part, in both directions, shadow ones too."""
        phases = (self.record.request, self.record.response) if self.record else ()
        return [fired.rule for phase in phases for fired in phase.fired]


def judge(exchange: Exchange, outcome: Outcome, reached: Reached | None, record: Record | None) -> Result:
    """What was done, and whether it is what the exchange expects."""
    result = Result(exchange, outcome, reached, record, *_done(outcome, reached, record))
    result.problems = [*_missed(result), *_contradicted(result)]
    return result


def _done(outcome: Outcome, reached: Reached | None, record: Record | None) -> tuple[str, str]:
    arrived = reached.received > 0 if reached else outcome.from_model
    if outcome.kind is Kind.REFUSED and not arrived:
        return _REFUSALS.get(outcome.status, "block"), ""
    request = _unseen(record.request if record else None)
    match outcome.kind:
        case Kind.REFUSED:
            return request, "block"
        case Kind.STOPPED:
            return request, "stop"
        case Kind.ANSWER:
            return request, _unseen(record.response if record else None)
        case _:
            return request if arrived else "", ""


def _unseen(phase: Phase | None) -> str:
    return phase.applied if phase and phase.applied in _UNSEEN else "allow"


def _missed(result: Result) -> list[str]:
    expect, outcome = result.exchange.expect, result.outcome
    if outcome.kind is Kind.BROKEN:
        return ["the answer was cut off"]
    if expect is None:
        return []
    problems = [
        f"{name} {done or 'not reached'}, not {wanted}"
        for name, wanted, done in (
            ("request", expect.request, result.request),
            ("response", expect.response, result.response),
        )
        if wanted and wanted != done
    ]
    if expect.status and expect.status != outcome.status:
        problems.append(f"status {outcome.status}, not {expect.status}")
    if not expect.status and outcome.kind is Kind.ERROR:
        problems.append(f"status {outcome.status}")
    if result.reached and result.reached.leaks:
        problems.append("the model saw what should have been hidden")
    if any(text in outcome.seen.generated for text in expect.hidden):
        problems.append("the client saw what should have been hidden")
    if result.response == "allow" and outcome.from_model and outcome.kind is Kind.ANSWER and not _whole(result):
        problems.append("the answer came changed")
    return problems


def _whole(result: Result) -> bool:
    answer, seen = result.exchange.answer, result.outcome.seen
    return all(text in seen.generated for text in (answer.text, answer.reasoning, *answer.choices))


def _contradicted(result: Result) -> list[str]:
    if result.record is None:
        return []
    recorded = result.record.outcome in _ENDINGS
    ended = result.outcome.kind in (Kind.REFUSED, Kind.STOPPED)
    return [] if recorded == ended else [f"the record says {result.record.outcome}"]


@dataclass(slots=True)
class Summary:
    """Figures over all exchanges of a run."""

    exchanges: int = 0
    as_expected: int = 0
    missed: int = 0
    unrecorded: int = 0
    seconds: float = 0.0
    requests: Counter[str] = field(default_factory=Counter)
    responses: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    cancelled: int = 0
    first_byte_ms: tuple[float, float] = (-1.0, -1.0)
    duration_ms: tuple[float, float] = (-1.0, -1.0)

    @property
    def line(self) -> str:
        """The line that a script can assert."""
        return f"{self.exchanges} exchanges, {self.as_expected} as expected, {self.missed} missed"


def summarise(results: Sequence[Result], seconds: float) -> Summary:
    """Figures of a run that took `seconds`."""
    summary = Summary(exchanges=len(results), seconds=seconds)
    for result in results:
        summary.missed += bool(result.problems)
        summary.unrecorded += bool(result.outcome.safeguards_id) and result.record is None
        summary.requests[result.request or "-"] += 1
        summary.responses[result.response or "-"] += 1
        summary.kinds[result.outcome.kind] += 1
        summary.rules.update(set(result.rules))
        summary.cancelled += bool(result.reached and result.reached.cancelled)
    summary.as_expected = summary.exchanges - summary.missed
    summary.first_byte_ms = _spread([result.outcome.first_byte_ms for result in results])
    summary.duration_ms = _spread([result.outcome.duration_ms for result in results])
    return summary


def _spread(values: Sequence[float]) -> tuple[float, float]:
    """Median and 95th percentile of what is not -1."""
    known = [value for value in values if value >= 0]
    if len(known) < 2:
        return (known[0], known[0]) if known else (-1.0, -1.0)
    return median(known), quantiles(known, n=20, method="inclusive")[-1]


def report(results: Sequence[Result], summary: Summary) -> dict[str, Any]:
    """A run as JSON: figures and verdicts, no text of any exchange."""
    return {
        "summary": {
            "exchanges": summary.exchanges,
            "as_expected": summary.as_expected,
            "missed": summary.missed,
            "unrecorded": summary.unrecorded,
            "seconds": round(summary.seconds, 3),
            "exchanges_per_second": round(summary.exchanges / summary.seconds, 2) if summary.seconds else 0,
            "request": dict(summary.requests),
            "response": dict(summary.responses),
            "seen_by_client": dict(summary.kinds),
            "rules": dict(summary.rules.most_common()),
            "upstream_cancelled": summary.cancelled,
            "first_byte_ms": _named(summary.first_byte_ms),
            "duration_ms": _named(summary.duration_ms),
        },
        "exchanges": [_row(result) for result in results],
    }


def _named(spread: tuple[float, float]) -> Mapping[str, float]:
    return {"p50": round(spread[0], 2), "p95": round(spread[1], 2)}


def _row(result: Result) -> dict[str, Any]:
    return {
        "id": result.exchange.id,
        "request": result.request,
        "response": result.response,
        "seen_by_client": result.outcome.kind,
        "status": result.outcome.status,
        "safeguards_id": result.outcome.safeguards_id,
        "rules": result.rules,
        "problems": result.problems,
        "first_byte_ms": round(result.outcome.first_byte_ms, 2),
        "duration_ms": round(result.outcome.duration_ms, 2),
    }

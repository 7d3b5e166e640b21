"""Results for a person to read: what was done to each exchange, what the client saw of it, and why."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from safeguards_extproc.core.record import Phase
from safeguards_extproc.replay.outcome import Kind
from safeguards_extproc.replay.requests import body_of, request
from safeguards_extproc.replay.traffic import Transport
from safeguards_extproc.replay.witnesses import Result, Summary

STYLES = {
    "allow": "green",
    "annotate": "cyan",
    "redact": "magenta",
    "drop": "magenta",
    "steer": "blue",
    "reroute": "blue",
    "stop": "yellow",
    "throttle": "yellow",
    "block": "red",
    "suspend": "red",
}
TELLING = 0.5
"""Scores below it explain no verdict."""

_DIALECTS = {"openai_chat": "chat", "anthropic_messages": "messages"}


def table(results: Sequence[Result], title: str) -> Table:
    """A row per exchange, in the order given."""
    grid = Table(title=title, title_justify="left", header_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    grid.add_column("", width=1)
    grid.add_column("exchange", no_wrap=True)
    grid.add_column("dialect", no_wrap=True)
    grid.add_column("prompt", no_wrap=True)
    grid.add_column("answer", no_wrap=True)
    grid.add_column("the client saw", no_wrap=True)
    grid.add_column("why", overflow="fold", ratio=1)
    grid.add_column("ms", justify="right", no_wrap=True)
    for result in results:
        exchange = result.exchange
        grid.add_row(
            Text("✗", "bold red") if result.problems else Text("✓", "green"),
            exchange.id,
            _DIALECTS[exchange.format] + (" sse" if exchange.stream else ""),
            _verdict(result.request),
            _verdict(result.response),
            saw(result),
            _why(result),
            f"{result.outcome.duration_ms:.0f}",
        )
    return grid


def saw(result: Result) -> str:
    """The client's view in a few words."""
    outcome = result.outcome
    chars = len(outcome.seen.generated)
    match outcome.kind:
        case Kind.ANSWER:
            return f"{outcome.status} answer, {chars:,} chars"
        case Kind.STOPPED:
            return f"{outcome.status} ended after {chars:,} chars"
        case Kind.REFUSED:
            return f"{outcome.status} refusal"
        case Kind.ERROR:
            return f"{outcome.status} error"
        case Kind.BROKEN:
            return f"{outcome.status or 'no answer'}, cut off after {outcome.bytes_in:,} bytes"


def why(result: Result) -> str:
    """The rules that took part and the scores behind them; what refused where no rule did."""
    record = result.record
    if record is None:
        return "" if result.outcome.from_model else "no decision record: not answered by the filter"
    reasons = [text for phase in (record.request, record.response) if (text := _reason(phase))]
    return "; ".join(reasons) or (record.category if record.outcome != "allow" else "")


def _reason(phase: Phase) -> str:
    rules = [f"{fired.rule} ({fired.mode})" if fired.mode == "shadow" else fired.rule for fired in phase.fired]
    found = [f"{count} {entity}" for entity, count in sorted(phase.redactions.items())]
    failed = [f"{detector}: {failure}" for detector, failure in sorted(phase.failed.items())]
    if not rules and not found and not failed:
        return phase.account.uninspectable if phase.applied == "refuse" else ""
    scores = [
        (score, kind, name) for kind, known in phase.scores.items() for name, score in known.items() if score >= TELLING
    ]
    highest = ["{2} {0:.2f} in {1}".format(*max(scores))] if scores and rules and not found else []
    return ", ".join([*rules, *failed, *found, *highest])


def _why(result: Result) -> Text:
    note = result.exchange.expect.note if result.exchange.expect else ""
    text = Text(note)
    if reason := why(result):
        text.append(f"{' — ' if note else ''}{reason}", "dim")
    for problem in result.problems:
        text.append(f"\n✗ {problem}", "bold red")
    return text


def _verdict(done: str) -> Text:
    return Text(done or "·", STYLES.get(done, "dim"))


def figures(summary: Summary) -> list[str]:
    """How many, how fast, what was decided, and by which rules: a line each."""

    def counted(counts: dict[str, int]) -> str:
        return ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda row: -row[1]))

    rate = summary.exchanges / summary.seconds if summary.seconds else 0.0
    lines = [
        f"prompts    {counted({name: count for name, count in summary.requests.items() if name != '-'})}",
        f"answers    {counted({name: count for name, count in summary.responses.items() if name != '-'})}",
        f"rules      {counted(dict(summary.rules)) or 'none fired'}",
        f"speed      {rate:.1f} exchanges/s; first byte {_spread(summary.first_byte_ms)}, "
        f"whole answer {_spread(summary.duration_ms)}",
        f"cancelled  {summary.cancelled} answers at the model server, as soon as they were stopped",
    ]
    if summary.unrecorded:
        lines.append(f"unrecorded {summary.unrecorded} exchanges without a decision record")
    return lines


def _spread(spread: tuple[float, float]) -> str:
    return f"{spread[0]:.0f} ms median, {spread[1]:.0f} ms p95"


def samples(results: Sequence[Result]) -> list[tuple[str, Result]]:
    """The shortest exchange of each kind that a person will want to try: its name and itself."""

    def passed(row: Result) -> bool:
        return row.outcome.kind is Kind.ANSWER and (row.request, row.response) == ("allow", "allow")

    kinds: dict[str, Callable[[Result], bool]] = {
        "allowed": lambda row: passed(row) and not row.exchange.stream,
        "streamed": lambda row: passed(row) and row.exchange.stream,
        "refused": lambda row: row.request == "block",
        "redacted": lambda row: "redact" in (row.request, row.response),
        "stopped in mid-stream": lambda row: row.response == "stop" and row.exchange.stream,
    }
    plain = [row for row in results if not row.problems and row.exchange.transport == Transport()]
    found = []
    for name, wanted in kinds.items():
        rows = [row for row in plain if wanted(row)]
        if rows:
            found.append((name, min(rows, key=_size)))
    return found


def _size(result: Result) -> int:
    return len(request(result.exchange).body) + len(result.exchange.answer.text)


def curl(result: Result, url: str) -> str:
    """A command line that sends the exchange again, ready to paste."""
    exchange = result.exchange
    sent = request(exchange)
    version = " -H 'anthropic-version: 2023-06-01'" if exchange.format == "anthropic_messages" else ""
    body = shlex.quote(json.dumps(body_of(exchange), ensure_ascii=False))
    return f"curl -sN {url}{sent.path} -H 'content-type: application/json'{version} -d {body}"

"""The demo and the replay: start the stack, send traffic through it, say what was done to it.

Ends with 0 if everything was as expected, 1 if not, 2 if the stack could not be started.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from safeguards_extproc.errors import ConfigError
from safeguards_extproc.local import processes, table
from safeguards_extproc.local.processes import PartFailed, ended_by_sigterm
from safeguards_extproc.local.stack import Plan, ScorerChoice, Stack, running
from safeguards_extproc.replay.run import Target, run
from safeguards_extproc.replay.traffic import Exchange, read
from safeguards_extproc.replay.witnesses import Result, Summary, report, summarise


@dataclass(frozen=True, slots=True)
class Options:
    """What to send, and what to show. `rows` is how many exchanges the table shows: those that were touched first.
    `once` ends after the table; otherwise the stack stays up until Ctrl-C."""

    name: str = "demo"
    once: bool = False
    rows: int = 200
    concurrency: int = 8
    report: Path | None = None


def play(plan: Plan, options: Options, console: Console) -> int:
    """Run the whole thing; the exit status."""
    try:
        exchanges = read(plan.traffic)
        with (
            ended_by_sigterm(),
            running(plan, lambda step: console.print(f"  {escape(step)}", highlight=False)) as stack,
        ):
            results, summary = _send(exchanges, stack, options, console)
            _show(results, summary, options, console)
            if options.report:
                options.report.write_text(json.dumps(report(results, summary), indent=1) + "\n")
            if not options.once:
                _stay(results, stack, console)
            return 1 if summary.missed else 0
    except PartFailed as failure:
        console.print(f"[bold red]{escape(str(failure))}[/]", soft_wrap=True)
        if failure.log:
            console.print(f"the end of its log:\n{escape(failure.log)}", soft_wrap=True, highlight=False)
        return 2
    except ConfigError as error:
        console.print(f"[bold red]{escape(str(error))}[/]", soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        console.print("\nstopped")
        return 130


def _send(exchanges: list[Exchange], stack: Stack, options: Options, console: Console) -> tuple[list[Result], Summary]:
    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    target = Target(stack.url, stack.model, stack.records, options.concurrency)
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("traffic through Envoy", total=len(exchanges))
        began = time.perf_counter()
        results = asyncio.run(run(exchanges, target, lambda _: progress.advance(task)))
        return results, summarise(results, time.perf_counter() - began)


def _show(results: list[Result], summary: Summary, options: Options, console: Console) -> None:
    shown = results
    if len(results) > options.rows:
        dull = [not row.problems and (row.request, row.response) == ("allow", "allow") for row in results]
        order = sorted(range(len(results)), key=lambda place: (not results[place].problems, dull[place], place))
        shown = [results[place] for place in order[: options.rows]]
        console.print(f"\n{len(shown)} of {len(results)} exchanges, what was missed or touched first:")
    console.print()
    console.print(table.table(shown, ""))
    for line in table.figures(summary):
        console.print(f"  {escape(line)}", highlight=False)
    style = "bold red" if summary.missed else "bold green"
    console.print(f"\n[{style}]{options.name}: {summary.line}[/]", highlight=False)


def _stay(results: list[Result], stack: Stack, console: Console) -> None:
    """Say how to try it by hand, and wait for Ctrl-C. PartFailed if a part ends before that."""
    ending = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)  # from here to the waiting no signal gets lost
    try:
        console.print(f"\nThe stack stays up at {stack.url}; its decision records: {stack.records}", highlight=False)
        for name, result in table.samples(results):
            console.print(f"\n# {name}", highlight=False)
            console.print(escape(table.curl(result, stack.url)), soft_wrap=True, highlight=False)
        console.print("\nCtrl-C stops everything.")
        while (caught := signal.sigtimedwait(ending, 1.0)) is None:
            processes.check(stack.parts)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ending)
    if caught.si_signo == signal.SIGTERM:
        sys.exit(128 + signal.SIGTERM)


def parsed(arguments: list[str]) -> tuple[Plan, Options]:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="demo", description="The whole stack on this machine, and traffic through it."
    )
    parser.add_argument("--traffic", type=Path, default=Path("demo/traffic.jsonl"))
    parser.add_argument("--policy", type=Path, default=Path("policies/demo.yaml"))
    parser.add_argument("--envoy", type=Path, default=Path("envoy/demo.yaml"))
    parser.add_argument("--models", type=Path, default=Path("triton_models"))
    parser.add_argument("--scorer", choices=get_args(ScorerChoice), default="auto")
    parser.add_argument("--port", type=int, default=0, help="Envoy's port; 0 takes a free one")
    parser.add_argument("--name", default="demo", help="how the summary line begins")
    parser.add_argument("--once", action="store_true", help="end after the table")
    parser.add_argument("--rows", type=int, default=200, help="at most so many rows in the table")
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--report", type=Path, help="write a JSON report there")
    given = parser.parse_args(arguments)
    plan = Plan(given.policy, given.traffic, given.envoy, given.models, given.scorer, given.port)
    return plan, Options(given.name, given.once, given.rows, given.concurrency, given.report)


def main() -> None:
    """`python -m safeguards_extproc.local.demo`."""
    plan, options = parsed(sys.argv[1:])
    terminal = sys.stdout.isatty()
    sys.exit(play(plan, options, Console(width=None if terminal else 180)))


if __name__ == "__main__":
    main()

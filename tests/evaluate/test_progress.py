"""How far an evaluation has come, as people are told."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from safeguards_extproc.evaluate.progress import Pace, Telling
from safeguards_extproc.evaluate.report import Report
from tests.evaluate.test_run import reported


class Clock:
    """Stands still unless it is told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def telling(terminal: bool = False) -> tuple[Telling, Clock, io.StringIO, list[Report]]:
    clock, out, kept = Clock(), io.StringIO(), list[Report]()
    console = Console(file=out, force_terminal=terminal, width=120)
    return Telling(console, kept.append, Pace(clock)), clock, out, kept


def test_what_is_left_is_told_by_what_is_done() -> None:
    """By characters: a text of forty thousand takes longer than one of forty."""
    clock = Clock()
    pace = Pace(clock)
    pace.begins(1000)
    assert (None, 0.0) == (pace.left_s, pace.share)
    clock.now += 10
    pace.played(200)
    pace.played(50)
    assert (0.2, 0.25) == (pace.rate, pace.share)
    assert pytest.approx(30.0) == pace.left_s


def test_without_a_terminal_there_are_lines_now_and_then() -> None:
    """Not one for each text, and nothing for what was known before."""
    told, clock, out, _ = telling()
    with told:
        told.begins(1000)
        told.played("texts", 5, 10, 0)
        for done in range(6, 11):
            clock.now += 6
            told.played("texts", done, 10, 100)
    assert ["texts: 8 of 10 texts, 0 a second, about 42 s left"] == out.getvalue().splitlines()


@pytest.mark.long
async def test_what_is_known_is_told_and_kept_at_once() -> None:
    """A line for each variant, on a terminal too, and the report of all until then."""
    report = await reported(each=1)
    assert report.robustness is not None
    for terminal in (False, True):
        told, _, out, kept = telling(terminal)
        with told:
            told.found(report, None)
            told.found(report, report.robustness.variants[0])
        assert [report, report] == kept
        assert "132 of 132, padding: 500 characters before: recall kept: attack 1.000" in out.getvalue()

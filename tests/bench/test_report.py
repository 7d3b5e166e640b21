"""Figures become a page, a picture and a comparison, whatever parts were measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench import compare, report

FIGURES: dict[str, Any] = {
    "machine": {"processor": "a quiet one", "cores": 2},
    "capacity": [
        {"scenario": "short chat", "processor": "none", "connections": 16, "per_s": 8000.0, "envoy_us": 60.0},
        {"scenario": "short chat", "processor": "ours", "connections": 16, "per_s": 2500.0, "of no-op": 0.5},
    ],
    "latency": [
        {
            "scenario": "short chat",
            "processor": "ours",
            "connections": 1,
            "rate": 50,
            "p50_ms": 1.4,
            "added_p50_ms": 1.1,
        }
    ],
    "streams": [{"processor": "ours", "streams": 150, "rate": 50, "processor_us": 45.0}],
    "overload": [
        {"processor": "ours", "load": 1.0, "goodput_per_s": 900.0},
        {"processor": "ours", "load": 3.0, "goodput_per_s": 800.0},
    ],
}


def test_a_page_has_every_row_and_says_on_what_machine() -> None:
    """A table for each section; what a row lacks is left empty."""
    page = report.markdown(FIGURES, "bench.png")
    assert "processor a quiet one, cores 2" in page
    assert "| short chat | ours | 16 | 2,500 |  | 0.50 |" in page
    assert ["## Promises", "## Capacity", "## Latency", "## Streams", "## Overload"] == [
        line for line in page.splitlines() if line.startswith("##")
    ]


@pytest.mark.long
def test_there_is_a_picture_of_whatever_was_measured(tmp_path: Path) -> None:
    """All of it, or the machine alone."""
    for name, figures in (("all", FIGURES), ("none", {"machine": {}})):
        report.plot(figures, tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_two_runs_are_compared_row_by_row() -> None:
    """What changed is named with both figures, what did not is left out, and so is what only one of them measured."""
    later: dict[str, Any] = {
        **FIGURES,
        "capacity": [
            {**FIGURES["capacity"][0], "per_s": 8100.0},
            {**FIGURES["capacity"][1], "per_s": 3000.0},
            {**FIGURES["capacity"][1], "processor": "another"},
        ],
    }
    assert [("capacity", "short chat, ours, 16 connections", "per_s", "2,500", "3,000", "+20%")] == compare.changed(
        FIGURES, later, 10.0
    )
    assert [] == compare.changed(FIGURES, FIGURES, 0.1)

"""Each promise finds its figure where the run has it, and says whether it was kept."""

from __future__ import annotations

from typing import Any

from bench import headlines

KEPT: dict[str, Any] = {
    "capacity": [
        {
            "scenario": "short chat",
            "processor": "patterns, limits",
            "connections": 16,
            "per_s": 2000.0,
            "of no-op": 0.5,
        },
        {"scenario": "short chat", "processor": "LiteLLM, guard", "connections": 16, "per_s": 100.0},
        {"scenario": "220 KB prompt", "processor": "patterns", "connections": 16, "processor_us": 2900.0},
    ],
    "latency": [
        {"scenario": "short chat", "processor": name, "connections": 1, "p50_ms": p50, "added_p50_ms": p50 - 0.2}
        for name, p50 in (("no-op", 0.8), ("patterns, limits", 1.4), ("LiteLLM, guard", 10.0))
    ],
    "streams": [{"processor": "patterns", "streams": 150, "processor_us": 50.0, "beyond_event_p99_ms": 6.0}],
    "overlap": [
        {"processor": "patterns, follow", "added_first_p50_ms": 3.0},
        {"processor": "screen, overlap, follow", "added_first_p50_ms": 3.5},
    ],
    "beside": [{"processor": "no-op", "held_up_ms": 50.0}, {"processor": "patterns", "held_up_ms": 60.0}],
    "overload": [{"processor": "patterns", "load": 3.0, "of peak": 0.9, "neither": 0.0}],
}


def test_every_promise_finds_its_figure() -> None:
    """A run that keeps them all."""
    rows = headlines.rows(KEPT)
    assert ["yes"] * len(headlines.PROMISES) == [row["kept"] for row in rows]


def test_a_promise_that_is_not_kept_says_so_and_one_that_was_not_measured_says_nothing() -> None:
    """Planted: half the requests, and no overload."""
    worse = {**KEPT, "capacity": [{**KEPT["capacity"][0], "of no-op": 0.3}], "overload": []}
    rows = {row[""]: row["kept"] for row in headlines.rows(worse)}
    words = [promise.words for promise in headlines.PROMISES]
    assert ("no", "", "") == (rows[words[0]], rows[words[-2]], rows[words[-1]])

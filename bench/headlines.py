"""What was promised of the filter, and what a run says of each: one table, nothing left out that was measured.

A promise is a row of `PROMISES`; where the run lacks what it needs (no reference, no peers), its figure is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Figures = Mapping[str, Any]


@dataclass(frozen=True)
class Promise:
    """`figure` finds it in a run, None where it is not there; it is kept if it is at least, or at most, `bound`."""

    words: str
    figure: Callable[[Figures], float | None]
    bound: float
    least: bool = False

    def kept(self, value: float) -> bool:
        return value >= self.bound if self.least else value <= self.bound


def _find(figures: Figures, section: str, name: str, **about: object) -> float | None:
    for row in figures.get(section, []):
        if all(row.get(key) == value for key, value in about.items()):
            found = row.get(name)
            return float(found) if found is not None else None
    return None


def _less(one: float | None, other: float | None) -> float | None:
    return one - other if one is not None and other is not None else None


def _share(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other else None


def _short(name: str, processor: str) -> Callable[[Figures], float | None]:
    """Of a short chat: capacity at 16 connections, latency at one."""
    section, connections = ("capacity", 16) if name in ("per_s", "of no-op") else ("latency", 1)
    about = {"scenario": "short chat", "processor": processor, "connections": connections}
    return lambda figures: _find(figures, section, name, **about)


def _chunk(name: str) -> Callable[[Figures], float | None]:
    return lambda figures: _find(figures, "streams", name, processor="patterns", streams=150)


def _first(figures: Figures, processor: str) -> float | None:
    return _find(figures, "overlap", "added_first_p50_ms", processor=processor)


def _prompt_ms(figures: Figures) -> float | None:
    spent = _find(figures, "capacity", "processor_us", scenario="220 KB prompt", processor="patterns")
    return spent / 1000 if spent is not None else None


def _stalled(figures: Figures) -> float | None:
    ours = _find(figures, "beside", "held_up_ms", processor="patterns")
    return _less(ours, _find(figures, "beside", "held_up_ms", processor="no-op"))


def _over(name: str) -> Callable[[Figures], float | None]:
    return lambda figures: _find(figures, "overload", name, processor="patterns", load=3.0)


PROMISES = (
    Promise(
        "of the no-op's requests a second, with patterns, limits, records",
        _short("of no-op", "patterns, limits"),
        0.4,
        least=True,
    ),
    Promise(
        "ms above the no-op, median of a short chat",
        lambda figures: _less(_short("p50_ms", "patterns, limits")(figures), _short("p50_ms", "no-op")(figures)),
        1.0,
    ),
    Promise("µs of a processor for a chunk, 150 streams of 50 events a second", _chunk("processor_us"), 57.0),
    Promise(
        "ms that an event comes later than with the no-op, beyond the window's own hold, p99, the same streams",
        _chunk("beyond_event_p99_ms"),
        10.0,
    ),
    Promise("ms of a processor for a prompt of 220 KB", _prompt_ms, 3.0),
    Promise("ms that 64 such prompts at once hold up a stream longer than with the no-op, at most", _stalled, 20.0),
    Promise(
        "times LiteLLM's requests a second, with its guard",
        lambda figures: _share(
            _short("per_s", "patterns, limits")(figures), _short("per_s", "LiteLLM, guard")(figures)
        ),
        10.0,
        least=True,
    ),
    Promise(
        "of what LiteLLM adds to the median of a short chat",
        lambda figures: _share(
            _short("added_p50_ms", "patterns, limits")(figures), _short("added_p50_ms", "LiteLLM, guard")(figures)
        ),
        0.2,
    ),
    Promise(
        "ms that `overlap` with a model adds to the first token, where the model server takes longer than the verdict",
        lambda figures: _less(_first(figures, "screen, overlap, follow"), _first(figures, "patterns, follow")),
        1.0,
    ),
    Promise("of its peak is the goodput at three times capacity", _over("of peak"), 0.8, least=True),
    Promise("of all had no clear answer then", _over("neither"), 0.0),
)


def rows(figures: Figures) -> list[dict[str, Any]]:
    """A row for each promise."""
    found = []
    for promise in PROMISES:
        value = promise.figure(figures)
        said = "" if value is None else "yes" if promise.kept(value) else "no"
        bound = f"{'≥' if promise.least else '≤'} {promise.bound:g}"
        found.append({"": promise.words, "figure": value, "wanted": bound, "kept": said})
    return found

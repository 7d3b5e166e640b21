"""Figures as tables, in Markdown, and as plots. A section is a list of rows; a row is names and numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import headlines

Row = Mapping[str, Any]

NAMES = ("scenario", "processor", "connections", "streams", "rate", "load")
"""What a row is about; everything else in it was measured."""

SECTIONS = {
    "capacity": "Good answers a second, as many as the connections get (closed loop), the share of others, and each "
    "part's processor time for one. Ratios are the medians of the rounds'.",
    "latency": "Milliseconds from when a request was due to its last byte (open loop, Poisson arrivals), and how much "
    "of that is above no filter at the same load.",
    "streams": "Streamed answers: the first event from when it was asked for, the time between two reads, how long an "
    "event travelled from model server to client; processor time for a chunk. `hold` is how long the window itself "
    "holds an event up, worked out on a clock that nothing delays; `beyond` is an event's travel without that and "
    "without the travel with the no-op, at the same percentile of the same round. Medians of the rounds.",
    "overlap": "The first event of a model server that takes 200 ms to begin. Triton has a core to itself.",
    "overload": "Goodput: answers with 200 within 2 s of when the request was due, a second. `load` is a multiple of "
    "what 64 connections of the filter get answered. Client, Envoy and model server share the cores: the no-op's rows "
    "say what they leave.",
    "beside": "Streams, alone and beside prompts of 220 KB that come all at once; the processor's time for a prompt, "
    "the streams' own included. `held up` is how much later than alone the last of all events was. Medians of the "
    "rounds.",
    "many": "Streams that are silent, and streams that are not beside them.",
}
"""By its key, what a section says."""

_DIGITS = {"ms": 2, "us": 0, "s": 0, "mib": 0, "kib": 1}


def markdown(figures: Mapping[str, Any], plots: str = "") -> str:
    """All sections, under the machine's name."""
    parts = [f"# Benchmark\n\n{machine(figures['machine'])}\n"]
    if plots:
        parts.append(f"![]({plots})\n")
    parts.append(f"## Promises\n\n{table(headlines.rows(figures))}")
    for key, words in SECTIONS.items():
        if figures.get(key):
            parts.append(f"## {key.capitalize()}\n\n{words}\n\n{table(figures[key])}")
    return "\n".join(parts)


def machine(named: Mapping[str, Any]) -> str:
    """A line about the machine."""
    return ", ".join(f"{name} {value}" for name, value in named.items())


def table(rows: Sequence[Row]) -> str:
    """A Markdown table: a column for each name that any row has."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["| " + " | ".join(name.replace("_", " ") for name in columns) + " |"]
    lines.append("|" + "|".join("---" if name in ("scenario", "processor") else "--:" for name in columns) + "|")
    lines += ["| " + " | ".join(cell(name, row.get(name)) for name in columns) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def cell(name: str, value: object) -> str:
    """A number with as many digits as it deserves."""
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    digits = _DIGITS.get(name.rpartition("_")[2], 2)
    return f"{value:,.{digits}f}" if name not in ("rate", "load") else f"{value:g}"


def plot(figures: Mapping[str, Any], path: Path) -> None:
    """What matters of them, as one picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 2, figsize=(15, 10), layout="constrained")
    capacity = [row for row in figures.get("capacity", []) if row["scenario"] == "short chat"]
    _bars(
        axes[0][0], [row for row in capacity if row["connections"] == 16], "per_s", "requests/s, short chat, 16 conn."
    )
    latency = [row for row in figures.get("latency", []) if "added_p50_ms" in row and row["processor"] != "none"]
    one = [row for row in latency if row["scenario"] == "short chat" and row["connections"] == 1]
    _bars(axes[0][1], one, "added_p50_ms", "ms added to the median of a short chat, 1 connection")
    chunk = [row for row in figures.get("streams", []) if row["streams"] == 150 and "processor_us" in row]
    _bars(axes[1][0], chunk, "processor_us", "µs of a processor for a chunk, 150 streams of 50 events/s")
    curve: dict[str, list[tuple[float, float]]] = {}
    for row in figures.get("overload", []):
        curve.setdefault(row["processor"], []).append((row["load"], row["goodput_per_s"]))
    for name, points in curve.items():
        axes[1][1].plot(*zip(*points, strict=True), marker="o", label=name)
    axes[1][1].set(title="goodput/s at a load, in multiples of capacity", ylim=(0, None))
    if curve:
        axes[1][1].legend()
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def _bars(axis: Any, rows: Sequence[Row], name: str, title: str) -> None:
    labels = [row["processor"] for row in rows]
    axis.barh(labels[::-1], [row[name] for row in rows][::-1])
    axis.set_title(title)

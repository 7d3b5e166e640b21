"""Charts as SVG inside a page: bars to both sides, and curves. No library, no script; the same data, the same bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

COLOURS = ("#7a8b99", "#c0392b", "#2471a3", "#b7950b")
UP, DOWN = "#c0392b", "#2e8b57"

WIDTH, LABELS, ROW = 760, 220, 22
"""Of a chart, of the names at its left, and the height of a bar's row, in pixels."""

Point = tuple[float, float]


def both_ways(rows: Sequence[tuple[str, int, int]], names: tuple[str, str]) -> str:
    """A bar to the right and one to the left of each name. `names` say what they count."""
    most = max((max(right, left) for _, right, left in rows), default=0)
    if not most:
        return ""
    half = (WIDTH - LABELS - 120) / 2
    middle = LABELS + 60 + half
    parts = [_legend(middle, names)]
    for number, (name, right, left) in enumerate(rows):
        top = 24 + number * ROW
        parts.append(_text(LABELS - 8, top + 15, name, "end"))
        for count, sign, colour, anchor in ((right, 1, UP, "start"), (left, -1, DOWN, "end")):
            if count:
                long = max(1.0, half * count / most)
                at = middle if sign > 0 else middle - long
                parts.append(
                    f'<rect x="{at:.1f}" y="{top + 3}" width="{long:.1f}" height="{ROW - 8}" fill="{colour}"/>'
                )
                parts.append(_text(middle + sign * (long + 5), top + 15, f"{count:,}", anchor))
    height = 30 + len(rows) * ROW
    parts.append(f'<line x1="{middle}" y1="22" x2="{middle}" y2="{height - 6}" stroke="#999"/>')
    return _svg(height, parts)


def intervals(rows: Sequence[tuple[str, float, float, float]]) -> str:
    """A share with its interval for each name, on one axis from 0 to the highest bound."""
    most = max((high for *_, high in rows if math.isfinite(high)), default=0.0)
    if most <= 0:
        return ""
    wide = WIDTH - LABELS - 130
    parts = []
    for number, (name, value, low, high) in enumerate(rows):
        y = 14 + number * ROW
        xs = [LABELS + wide * max(0.0, each) / most for each in (low, value, high)]
        colour = COLOURS[number % len(COLOURS)]
        parts += [
            _text(LABELS - 8, y + 4, name, "end"),
            f'<line x1="{xs[0]:.1f}" y1="{y}" x2="{xs[2]:.1f}" y2="{y}" stroke="{colour}" stroke-width="3"/>',
            f'<circle cx="{xs[1]:.1f}" cy="{y}" r="5" fill="{colour}"/>',
            _text(xs[2] + 10, y + 4, f"{100 * value:.3f} %", "start"),
        ]
    return _svg(8 + len(rows) * ROW, parts)


def curves(found: Mapping[str, Sequence[Point]], unit: str) -> str:
    """Cumulative shares over a logarithmic axis, a line for each name."""
    points = [point for line in found.values() for point in line]
    if not points:
        return ""
    low = math.floor(math.log10(max(0.1, min(x for x, _ in points))))
    high = max(low + 1, math.ceil(math.log10(max(x for x, _ in points))))
    left, top, wide, tall = 60, 10, WIDTH - 90, 220

    def place(x: float, y: float) -> tuple[float, float]:
        along = (math.log10(max(x, 10.0**low)) - low) / (high - low)
        return left + wide * along, top + tall * (1 - y)

    parts = []
    for power in range(low, high + 1):
        x, _ = place(10.0**power, 0)
        parts.append(f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{top + tall}" stroke="#e4e4e4"/>')
        parts.append(_text(x, top + tall + 16, f"{10.0**power:g} {unit}", "middle"))
    for share in (0.0, 0.5, 0.95, 1.0):
        _, y = place(1.0, share)
        parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{left + wide}" y2="{y:.1f}" stroke="#e4e4e4"/>')
        parts.append(_text(left - 6, y + 4, f"{share:g}", "end"))
    for number, (name, line) in enumerate(found.items()):
        colour, last = COLOURS[number % len(COLOURS)], 0.0
        path = []
        for x, share in line:
            path += [place(x, last), place(x, share)]
            last = share
        drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in path)
        parts.append(f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<rect x="{left + 12}" y="{top + 10 + 18 * number}" width="12" height="12" fill="{colour}"/>')
        parts.append(_text(left + 30, top + 20 + 18 * number, name, "start"))
    return _svg(top + tall + 26, parts)


def _legend(middle: float, names: tuple[str, str]) -> str:
    return _text(middle + 8, 14, f"{names[0]} →", "start") + _text(middle - 8, 14, f"← {names[1]}", "end")


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(height: float, parts: Sequence[str]) -> str:
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}"'
    return f'{opening} font-family="system-ui, sans-serif" font-size="12" role="img">{"".join(parts)}</svg>'

"""Curves of a label as one PNG: precision and recall, ROC, calibration. Needs matplotlib, which is loaded late."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec

import numpy as np

from safeguards_extproc.errors import ConfigError
from safeguards_extproc.evaluate.figures import Bools, Doubles, Floats, calibration, levels

MOST = 5
"""Scores that are drawn for a label, best match first."""

HINT = 'pip install "safeguards-extproc[eval]"'


@dataclass(frozen=True, slots=True)
class Curve:
    """A score on the texts that have it and the label."""

    name: str
    scores: Floats = field(repr=False)
    labels: Bools = field(repr=False)


def available() -> None:
    """ConfigError if plots cannot be made here."""
    if find_spec("matplotlib") is None:
        raise ConfigError("plots need matplotlib, which is not installed", where="--html, --plots", hint=HINT)


def points(curve: Curve) -> tuple[Doubles, Doubles, Doubles]:
    """Recall, precision and the share of false positives at each distinct score as the threshold, highest first."""
    counted = levels(curve.scores, curve.labels)
    recall = counted.true / counted.true[-1]
    return recall, counted.true / (counted.true + counted.false), counted.false / counted.false[-1]


def draw(label: str, curves: Sequence[Curve]) -> bytes:
    """The PNG of a label; each curve has both classes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    precision_recall, roc, calibrated = figure.subplots(1, 3)
    for curve in curves[:MOST]:
        recall, precision, false = points(curve)
        precision_recall.step(recall, precision, where="post", label=curve.name)
        roc.plot(np.maximum(np.append(0.0, false), 1e-4), np.append(0.0, recall), label=curve.name)
        means, shares, _ = zip(*calibration(curve.scores, curve.labels), strict=True)
        calibrated.plot(means, shares, marker="o", markersize=3, label=curve.name)
    precision_recall.set(title=f"{label}: precision and recall", xlabel="recall", ylabel="precision")
    roc.set(title="ROC", xlabel="false positives (logarithmic)", ylabel="recall", xscale="log", xlim=(1e-4, 1.0))
    for share in (0.001, 0.01):
        roc.axvline(share, color="#bbb", linewidth=0.8, linestyle=":")
    calibrated.plot((0, 1), (0, 1), color="#bbb", linewidth=0.8, linestyle=":")
    calibrated.set(title="calibration", xlabel="mean score", ylabel="share of positives", xlim=(0, 1))
    for axes in (precision_recall, roc, calibrated):
        axes.set_ylim(0.0, 1.02)
        axes.grid(alpha=0.2)
    precision_recall.legend(fontsize=8)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110, metadata={"Software": None})
    return out.getvalue()

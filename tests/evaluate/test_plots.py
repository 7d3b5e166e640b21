"""Curves: the points are the figures', and a PNG comes out."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from safeguards_extproc.errors import ConfigError
from safeguards_extproc.evaluate.figures import auprc
from safeguards_extproc.evaluate.plots import Curve, available, draw, points

pytestmark = pytest.mark.long

SCORES = np.array([0.9, 0.8, 0.8, 0.3, 0.1], np.float32)
LABELS = np.array([True, True, False, True, False])
CURVE = Curve("screen.attack", SCORES, LABELS)


def test_the_points_make_the_area() -> None:
    """Average precision is the area under the drawn steps."""
    recall, precision, false = points(CURVE)
    assert pytest.approx([1 / 3, 2 / 3, 1, 1]) == list(recall)
    assert pytest.approx([0, 0.5, 0.5, 1]) == list(false)
    assert pytest.approx(auprc(SCORES, LABELS)) == float((np.diff(recall, prepend=0) * precision).sum())


def test_a_label_is_one_picture() -> None:
    """PNG, and the same bytes for the same curves."""
    picture = draw("attack", [CURVE, Curve("screen.any", SCORES[::-1], LABELS)])
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert picture == draw("attack", [CURVE, Curve("screen.any", SCORES[::-1], LABELS)])
    assert "0.9" not in repr(CURVE)


def test_without_matplotlib_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is evaluated."""
    monkeypatch.setattr("safeguards_extproc.evaluate.plots.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"safeguards-extproc\[eval\]"):
        available()


@pytest.mark.real
def test_only_drawing_loads_it() -> None:
    """A report as JSON or text needs no plots."""
    program = "import safeguards_extproc.evaluate.output, sys; sys.exit('matplotlib' in sys.modules)"
    assert 0 == subprocess.run([sys.executable, "-c", program], check=False).returncode

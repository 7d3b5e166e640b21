"""Finds the folder `encoders` where it lies beside `triton_models`, or on PYTHONPATH; it has the code of this model."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[3]))

from encoders.backend import TritonPythonModel

__all__ = ["TritonPythonModel"]

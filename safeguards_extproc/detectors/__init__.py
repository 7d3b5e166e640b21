"""DETECTORS: what a policy may name as the kind of a detector that runs in process.

Each maps (name, options) to a Detector and raises ConfigError, with the place inside the options, for what it cannot
use. Adding one is a module and a row here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from safeguards_extproc.detectors.detector import Detector
from safeguards_extproc.detectors.patterns import patterns
from safeguards_extproc.detectors.pii import pii
from safeguards_extproc.detectors.secrets import secrets

DETECTORS: dict[str, Callable[[str, Mapping[str, object]], Detector]] = {
    "patterns": patterns,
    "secrets": secrets,
    "pii": pii,
}

__all__ = ["DETECTORS", "Detector"]

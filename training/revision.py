"""A model's configuration names its weights, so that every answer, and every record, says which they were."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path


def revise(config: Path, weights: Path) -> str:
    """Write the revision of the weights (the beginning of their SHA-256) into the model's configuration."""
    revision = sha256(weights.read_bytes()).hexdigest()[:12]
    text = config.read_text(encoding="utf-8")
    pattern = r'(key: "revision" value \{ string_value: ")[^"]*'
    config.write_text(re.sub(pattern, rf"\g<1>{revision}", text), encoding="utf-8")
    return revision

"""A model's configuration names its weights."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from training.revision import revise

MODELS = Path(__file__).parents[2] / "triton_models"


@pytest.mark.parametrize("name", ["screen", "guard", "exchange"])
def test_the_revision_is_written_in_its_place_only(tmp_path: Path, name: str) -> None:
    """Everything else in the configuration stays as it was."""
    config, weights = tmp_path / "config.pbtxt", tmp_path / "weights"
    before = (MODELS / name / "config.pbtxt").read_text(encoding="utf-8")
    config.write_text(before, encoding="utf-8")
    weights.write_bytes(b"other")
    revision = revise(config, weights)
    assert sha256(b"other").hexdigest().startswith(revision)
    after = config.read_text(encoding="utf-8")
    assert [f'parameters {{ key: "revision" value {{ string_value: "{revision}" }} }}'] == [
        line for line in after.splitlines() if line not in before.splitlines()
    ]
    assert len(before.splitlines()) == len(after.splitlines())

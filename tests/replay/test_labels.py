"""What people say that exchanges deserve."""

from __future__ import annotations

from pathlib import Path

import pytest

from safeguards_extproc.errors import ConfigError
from safeguards_extproc.replay.labels import read


def test_labels_by_id(tmp_path: Path) -> None:
    """A line each; empty lines are none."""
    file = tmp_path / "labels.jsonl"
    file.write_text('{"id": "a", "label": "block"}\n\n{"id": "b", "label": "allow"}\n')
    assert {"a": "block", "b": "allow"} == read(file)


@pytest.mark.parametrize("line", ['{"id": "a", "label": "maybe"}', '{"id": 1, "label": "block"}', "no", "\udcff"])
def test_what_is_no_label_is_named(tmp_path: Path, line: str) -> None:
    """By file and line."""
    file = tmp_path / "labels.jsonl"
    file.write_bytes(b'{"id": "a", "label": "block"}\n' + line.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError, match=r"labels.jsonl:2"):
        read(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path / "absent.jsonl")

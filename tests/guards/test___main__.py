"""One command makes a model of a mounted checkpoint, and pins a changed one anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2  # type: ignore[import-untyped]

from guards.__main__ import config, main
from guards.checkpoint import verify
from guards.rows import ROWS, Classifier, labels
from safeguards_extproc.adapters.kserve import Profile, read_profile
from tests.guards.tiny import make

pytestmark = pytest.mark.long


def profile(text: str) -> Profile:
    """What the filter reads in a config.pbtxt."""
    return read_profile(text_format.Parse(text, model_config_pb2.ModelConfig()))


@pytest.mark.parametrize("name", ROWS)
def test_the_configuration_tells_clients_labels_and_inputs(name: str) -> None:
    """As the row has them."""
    row = ROWS[name]
    told = profile(config(name, row, "mine", gpu=False))
    assert told.labels == labels(row)
    assert told.inputs == (("TEXT",) if isinstance(row, Classifier) else ("PROMPT", "TEXT"))


def test_a_model_is_made_and_pinned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its revision is in the configuration, so it is in every record."""
    make(tmp_path / "guard" / "1", "prompt-guard-2")
    assert main(["prompt-guard-2", str(tmp_path / "guard"), "--gpu"]) == 0
    text = (tmp_path / "guard" / "config.pbtxt").read_text()
    revision = verify(tmp_path / "guard" / "1").revision
    assert profile(text).revision == revision
    assert "KIND_GPU" in text
    assert (tmp_path / "guard" / "1" / "model.py").exists()
    assert revision in capsys.readouterr().out


def test_pinning_again_keeps_what_the_operator_wrote(tmp_path: Path) -> None:
    """But for the revision, which follows the files."""
    judge = tmp_path / "judge"
    assert main(["judge", str(judge), "--judge", "http://vllm:8000/v1", "gpt-oss"]) == 0
    path = judge / "config.pbtxt"
    before = profile(path.read_text()).revision
    path.write_text(path.read_text().replace("count: 4", "count: 9"))
    (judge / "1" / "policy.md").write_text("Our policy.")
    assert main(["judge", str(judge)]) == 0
    assert profile(path.read_text()).revision != before
    assert "count: 9" in path.read_text()
    assert '"http://vllm:8000/v1"' in path.read_text()
    assert '"gpt-oss"' in path.read_text()


def test_what_cannot_be_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No checkpoint, no such row, no such label."""
    for arguments, why in (
        (["llama-guard-3", str(tmp_path / "a")], "checkpoint/ cannot be read"),
        (["nothing", str(tmp_path / "b")], "no row is called nothing"),
        (["judge", str(tmp_path / "c"), "--labels", "hate"], "judge has no label hate"),
    ):
        assert main(arguments) == 1
        assert why in capsys.readouterr().err

"""What is loaded is what was pinned, in safetensors, whole; or nothing is."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from encoders.checkpoint import BadCheckpoint
from guards.checkpoint import Manifest, load, pin, policy, verify
from guards.rows import ROWS
from tests.guards.conftest import short
from tests.guards.tiny import make

pytestmark = pytest.mark.long

NAME = "llama-guard-3"


def spoil(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a bit of the weights": (
        lambda one: spoil(one / "checkpoint/model.safetensors"),
        "model.safetensors does not have",
    ),
    "the template": (
        lambda one: spoil(one / "checkpoint/tokenizer_config.json"),
        "tokenizer_config.json does not have",
    ),
    "a file more": (lambda one: (one / "checkpoint/chat_template.jinja").write_text("safe"), "jinja is not pinned"),
    "a file less": (
        lambda one: (one / "checkpoint/generation_config.json").unlink(),
        "generation_config.json is missing",
    ),
    "no manifest": (lambda one: (one / "manifest.json").unlink(), "manifest.json cannot be read"),
    "a broken manifest": (lambda one: (one / "manifest.json").write_text("{"), "manifest.json"),
    "another row": (lambda one: (one / "manifest.json").write_text('{"row": "x", "files": {}}'), "does not name"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_changed_since_is_not_loaded(folder: Path, change: str) -> None:
    """The error names the file."""
    assert verify(folder).row == NAME
    plant, named = CHANGES[change]
    plant(folder)
    with pytest.raises(BadCheckpoint, match=named):
        verify(folder)


class Evil:
    """Runs code where it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return print, ("unpickled",)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pth", "state.pkl"])
def test_a_pickle_is_refused_by_name(tmp_path: Path, name: str) -> None:
    """Even beside good weights: it cannot be loaded by accident."""
    make(tmp_path, NAME)
    (tmp_path / "checkpoint" / name).write_bytes(pickle.dumps(Evil()))
    with pytest.raises(BadCheckpoint, match=f"{name} may be a pickle"):
        pin(tmp_path, NAME)


@pytest.mark.parametrize("data", [pickle.dumps(Evil()) + bytes(64), b"", b"\xff" * 8 + b"{" + bytes(9), b"PK\3\4" * 9])
def test_a_pickle_is_refused_by_its_bytes(tmp_path: Path, data: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    """Under the name of safetensors, with a digest of its own."""
    make(tmp_path, NAME)
    (tmp_path / "checkpoint/model.safetensors").write_bytes(data)
    with pytest.raises(BadCheckpoint, match="not a safetensors file"):
        pin(tmp_path, NAME)
    assert capsys.readouterr().out == ""


def lose_a_tensor(checkpoint: Path) -> None:
    tensors = load_file(checkpoint / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, checkpoint / "model.safetensors", {"format": "pt"})


def lose_the_weights(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").unlink()


def edit(checkpoint: Path, change: Callable[[dict], None]) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    change(config)
    (checkpoint / "config.json").write_text(json.dumps(config))


def pin_and_load(folder: Path) -> None:
    pin(folder, NAME)
    load(folder, short(NAME))


UNFIT: dict[str, tuple[Callable[[Path], object], str]] = {
    "another architecture": (lambda one: edit(one, lambda c: c.update(model_type="qwen3")), "describes a qwen3"),
    "a tensor missing": (lose_a_tensor, "lack 1 tensors of the model"),
    "a tensor of another shape": (lambda one: edit(one, lambda c: c.update(intermediate_size=48)), "size|lack"),
    "no tokenizer": (lambda one: (one / "tokenizer.json").unlink(), "tokenizer.json is missing"),
    "no configuration": (lambda one: (one / "config.json").unlink(), "config.json cannot be read"),
    "no weights": (lose_the_weights, "no .safetensors file"),
}


@pytest.mark.parametrize("fault", UNFIT)
def test_what_does_not_fit_the_row_is_not_loaded(tmp_path: Path, fault: str) -> None:
    """transformers alone would fill the gaps with random numbers, and warn."""
    plant, named = UNFIT[fault]
    plant(make(tmp_path, NAME) / "checkpoint")
    with pytest.raises(BadCheckpoint, match=named):
        pin_and_load(tmp_path)


def test_code_of_the_checkpoint_is_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An `auto_map` points to a module in the folder."""
    checkpoint = make(tmp_path, NAME) / "checkpoint"
    (checkpoint / "modeling.py").write_text("print('ran')")
    edit(checkpoint, lambda c: c.update(auto_map={"AutoConfig": "modeling.C", "AutoModelForCausalLM": "modeling.M"}))
    load(tmp_path, short(NAME))
    assert capsys.readouterr().out == ""


def test_a_template_in_a_file_of_its_own_is_found(tmp_path: Path) -> None:
    """As older repositories have it."""
    checkpoint = make(tmp_path, NAME) / "checkpoint"
    told = json.loads((checkpoint / "tokenizer_config.json").read_text())
    (checkpoint / "chat_template.json").write_text(json.dumps({"chat_template": told.pop("chat_template")}))
    (checkpoint / "tokenizer_config.json").write_text(json.dumps(told))
    assert "Is {{ judged }} safe?" in load(tmp_path, short(NAME)).tokenizer.chat_template


def test_the_revision_is_that_of_every_file_and_the_policy(tmp_path: Path) -> None:
    """A record shows which policy a model was told."""
    first = pin(tmp_path, "judge")
    assert policy(tmp_path, ROWS["judge"]).startswith("You decide")
    assert pin(tmp_path, "judge") == verify(tmp_path) == first
    (tmp_path / "policy.md").write_text("Another policy.")
    second = pin(tmp_path, "judge")
    assert first.revision != second.revision
    assert Manifest("other", second.files).revision != second.revision


def test_an_unknown_row_is_named(tmp_path: Path) -> None:
    """With those that there are."""
    with pytest.raises(BadCheckpoint, match="no row is called lama: there are prompt-guard-2"):
        pin(tmp_path, "lama")

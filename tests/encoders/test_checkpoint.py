"""What is loaded is what was saved, or nothing is."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
import torch

from encoders.checkpoint import BadCheckpoint, installed, load, revision
from encoders.head import platt
from tests.encoders.tiny import make_base, make_model

pytestmark = pytest.mark.long

LABELS = ("attack", "hate", "toxic")
IDS = torch.arange(20).view(2, 10) + 4
MASK = torch.tensor([[True] * 10, [True] * 4 + [False] * 6])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A version folder with a base of its own and a model."""
    make_model(tmp_path, make_base(tmp_path / "base"), LABELS)
    return tmp_path


def test_a_loaded_model_scores_as_the_one_that_was_saved(tmp_path: Path) -> None:
    """Adapters merged, head and calibration in place: the same probabilities, to half precision's error."""
    encoder, head = make_model(tmp_path, make_base(tmp_path / "base"), LABELS)
    loaded = load(tmp_path)
    with torch.inference_mode():
        expected = platt([1.5] * 3, [0.25] * 3)(head(encoder(IDS, MASK)))
        scored = loaded.calibration(loaded.head(loaded.encoder(IDS, MASK)))
    assert loaded.labels == LABELS
    torch.testing.assert_close(scored, expected, atol=2e-3, rtol=0)


def test_the_revision_is_the_beginning_of_the_weights_digest(folder: Path) -> None:
    """Records can be traced to these very bytes."""
    expected = sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    assert expected.startswith(revision(load(folder).manifest))


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def edit(folder: Path, change: Callable[[dict], None]) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def resign(folder: Path, data: bytes) -> None:
    """Other weights, with the digest that belongs to them."""
    (folder / "weights.safetensors").write_bytes(data)
    edit(folder, lambda manifest: manifest["weights"].update(sha256=sha256(data).hexdigest()))


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a bit of the weights": (lambda folder: flip(folder / "weights.safetensors", -1), "digest"),
    "a bit of the base": (lambda folder: flip(folder / "base" / "model.safetensors", -1), "model.safetensors.*digest"),
    "another digest": (lambda folder: edit(folder, lambda m: m["weights"].update(sha256="0" * 64)), "digest"),
    "a pickle": (lambda folder: resign(folder, b"\x80\x04" + bytes(64)), "not a safetensors file"),
    "a header past the end": (lambda folder: resign(folder, b"\xff" * 8 + b"{" + bytes(64)), "not a safetensors file"),
    "nothing in it": (lambda folder: resign(folder, b""), "not a safetensors file"),
    "no weights": (lambda folder: (folder / "weights.safetensors").unlink(), "cannot be read"),
    "no manifest": (lambda folder: (folder / "manifest.json").unlink(), "manifest.json cannot be read"),
    "a broken manifest": (lambda folder: (folder / "manifest.json").write_text("{"), "manifest.json"),
    "a label twice": (lambda folder: edit(folder, lambda m: m.update(labels=["a", "b", "a"])), "labels"),
    "a label fewer": (lambda folder: edit(folder, lambda m: m.update(labels=["a", "b"])), "weights.safetensors"),
    "another reading": (lambda folder: edit(folder, lambda m: m["reading"].update(window=512)), "longer than"),
    "an impossible reading": (lambda folder: edit(folder, lambda m: m["reading"].update(overlap=60)), "overlaps"),
    "another encoder": (
        lambda folder: (folder / "base" / "config.json").write_text('{"model_type": "t5"}'),
        "does not describe a BERT",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_not_what_the_manifest_says_is_not_loaded(folder: Path, fault: str) -> None:
    """A changed bit, another format, a missing or unfitting part: an error that names the file, and no model."""
    plant, named = FAULTS[fault]
    plant(folder)
    with pytest.raises(BadCheckpoint, match=named):
        load(folder)


def test_a_large_file_is_not_even_read(folder: Path) -> None:
    """A sparse file of 100 GB costs its look-up."""
    with (folder / "weights.safetensors").open("r+b") as file:
        file.truncate(100 << 30)
    with pytest.raises(BadCheckpoint, match="more than"):
        load(folder)


def test_the_installed_minilm_has_its_published_digest() -> None:
    """The encoder that everybody adapts loads, and is the six layers that it should be."""
    encoder = installed().encoder()
    assert (encoder.config.layers, encoder.config.hidden) == (6, 384)

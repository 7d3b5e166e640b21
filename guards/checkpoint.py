"""A mounted checkpoint: pinned once by its digests, loaded only if it still has them, as safetensors and nothing else.

A version folder holds `checkpoint/` (a folder of Hugging Face, mounted), `policy.md` where the row has a policy, and
`manifest.json` with the row and the SHA-256 of every file. The one rule: no code and no pickle of a checkpoint is run,
and nothing is fetched.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import torch
import transformers

from encoders.checkpoint import MOST_HEADER, MOST_TEXT, BadCheckpoint, digest, read
from guards.rows import ROWS, Classifier, Judge, Row, Writer

transformers.logging.set_verbosity_error()

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
FOLDER, MANIFEST, POLICY = "checkpoint", "manifest.json", "policy.md"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was pinned: the row, and the SHA-256 of each file by its path in the version folder."""

    row: str
    files: Mapping[str, str]

    @property
    def revision(self) -> str:
        """What clients see of all of it in every answer's version."""
        text = json.dumps({"row": self.row, "files": dict(self.files)}, sort_keys=True)
        return sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model and its tokenizer, ready to run, and the policy that it is told ("" where the row has none)."""

    row: Classifier | Writer
    tokenizer: Any
    model: Any
    policy: str = ""


def pin(folder: Path, name: str) -> Manifest:
    """Write the manifest of a version folder for the row `name`, and the row's policy where there is none yet.

    BadCheckpoint for an unknown row, a pickle, or weights that are no safetensors.
    """
    row = ROWS.get(name)
    if row is None:
        raise BadCheckpoint(f"no row is called {name}: there are {', '.join(ROWS)}")
    if row.policy and not (folder / POLICY).exists():
        (folder / POLICY).write_text(row.policy, encoding="utf-8")
    files = {path.relative_to(folder).as_posix(): digest(path) for path in _files(folder, row)}
    manifest = Manifest(name, files)
    text = json.dumps({"row": name, "files": files}, indent=1, ensure_ascii=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return manifest


def verify(folder: Path) -> Manifest:
    """The manifest of a version folder, every file of which is as it was pinned. BadCheckpoint if not."""
    try:
        told = json.loads(read(folder / MANIFEST, MOST_TEXT, ""))
    except ValueError as error:
        raise BadCheckpoint(f"{MANIFEST}: {error}") from None
    match told:
        case {"row": str(name), "files": {**told_files}} if name in ROWS:
            files = {str(path): str(wanted) for path, wanted in told_files.items()}
        case _:
            raise BadCheckpoint(f"{MANIFEST} does not name a row and files")
    found = {path.relative_to(folder).as_posix(): path for path in _files(folder, ROWS[name])}
    for odd in sorted(found.keys() ^ files.keys()):
        raise BadCheckpoint(f"{odd} is {'not pinned' if odd in found else 'missing'}")
    for known, path in found.items():
        if digest(path) != files[known]:
            raise BadCheckpoint(f"{known} does not have the digest that was pinned")
    return Manifest(name, files)


def load(folder: Path, row: Classifier | Writer, device: str = "cpu") -> Checkpoint:
    """The model of a verified version folder on `device`. BadCheckpoint if it is not one of the row's kind, whole.

    On the processor it computes in single precision, on a GPU in the row's.
    """
    checkpoint = folder / FOLDER
    kind = _json(checkpoint / "config.json").get("model_type")
    if kind != row.kind:
        raise BadCheckpoint(f"config.json describes a {kind}, not a {row.kind}")
    if not (checkpoint / "tokenizer.json").is_file():
        raise BadCheckpoint("tokenizer.json is missing: the tokenizer is read from it alone")
    dtype = torch.float32 if torch.device(device).type == "cpu" else getattr(torch, row.dtype)
    here = {"local_files_only": True, "trust_remote_code": False}
    try:
        config = transformers.AutoConfig.from_pretrained(checkpoint, **here)
        model, told = getattr(transformers, row.loads).from_pretrained(
            checkpoint,
            config=config.get_text_config(),
            use_safetensors=True,
            dtype=dtype,
            output_loading_info=True,
            **here,
        )
        tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(checkpoint, **here)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise BadCheckpoint(f"transformers: {type(error).__name__}: {error}") from None
    if lacking := [*told["missing_keys"], *told["mismatched_keys"]]:
        raise BadCheckpoint(f"the weights lack {len(lacking)} tensors of the model, {lacking[0]} for one")
    if tokenizer.chat_template is None and (path := checkpoint / "chat_template.json").is_file():
        tokenizer.chat_template = _json(path).get("chat_template")
    return Checkpoint(row, tokenizer, model.requires_grad_(False).eval().to(device), policy(folder, row))


def policy(folder: Path, row: Row) -> str:
    """The text of policy.md, "" where the row has no policy."""
    return read(folder / POLICY, MOST_TEXT, "").decode("utf-8", "replace") if row.policy else ""


def _files(folder: Path, row: Row) -> Iterator[Path]:
    """What is pinned, in order of path: hidden files and folders within the checkpoint are never read."""
    if row.policy:
        yield folder / POLICY
    if isinstance(row, Judge):
        return
    try:
        paths = [path for path in sorted((folder / FOLDER).iterdir()) if path.is_file() and path.name[0] != "."]
    except OSError as error:
        raise BadCheckpoint(f"{FOLDER}/ cannot be read: {error.strerror}") from None
    for path in paths:
        if path.suffix in PICKLES:
            raise BadCheckpoint(f"{path.name} may be a pickle, which can run code: mount safetensors alone")
    weights = [path for path in paths if path.suffix == ".safetensors"]
    _check(weights)
    yield from paths


def _check(weights: Sequence[Path]) -> None:
    """A safetensors file begins with the length of its header, 8 bytes, little-endian, and the header, a JSON object.
    https://github.com/huggingface/safetensors#format"""
    if not weights:
        raise BadCheckpoint(f"there is no .safetensors file in {FOLDER}/")
    for path in weights:
        with path.open("rb") as file:
            begins = file.read(9)
        header = int.from_bytes(begins[:8], "little")
        if begins[8:] != b"{" or header > min(16 * MOST_HEADER, path.stat().st_size - 8):
            raise BadCheckpoint(f"{path.name} is not a safetensors file")


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(read(path, MOST_TEXT, ""))
    except ValueError as error:
        raise BadCheckpoint(f"{path.name}: {error}") from None
    return value if isinstance(value, dict) else {}

"""An encoder small enough for tests, and a model on it, made anew wherever they are wanted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from encoders.adapters import add_adapters
from encoders.bert import Config, Encoder
from encoders.checkpoint import Base, local, save
from encoders.head import Head, platt
from encoders.reading import Reading

CONFIG = Config(vocabulary=128, hidden=32, layers=2, heads=4, inner=64, positions=64)
READING = Reading(window=64, overlap=8)


def make_base(folder: Path, config: Config = CONFIG, seed: int = 1) -> Base:
    """A published encoder with random weights that reads letters: `model.safetensors` and the rest, in `folder`."""
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    save_file(published(config), folder / "model.safetensors")
    described = {
        "model_type": "bert",
        "hidden_act": "gelu",
        "vocab_size": config.vocabulary,
        "hidden_size": config.hidden,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "intermediate_size": config.inner,
        "max_position_embeddings": config.positions,
        "type_vocab_size": config.types,
        "layer_norm_eps": config.eps,
    }
    (folder / "config.json").write_text(json.dumps(described))
    letters = [chr(code) for code in range(33, 127)]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{letter}" for letter in letters[-30:])]
    vocabulary = {word: number for number, word in enumerate(words[: config.vocabulary])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=1000))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [("[CLS]", 2), ("[SEP]", 3)]
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", ends)
    tokenizer.save(str(folder / "tokenizer.json"))
    return local(folder)


def published(config: Config) -> dict[str, torch.Tensor]:
    """Random tensors under the names of Hugging Face's BertModel."""
    hidden, inner = config.hidden, config.inner
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (config.vocabulary, hidden),
        "embeddings.position_embeddings.weight": (config.positions, hidden),
        "embeddings.token_type_embeddings.weight": (config.types, hidden),
    }
    norms = ["embeddings.LayerNorm"]
    linear: dict[str, tuple[int, int]] = {}
    for number in range(config.layers):
        name = f"encoder.layer.{number}"
        linear |= {f"{name}.attention.self.{part}": (hidden, hidden) for part in ("query", "key", "value")}
        linear |= {f"{name}.attention.output.dense": (hidden, hidden), f"{name}.intermediate.dense": (inner, hidden)}
        linear |= {f"{name}.output.dense": (hidden, inner)}
        norms += [f"{name}.attention.output.LayerNorm", f"{name}.output.LayerNorm"]
    shapes |= {f"{name}.weight": shape for name, shape in linear.items()}
    tensors = {name: torch.randn(shape) * 0.2 for name, shape in shapes.items()}
    tensors |= {f"{name}.bias": torch.randn(shape[0]) * 0.1 for name, shape in linear.items()}
    tensors |= {f"{name}.weight": 1 + torch.randn(hidden) * 0.1 for name in norms}
    return tensors | {f"{name}.bias": torch.randn(hidden) * 0.1 for name in norms}


def make_model(
    folder: Path, base: Base, labels: Sequence[str], reading: Reading = READING, rank: int = 4, seed: int = 2
) -> tuple[Encoder, Head]:
    """A model with random adapters and head in a version folder; returns what was saved, not merged."""
    torch.manual_seed(seed)
    encoder = base.encoder()
    for parameter in add_adapters(encoder, rank, 2.0 * rank):
        torch.nn.init.normal_(parameter, std=0.1)
    head = Head(3 * encoder.config.hidden, 16, len(labels)).eval()
    save(
        folder,
        encoder,
        head,
        platt([1.5] * len(labels), [0.25] * len(labels)),
        labels,
        reading,
        base,
        {"made": "for a test"},
    )
    return encoder, head

"""BERT in plain torch: ids in, a vector for each text out.

The arithmetic is that of "BERT: Pre-training of Deep Bidirectional Transformers" (Devlin et al., 2018), post-norm, with
the exact GELU. Query, key and value are one matrix product. A text is described by the mean and the maximum of its
tokens' states and by the state of its first token.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

MOST_CONFIG_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Config:
    """Sizes of an encoder. The defaults are those of MiniLM-L6."""

    vocabulary: int = 30522
    hidden: int = 384
    layers: int = 6
    heads: int = 12
    inner: int = 1536
    positions: int = 512
    types: int = 2
    eps: float = 1e-12


def read_config(path: Path) -> Config:
    """The sizes in a `config.json` of Hugging Face. ValueError for another architecture, or a broken file."""
    if path.stat().st_size > MOST_CONFIG_BYTES:
        raise ValueError("config.json is too large to be one")
    match json.loads(path.read_bytes()):
        case {
            "model_type": "bert",
            "hidden_act": "gelu",
            "vocab_size": int(vocabulary),
            "hidden_size": int(hidden),
            "num_hidden_layers": int(layers),
            "num_attention_heads": int(heads),
            "intermediate_size": int(inner),
            "max_position_embeddings": int(positions),
            "type_vocab_size": int(types),
            "layer_norm_eps": float(eps),
        } if min(vocabulary, hidden, layers, heads, inner, positions, types) > 0 and hidden % heads == 0:
            return Config(vocabulary, hidden, layers, heads, inner, positions, types, eps)
        case _:
            raise ValueError("config.json does not describe a BERT")


class Layer(nn.Module):
    """One block of attention and one of a two-layer network."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.hidden, 3 * config.hidden)
        self.out = nn.Linear(config.hidden, config.hidden)
        self.out_norm = nn.LayerNorm(config.hidden, config.eps)
        self.up = nn.Linear(config.hidden, config.inner)
        self.down = nn.Linear(config.inner, config.hidden)
        self.down_norm = nn.LayerNorm(config.hidden, config.eps)

    def forward(self, states: Tensor, allowed: Tensor | None) -> Tensor:
        """States [texts, tokens, hidden]; `allowed` [texts, 1, 1, tokens] says which tokens may be looked at."""
        texts, tokens, hidden = states.shape
        query, key, value = (
            self.qkv(states).view(texts, tokens, 3, self.heads, hidden // self.heads).permute(2, 0, 3, 1, 4)
        )
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
        states = self.out_norm(states + self.out(seen.transpose(1, 2).reshape(texts, tokens, hidden)))
        answer: Tensor = self.down_norm(states + self.down(functional.gelu(self.up(states))))
        return answer


class Encoder(nn.Module):
    """Texts as ids to vectors."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.words = nn.Embedding(config.vocabulary, config.hidden)
        self.places = nn.Embedding(config.positions, config.hidden)
        self.kinds = nn.Embedding(config.types, config.hidden)
        self.norm = nn.LayerNorm(config.hidden, config.eps)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))

    def states(self, ids: Tensor, mask: Tensor | None = None, types: Tensor | None = None) -> Tensor:
        """The last layer's states [texts, tokens, hidden] of `ids` [texts, tokens].

        `mask` is True (or 1) where there is a token, None where there are tokens everywhere; `types` are the numbers of
        the segments, None where all are 0.
        """
        kinds = self.kinds.weight[0] if types is None else self.kinds(types)
        states = self.norm(self.words(ids) + self.places.weight[: ids.shape[1]] + kinds)
        allowed = None if mask is None else mask.bool()[:, None, None, :]
        for layer in self.layers:
            states = layer(states, allowed)
        return cast(Tensor, states)

    def forward(self, ids: Tensor, mask: Tensor | None = None, types: Tensor | None = None) -> Tensor:
        """A vector for each text, [texts, 3 · hidden]: the mean and maximum over its tokens, and its first token."""
        return pool(self.states(ids, mask, types), mask)


def pool(states: Tensor, mask: Tensor | None) -> Tensor:
    """Mean, maximum and first of `states` over the tokens that `mask` has, [texts, 3 · hidden]."""
    if mask is None:
        return torch.cat((states.mean(1), states.amax(1), states[:, 0]), dim=1)
    there = mask.bool()[..., None]
    mean = (states * there).sum(1) / there.sum(1).clamp(min=1)
    largest = states.masked_fill(~there, torch.finfo(states.dtype).min).amax(1)
    return torch.cat((mean, largest, states[:, 0]), dim=1)


def from_published(config: Config, tensors: Mapping[str, Tensor]) -> Encoder:
    """An encoder with the weights of a `BertModel` of Hugging Face, without its pooler, which we don't use.

    ValueError if a tensor is missing or of another shape.
    """
    ours: dict[str, Tensor] = {}
    try:
        for name, theirs in (("words", "word"), ("places", "position"), ("kinds", "token_type")):
            ours[f"{name}.weight"] = tensors[f"embeddings.{theirs}_embeddings.weight"]
        for end in ("weight", "bias"):
            ours[f"norm.{end}"] = tensors[f"embeddings.LayerNorm.{end}"]
            for number in range(config.layers):
                theirs = f"encoder.layer.{number}"
                parts = [tensors[f"{theirs}.attention.self.{part}.{end}"] for part in ("query", "key", "value")]
                ours[f"layers.{number}.qkv.{end}"] = torch.cat(parts)
                for name, place in (
                    ("out", "attention.output.dense"),
                    ("out_norm", "attention.output.LayerNorm"),
                    ("up", "intermediate.dense"),
                    ("down", "output.dense"),
                    ("down_norm", "output.LayerNorm"),
                ):
                    ours[f"layers.{number}.{name}.{end}"] = tensors[f"{theirs}.{place}.{end}"]
        encoder = Encoder(config)
        encoder.load_state_dict(ours)
    except (KeyError, RuntimeError):
        raise ValueError("the weights are not those that config.json describes") from None
    return encoder

"""Low-rank adapters: what we train of an encoder, small enough to keep beside the code.

LoRA (Hu et al., 2021, arXiv:2106.09685): a linear layer's weight W becomes W + alpha / rank · B A, where A and B are
trained and W is not. Query, key and value share a matrix product here but not an adapter. `merge` adds the product to
W, so that serving costs what the bare encoder costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoders.bert import Encoder

PARTS = {"qkv": 3, "out": 1, "up": 1, "down": 1}
"""The adapted layers of a block, and how many adapters share each."""


class Adapted(nn.Module):
    """A frozen linear layer and its adapters; `b` begins at zero, so that nothing changes before training."""

    def __init__(self, linear: nn.Linear, parts: int, rank: int, alpha: float) -> None:
        super().__init__()
        self.linear = linear.requires_grad_(False)
        self.scale = alpha / rank
        self.a = nn.Parameter(torch.empty(parts, rank, linear.in_features))
        self.b = nn.Parameter(torch.zeros(parts, linear.out_features // parts, rank))
        nn.init.normal_(self.a, std=linear.in_features**-0.5)

    def forward(self, states: Tensor) -> Tensor:
        linear = self.linear
        answer: Tensor = _Merged.apply(  # type: ignore[no-untyped-call]
            states, linear.weight, linear.bias, self.a, self.b, self.scale
        )
        return answer

    def merged(self) -> nn.Linear:
        """One linear layer that does the same."""
        with torch.no_grad():
            self.linear.weight += self.scale * (self.b @ self.a).flatten(0, 1)
        return self.linear


class _Merged(torch.autograd.Function):
    """One product with W + scale · B A; its gradient never forms that of W, which would be as large as W."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, bias: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
        parts, outputs = b.shape[:2]
        merged = torch.baddbmm(weight.view(parts, outputs, -1), b, a, alpha=scale).flatten(0, 1)
        ctx.save_for_backward(states, merged, a, b)
        ctx.scale = scale
        return functional.linear(states, merged, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        states, merged, a, b = ctx.saved_tensors
        parts, outputs, rank = b.shape
        flat, inputs = gradient.reshape(-1, parts * outputs), states.reshape(-1, states.shape[-1])
        low = inputs @ a.flatten(0, 1).T
        to_a, to_b = torch.empty_like(a), torch.empty_like(b)
        for part in range(parts):
            some = flat[:, part * outputs : (part + 1) * outputs]
            to_a[part] = ctx.scale * ((some @ b[part]).T @ inputs)
            to_b[part] = ctx.scale * (some.T @ low[:, part * rank : (part + 1) * rank])
        return (flat @ merged).view_as(states), None, None, to_a, to_b, None


def add_adapters(encoder: Encoder, rank: int, alpha: float) -> list[nn.Parameter]:
    """Freeze the encoder and put adapters on every linear layer of its blocks; returns what is to be trained."""
    encoder.requires_grad_(False)
    trained = []
    for _, layer, name in _places(encoder):
        adapted = Adapted(getattr(layer, name), PARTS[name], rank, alpha)
        setattr(layer, name, adapted)
        trained += [adapted.a, adapted.b]
    return trained


def adapters(encoder: Encoder) -> dict[str, Tensor]:
    """The adapters' tensors by name, "layers.0.qkv.a" and so on; empty where there are none."""
    found = {}
    for number, layer, name in _places(encoder):
        adapted = getattr(layer, name)
        if isinstance(adapted, Adapted):
            found[f"layers.{number}.{name}.a"] = adapted.a.detach()
            found[f"layers.{number}.{name}.b"] = adapted.b.detach()
    return found


def set_adapters(encoder: Encoder, tensors: Mapping[str, Tensor]) -> None:
    """Give adapters that are in place their values. ValueError if any is missing, left over or of another shape."""
    wanted = adapters(encoder)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    if shapes != {name: tensor.shape for name, tensor in wanted.items()}:
        raise ValueError("the adapters do not fit the encoder")
    for name, tensor in wanted.items():
        tensor.copy_(tensors[name])


def merge(encoder: Encoder) -> Encoder:
    """Work every adapter into its layer, and take the adapters off; returns the encoder, without gradients."""
    for _, layer, name in _places(encoder):
        adapted = getattr(layer, name)
        if isinstance(adapted, Adapted):
            setattr(layer, name, adapted.merged())
    return encoder


def _places(encoder: Encoder) -> Iterator[tuple[int, nn.Module, str]]:
    for number, layer in enumerate(encoder.layers):
        for name in PARTS:
            yield number, layer, name

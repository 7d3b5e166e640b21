"""Adapters change nothing before training, and cost nothing once merged."""

from __future__ import annotations

import pytest
import torch

from encoders.adapters import Adapted, adapters, add_adapters, merge, set_adapters
from encoders.bert import Encoder, from_published
from tests.encoders.tiny import CONFIG, published

pytestmark = pytest.mark.long

IDS = torch.arange(24).view(2, 12) + 4


def adapted(*, trained: bool) -> tuple[Encoder, list[torch.nn.Parameter]]:
    torch.manual_seed(3)
    encoder = from_published(CONFIG, published(CONFIG)).eval()
    parameters = add_adapters(encoder, 4, 8.0)
    for parameter in parameters if trained else []:
        torch.nn.init.normal_(parameter, std=0.2)
    return encoder, parameters


def test_new_adapters_change_nothing() -> None:
    """Training starts from the published encoder."""
    torch.manual_seed(3)
    bare = from_published(CONFIG, published(CONFIG)).eval()
    with torch.no_grad():
        torch.testing.assert_close(adapted(trained=False)[0](IDS), bare(IDS))


def test_a_merged_encoder_does_what_the_adapted_one_did() -> None:
    """The same vectors, and no adapter is left."""
    encoder, _ = adapted(trained=True)
    with torch.no_grad():
        before = encoder(IDS)
        after = merge(encoder)(IDS)
    torch.testing.assert_close(after, before, atol=1e-4, rtol=0)
    assert not any(isinstance(module, Adapted) for module in encoder.modules())


def test_only_adapters_learn() -> None:
    """Every adapter gets a gradient, nothing else does, and they are all that is to be trained."""
    encoder, parameters = adapted(trained=True)
    torch.autograd.backward(encoder(IDS).square().sum())
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in parameters)
    learning = {id(parameter) for parameter in encoder.parameters() if parameter.requires_grad}
    assert learning == {id(parameter) for parameter in parameters}


def test_adapters_of_another_rank_are_refused() -> None:
    """Half a set of adapters is none."""
    encoder, _ = adapted(trained=True)
    narrower = {name: tensor[:, :2] for name, tensor in adapters(encoder).items()}
    with pytest.raises(ValueError, match="do not fit"):
        set_adapters(encoder, narrower)


@pytest.mark.parametrize("parts", [1, 3])
def test_the_gradient_is_that_of_the_plain_sum(parts: int) -> None:
    """W x + scale · B (A x), written out and left to autograd, has the same value and the same gradients."""
    torch.manual_seed(3)
    layer = Adapted(torch.nn.Linear(6, 4 * parts), parts, 2, 3.0).double()
    torch.nn.init.normal_(layer.b)
    states = torch.randn(2, 5, 6, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(2, 5, 4 * parts, dtype=torch.float64)
    wanted = (states, layer.a, layer.b)
    added = torch.cat([states @ a.T @ b.T for a, b in zip(layer.a, layer.b, strict=True)], dim=-1)
    plain = layer.linear(states) + layer.scale * added
    torch.testing.assert_close(plain, layer(states))
    torch.testing.assert_close(
        torch.autograd.grad((plain * weights).sum(), wanted),
        torch.autograd.grad((layer(states) * weights).sum(), wanted),
    )

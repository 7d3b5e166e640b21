"""Fits adapters and a head to texts, on top of an encoder that stays as it was published.

AdamW over masked cross-entropy. The learning rate rises for a twentieth of the way and falls to zero. Batches hold
texts of similar length, at most `Recipe.tokens` with their padding, in random order. Afterwards each label gets a
temperature and a bias (Platt, 1999) on texts that were held out.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from encoders.adapters import add_adapters
from encoders.bert import Encoder
from encoders.checkpoint import Base
from encoders.head import Calibration, Head, platt
from encoders.reading import Reader, Reading
from training.loss import MISSING, balance, masked_loss, targets

Text = str | tuple[str, str]
Taught = tuple[Text, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to fit. `tokens` a batch, padding included; `longest` tokens of a text; `width` of the head's inner layer."""

    seed: int = 7
    tokens: int = 2048
    most: int = 64
    longest: int = 320
    rate: float = 7e-4
    rank: int = 32
    alpha: float = 64.0
    width: int = 128
    drop: float = 0.1
    smooth: float = 0.02


@dataclass(frozen=True, slots=True)
class Network:
    """What is fitted: logits of texts."""

    encoder: Encoder
    head: Head
    labels: tuple[str, ...]
    reader: Reader

    def logits(self, ids: Tensor, mask: Tensor, types: Tensor, drop: float = 0.0) -> Tensor:
        """[texts, labels]."""
        vectors = self.encoder(ids, mask, types)
        return self.head(functional.dropout(vectors, drop, training=drop > 0))  # type: ignore[no-any-return]

    def batch(self, texts: Sequence[Text]) -> tuple[Tensor, Tensor, Tensor]:
        """Ids, mask and types [texts, tokens] of the first window of texts, or of pairs."""
        alone = [text if isinstance(text, str) else text[1] for text in texts]
        asked = [text[0] for text in texts if not isinstance(text, str)]
        found = self.reader.read([text.encode() for text in alone], [text.encode() for text in asked])
        ids = [found.ids[start] for start in found.starts[:-1]]
        lengths = torch.tensor([len(each) for each in ids])[:, None]
        seconds = torch.tensor([found.seconds[start] for start in found.starts[:-1]])[:, None]
        longest = int(lengths.max())
        places = torch.arange(longest)[None]
        padded = torch.tensor([each + [self.reader.padding] * (longest - len(each)) for each in ids])
        return padded, places < lengths, ((places >= seconds) & (places < lengths)).long()

    def read(self, texts: Sequence[Text]) -> NDArray[np.float32]:
        """Logits of the first windows of many texts, in their order, without gradients."""
        order = sorted(range(len(texts)), key=lambda each: _length(texts[each]))
        found = np.zeros((len(texts), len(self.labels)), np.float32)
        with torch.inference_mode():
            for at in range(0, len(order), 32):
                some = order[at : at + 32]
                found[some] = self.logits(*self.batch([texts[each] for each in some])).numpy()
        return found


def prepare(base: Base, labels: Sequence[str], recipe: Recipe, pair: bool = False) -> tuple[Network, list[Any]]:
    """A network around a base encoder, which gets adapters, and what of it is fitted."""
    torch.manual_seed(recipe.seed)
    encoder = base.encoder()
    fitted = add_adapters(encoder, recipe.rank, recipe.alpha)
    head = Head(3 * encoder.config.hidden, recipe.width, len(labels))
    reader = Reader(base.tokenizer(), Reading(recipe.longest, 0, pair))
    return Network(encoder, head, tuple(labels), reader), [*fitted, *head.parameters()]


def fit(
    network: Network, fitted: Sequence[nn.Parameter], passes: Sequence[Sequence[Taught]], recipe: Recipe,
    say: Callable[[str], None],
) -> None:  # fmt: skip
    """Fit to each pass in turn; `say` hears of the progress."""
    plans = [list(batches(drawn, recipe, number)) for number, drawn in enumerate(passes)]
    steps = sum(map(len, plans))
    weights = balance([labels for drawn in passes for _, labels in drawn], network.labels)
    optimiser = torch.optim.AdamW(fitted, lr=recipe.rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _warmth(step / max(1, steps)))
    done, total = 0, 0.0
    for plan in plans:
        for some in plan:
            wanted = targets([labels for _, labels in some], network.labels)
            logits = network.logits(*network.batch([text for text, _ in some]), recipe.drop)
            loss = masked_loss(logits, wanted, recipe.smooth, weights)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(fitted, 1.0)
            optimiser.step()
            schedule.step()
            done, total = done + 1, total + float(loss.detach())
            if done % 50 == 0:
                say(f"step {done} of {steps}, loss {total / 50:.4f}")
                total = 0.0


def batches(drawn: Sequence[Taught], recipe: Recipe, number: int) -> Iterator[list[Taught]]:
    """Every text once, those of similar length together."""
    made: list[list[Taught]] = []
    for start in range(0, len(drawn), 8192):
        some: list[Taught] = []
        for each in sorted(drawn[start : start + 8192], key=lambda each: _length(each[0])):
            tokens = min(recipe.longest, _length(each[0]) // 4 + 4)
            if some and (len(some) == recipe.most or tokens * (len(some) + 1) > recipe.tokens):
                made.append(some)
                some = []
            some.append(each)
        made.append(some)
    random.Random(recipe.seed + number).shuffle(made)  # noqa: S311
    yield from (some for some in made if some)


def calibrate(logits: NDArray[np.float32], wanted: NDArray[np.float32]) -> Calibration:
    """The temperature and bias of each label that make held-out labels likeliest; none for a label nobody judged."""
    temperatures, biases = [], []
    for column in range(logits.shape[1]):
        judged = wanted[:, column] != MISSING
        temperature, bias = _likeliest(logits[judged, column], wanted[judged, column])
        temperatures.append(temperature)
        biases.append(bias)
    return platt(temperatures, biases)


def _likeliest(logits: NDArray[np.float32], wanted: NDArray[np.float32]) -> tuple[float, float]:
    if len(wanted) == 0 or wanted.min() == wanted.max():
        return 1.0, 0.0
    raw, true = torch.tensor(logits, dtype=torch.float64), torch.tensor(wanted, dtype=torch.float64)
    slope = torch.zeros((), dtype=torch.float64, requires_grad=True)
    bias = torch.zeros((), dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([slope, bias], max_iter=60)

    def loss() -> Tensor:
        search.zero_grad()
        found = functional.binary_cross_entropy_with_logits(raw * slope.exp() + bias, true)
        torch.autograd.backward(found)
        return found

    search.step(loss)  # type: ignore[no-untyped-call]
    return float(torch.exp(-slope.detach()).clamp(0.2, 10.0)), float(bias.detach())


def _length(text: Text) -> int:
    return len(text) if isinstance(text, str) else len(text[0]) + len(text[1])


def _warmth(progress: float) -> float:
    """The share of the learning rate at a point of the way, 0 to 1."""
    return max(0.0, min(progress / 0.05, (1.0 - progress) / 0.95))

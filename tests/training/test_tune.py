"""Fitting adapters: a task is learned, the encoder stays as published, and the same seed gives the same weights."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from encoders.adapters import adapters
from tests.encoders.tiny import make_base
from training.loss import MISSING, balance, masked_loss, targets
from training.tune import Network, Recipe, Taught, batches, calibrate, fit, prepare

pytestmark = pytest.mark.long

LABELS = ("bad", "rude")
RECIPE = Recipe(tokens=512, most=16, longest=32, rate=0.02, rank=4, alpha=8.0, width=16, drop=0.0)


def drawn(count: int) -> list[Taught]:
    """Texts of x are bad, texts of y are not; nobody judged whether they are rude."""
    rng = random.Random(4)
    return [(rng.choice("xy") * 1 + " a b" * rng.randint(1, 3), {}) for _ in range(count)]


def taught(count: int) -> list[Taught]:
    return [(text, {"bad": int(str(text).startswith("x"))}) for text, _ in drawn(count)]


def network(tmp_path: Path, recipe: Recipe = RECIPE, pair: bool = False) -> tuple[Network, list[torch.nn.Parameter]]:
    base = make_base(tmp_path / f"base{len(list(tmp_path.iterdir()))}")
    return prepare(base, LABELS, recipe, pair)


def test_a_task_is_learned_and_the_encoder_stays(tmp_path: Path) -> None:
    """Adapters and head change, the published weights do not, and both kinds of text are told apart."""
    learner, fitted = network(tmp_path)
    before = {name: tensor.clone() for name, tensor in learner.encoder.state_dict().items() if ".linear." in name}
    said: list[str] = []
    fit(learner, fitted, [taught(400)] * 2, RECIPE, said.append)
    logits = learner.read(["x a b", "y a b"])
    assert logits[0, 0] > 1 > -1 > logits[1, 0]
    after = learner.encoder.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert any(tensor.abs().max() > 0 for name, tensor in adapters(learner.encoder).items() if name.endswith(".b"))
    assert said[0].startswith("step 50 of ")


def test_the_same_seed_fits_the_same(tmp_path: Path) -> None:
    """And another seed does not."""
    found = []
    for recipe in (RECIPE, RECIPE, Recipe(seed=8, tokens=512, most=16, longest=32, rank=4, width=16)):
        learner, fitted = network(tmp_path, recipe)
        fit(learner, fitted, [taught(60)], recipe, lambda _: None)
        found.append(learner.read(["x a"]))
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_a_pass_reads_every_text_once_in_batches_that_fit() -> None:
    """Nothing is left out, whatever the lengths."""
    texts: list[Taught] = [("word " * (number % 90), {"bad": number % 2}) for number in range(700)]
    made = list(batches(texts, RECIPE, 1))
    assert sorted(str(text) for some in made for text, _ in some) == sorted(str(text) for text, _ in texts)
    assert max(map(len, made)) <= RECIPE.most
    assert made != list(batches(texts, RECIPE, 2))


def test_pairs_are_read_as_two_segments(tmp_path: Path) -> None:
    """A question and its answer have types 0 and 1."""
    learner, _ = network(tmp_path, pair=True)
    _, _, types = learner.batch([("x a", "y")])
    assert [0, 0, 0, 0, 1, 1] == types[0].tolist()


def test_calibration_finds_the_temperature_that_was_put_in() -> None:
    """Logits that are twice too sure are halved; a label that nobody judged is left as it is."""
    rng = np.random.default_rng(3)
    true = rng.normal(0.5, 1.5, 20_000)
    wanted = np.stack((rng.random(20_000) < 1 / (1 + np.exp(-true)), np.full(20_000, MISSING)), 1).astype(np.float32)
    found = calibrate(np.stack((2 * true, true), 1).astype(np.float32), wanted)
    scores = found(torch.tensor([[2.0, 2.0], [-4.0, 0.0]])).numpy()
    np.testing.assert_allclose(scores[:, 0], 1 / (1 + np.exp([-1.0, 2.0])), atol=0.02)
    np.testing.assert_allclose(scores[:, 1], 1 / (1 + np.exp([-2.0, 0.0])), atol=1e-6)


def test_what_nobody_judged_is_no_loss() -> None:
    """A masked label has neither loss nor gradient, however wrong the logit."""
    logits = torch.tensor([[0.0, 50.0]], requires_grad=True)
    loss = masked_loss(logits, targets([{"bad": 1}], LABELS))
    torch.autograd.backward(loss)
    assert float(loss.detach()) == pytest.approx(np.log(2))
    assert logits.grad is not None
    assert 0.0 == float(logits.grad[0, 1])


def test_rare_positives_count_more() -> None:
    """By the root of how much rarer they are, at least as a negative, at most the bound; masked texts do not count."""
    drawn = [{"bad": 1, "rude": 1}] + [{"bad": 0, "rude": 1}] * 4 + [{"bad": 0}] * 5
    assert [3.0, 1.0] == balance(drawn, LABELS).tolist()
    assert [2.0, 1.0] == balance(drawn, LABELS, most=2.0).tolist()
    wanted, logits = targets([{"bad": 1}], LABELS), torch.zeros(1, 2)
    plain, weighted = masked_loss(logits, wanted), masked_loss(logits, wanted, weights=torch.tensor([3.0, 1.0]))
    assert float(weighted) == pytest.approx(3 * float(plain))

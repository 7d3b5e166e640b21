"""Each row's scores are the probabilities that transformers gives by itself, however texts come together."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from encoders.checkpoint import BadCheckpoint
from guards.checkpoint import Checkpoint
from guards.prompts import windows
from guards.rows import ROWS, Ask, Writer, labels
from guards.scoring import Floats, Guard
from tests.guards.conftest import Made
from tests.guards.tiny import CONTROL

pytestmark = pytest.mark.long

WRITERS = [name for name, row in ROWS.items() if isinstance(row, Writer)]
TEXTS = [b"hello", b"", b"#%&?" * 20, "schön 🎉".encode(), b"\xff\xfe", b"x" * 30]
PROMPTS = [b"", b"why?", b"#%&?" * 30, b"", b"a", b""]


@pytest.mark.parametrize("name", CONTROL)
def test_scores_are_probabilities_and_the_same_in_any_company(made: Made, name: str) -> None:
    """All texts at once, each alone, twice: the same, in [0, 1]."""
    guard = Guard(made(name))
    together = guard.score(TEXTS, PROMPTS)
    alone = np.concatenate([guard.score([text], [prompt]) for text, prompt in zip(TEXTS, PROMPTS, strict=True)])
    assert together.shape == (len(TEXTS), len(labels(ROWS[name])))
    assert together.dtype == np.float32
    assert ((together >= 0) & (together <= 1)).all()
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_array_equal(together, guard.score(TEXTS, PROMPTS))


def naive(checkpoint: Checkpoint, ask: Ask, text: str, prompt: str) -> dict[str, float]:
    """The scores of one question by a plain call of the model on the whole rendered prompt, step by step."""
    row, tokenizer = checkpoint.row, checkpoint.tokenizer
    assert isinstance(row, Writer)
    parts = "c.text" in tokenizer.chat_template
    messages = []
    for role, content in row.exchange if prompt else row.request:
        said = content.replace("{prompt}", prompt).replace("{text}", text).replace("{policy}", checkpoint.policy)
        messages.append({"role": role, "content": [{"type": "text", "text": said}] if parts else said})
    variables = (prompt and ask.of_answers) or ask.variables
    rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **variables)
    rendered += "" if rendered.endswith(ask.opening) else ask.opening

    def among(before: str, answers: list[str]) -> list[float]:
        begins = {answer: tokenizer(before + answer, add_special_tokens=False).input_ids for answer in answers}
        same = 0
        while len({tuple(ids[: same + 1]) for ids in begins.values()}) == 1:
            same += 1
        ids = tokenizer(rendered, add_special_tokens=False).input_ids + begins[answers[0]][:same]
        logits = checkpoint.model(torch.tensor([ids])).logits[0, -1]
        return torch.softmax(torch.stack([logits[begins[answer][same]] for answer in answers]), 0).tolist()

    verdict = among("", list(ask.verdict))
    found = dict(zip(ask.verdict.values(), verdict, strict=True))
    if ask.categories:
        shares = among(list(ask.verdict)[-1] + ask.between, list(ask.categories))
        found |= {label: verdict[-1] * share for label, share in zip(ask.categories.values(), shares, strict=True)}
    return found


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("prompt", ["", "why so"])
def test_scores_are_what_the_model_says_of_the_rendered_prompt(made: Made, name: str, prompt: str) -> None:
    """Verdict and category, request and exchange."""
    checkpoint = made(name)
    assert isinstance(checkpoint.row, Writer)
    with torch.inference_mode():
        expected = {k: v for ask in checkpoint.row.asks for k, v in naive(checkpoint, ask, "hello", prompt).items()}
    guard = Guard(checkpoint)
    scores = dict(zip(guard.labels, guard.score([b"hello"], [prompt.encode()])[0].tolist(), strict=True))
    assert scores == pytest.approx({label: expected[label] for label in guard.labels}, abs=1e-5)


def test_a_classifier_scores_as_transformers_does(made: Made) -> None:
    """The marks of its tokenizer around the text, and the probability of the class."""
    checkpoint = made("prompt-guard-2")
    ids = torch.tensor([checkpoint.tokenizer("hello there").input_ids])
    expected = torch.softmax(checkpoint.model(ids).logits[0], -1)[1].item()
    assert Guard(checkpoint).score([b"hello there"])[0, 0] == pytest.approx(expected, abs=1e-5)


def by_windows(guard: Guard, text: str, prompt: bytes, size: int) -> Floats:
    """The largest score over the windows of a text of which each character is a token."""
    pieces = windows(list(map(ord, text)), size, size // 8)
    scores = guard.score(["".join(map(chr, one)).encode() for one in pieces], [prompt] * len(pieces))
    largest: Floats = scores.max(axis=0)
    return largest


@pytest.mark.parametrize("name", CONTROL)
def test_a_long_text_is_read_to_its_end(made: Made, name: str) -> None:
    """Nothing is cut off: its score is the largest of its windows."""
    guard = Guard(made(name))
    classifier = name == "prompt-guard-2"
    text = "%#" * 40 + "&?" * 5
    if classifier:  # its tokenizer puts a mark before the text, which later windows have not
        ends = [guard.score([(text[:-1] + end).encode()])[0, 0] for end in "?&!+*$"]
        assert len(set(ends)) > 1
    else:
        np.testing.assert_allclose(
            guard.score([text.encode()], [b"#"])[0], by_windows(guard, text, b"#", 32), atol=1e-5
        )


def test_cutting_a_text_off_is_noticed(made: Made) -> None:
    """The planted fault: the first window alone scores otherwise."""
    guard = Guard(made("llama-guard-3"))
    text = "%#" * 40 + "&?" * 5
    assert not np.allclose(guard.score([text[:32].encode()], [b"#"])[0], by_windows(guard, text, b"#", 32), atol=1e-5)


@pytest.mark.parametrize("name", ["llama-guard-3", "granite-guardian", "qwen3guard"])
def test_a_guard_asks_for_the_wanted_labels_alone(made: Made, name: str) -> None:
    """The same scores, in the order in which they are wanted."""
    every = Guard(made(name))
    wanted = (every.labels[2], every.labels[0])
    some = Guard(made(name), wanted)
    assert some.labels == wanted
    np.testing.assert_allclose(some.score(TEXTS), every.score(TEXTS)[:, [2, 0]], atol=1e-5)


def test_a_label_that_the_row_has_not_is_refused(made: Made) -> None:
    """A score of it would always be 0."""
    with pytest.raises(BadCheckpoint, match="no score for hate"):
        Guard(made("prompt-guard-2"), ["hate"])


def test_a_model_that_reads_too_little_is_refused(made: Made) -> None:
    """Window, prompt and template must fit into what it was made for."""
    checkpoint = made("llama-guard-3")
    kept, checkpoint.model.config.max_position_embeddings = checkpoint.model.config.max_position_embeddings, 64
    try:
        with pytest.raises(BadCheckpoint, match="reads 64 tokens"):
            Guard(checkpoint)
    finally:
        checkpoint.model.config.max_position_embeddings = kept

"""A guard model, ready to score: texts in, a probability for each label out, none of them sampled.

What a model would write is not generated. Its possible answers are laid behind the prompt, up to the token that tells
them apart, and the probabilities of that token among them are the scores: one pass for a verdict and its category. A
long text is read in windows that overlap; the largest score counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoders.checkpoint import BadCheckpoint
from guards.checkpoint import Checkpoint
from guards.prompts import Part, PlainTokenizer, choices, ends, fill, parts, windows
from guards.rows import Ask, Classifier, Writer, labels

Floats = NDArray[np.float32]
Batch = list["Pass"]

OVERLAP = 8
"""Windows share this part of their length: one in eight."""
MOST_TOKENS = {"cpu": 4096, "cuda": 32_768}
"""Tokens of a batch, padding included; a single longer one goes alone."""
MOST_ROWS = 16
"""Sequences of a batch: the vocabulary's logits are computed for each at the places of all."""


@dataclass(frozen=True, slots=True)
class Point:
    """A place `back` tokens before a sequence's end, the tokens that are told apart there and the label of each. Their
    probabilities are multiplied with that of the last token of the point before, if `given`."""

    back: int
    tokens: tuple[int, ...]
    labels: tuple[str, ...]
    given: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """An ask, compiled: the prompts of a request and of an exchange, what is laid behind them, and where to look."""

    request: tuple[Part, ...]
    exchange: tuple[Part, ...]
    tail: tuple[int, ...]
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass reads for a text. A classifier looks at no points."""

    text: int
    ids: list[int]
    points: tuple[Point, ...] = ()


class Guard:
    """Scores with a checkpoint, the labels `wanted` alone (all, if none are named); it runs no question in vain."""

    def __init__(self, checkpoint: Checkpoint, wanted: Sequence[str] = ()) -> None:
        row = checkpoint.row
        self.labels = tuple(wanted) or labels(row)
        if unknown := set(self.labels) - set(labels(row)):
            raise BadCheckpoint(f"the model has no score for {', '.join(sorted(unknown))}")
        self._row, self._model, self._tokenizer = row, checkpoint.model, checkpoint.tokenizer
        self._plain = PlainTokenizer(self._tokenizer)
        self._most = MOST_TOKENS["cuda" if self._model.device.type == "cuda" else "cpu"]
        if isinstance(row, Writer):
            compiled = (self._compile(row, ask, checkpoint.policy) for ask in row.asks)
            self._questions = [one for one in compiled if any(set(p.labels) & set(self.labels) for p in one.points)]
            longest = max(len(fill(one.exchange, [], [])) + len(one.tail) for one in self._questions)
            longest += row.window + row.window // 2
        else:
            self._marks = self._find_marks()
            if self._model.config.num_labels != len(row.classes):
                raise BadCheckpoint(f"the model has {self._model.config.num_labels} outputs, not {len(row.classes)}")
            longest = row.window
        if longest > (most := self._model.config.max_position_embeddings):
            raise BadCheckpoint(f"the model reads {most} tokens, and would get {longest}")

    def score(self, texts: Sequence[bytes], prompts: Sequence[bytes] = ()) -> Floats:
        """Probabilities [texts, labels] of UTF-8 texts; where a text has a prompt that is not empty, as its answer."""
        scores = np.zeros((len(texts), len(self.labels)), dtype=np.float32)
        with torch.inference_mode():
            for batch in self._batches(self._read(texts, prompts or [b""] * len(texts))):
                for one, found in zip(batch, self._run(batch), strict=True):
                    row = scores[one.text]
                    np.maximum(row, [found.get(label, 0.0) for label in self.labels], out=row)
        return scores

    def _compile(self, row: Writer, ask: Ask, policy: str) -> Question:
        tail, told = choices(self._tokenizer, "", list(ask.verdict))
        verdict = (len(tail), tuple(told), tuple(ask.verdict.values()), False)
        found = [verdict]
        if set(ask.categories.values()) & set(self.labels):
            before = list(ask.verdict)[-1] + ask.between
            tail, told = choices(self._tokenizer, before, list(ask.categories))
            found.append((len(tail), tuple(told), tuple(ask.categories.values()), True))
        points = tuple(Point(len(tail) - at, *rest) for at, *rest in found)  # type: ignore[arg-type]
        request, exchange = (tuple(parts(self._tokenizer, row, ask, pair, policy)) for pair in (False, True))
        return Question(request, exchange, tuple(tail), points)

    def _find_marks(self) -> tuple[list[int], list[int]]:
        """What a classifier's tokenizer puts before and behind a text."""
        whole, bare = (self._tokenizer("a", add_special_tokens=marked)["input_ids"] for marked in (True, False))
        at = next(at for at in range(len(whole)) if whole[at : at + len(bare)] == bare)
        return whole[:at], whole[at + len(bare) :]

    def _read(self, texts: Sequence[bytes], prompts: Sequence[bytes]) -> Iterator[Pass]:
        size = self._row.window
        if isinstance(self._row, Classifier):
            size -= len(self._marks[0]) + len(self._marks[1])
        asked = list(dict.fromkeys(prompts))  # windows of one answer have one prompt
        heads = dict(zip(asked, self._plain.encode(asked), strict=True))
        for number, tokens in enumerate(self._plain.encode(texts)):
            for window in windows(tokens, size, size // OVERLAP):
                if isinstance(self._row, Classifier):
                    yield Pass(number, [*self._marks[0], *window, *self._marks[1]])
                    continue
                head = ends(heads[prompts[number]], size // 2)
                for question in self._questions:
                    template = question.exchange if prompts[number] else question.request
                    yield Pass(number, [*fill(template, window, head), *question.tail], question.points)

    def _batches(self, sequences: Iterator[Pass]) -> Iterator[Batch]:
        """Sequences of similar length together, the longest first."""
        batch: Batch = []
        for one in sorted(sequences, key=lambda one: len(one.ids), reverse=True):
            if batch and (len(batch) == MOST_ROWS or len(batch[0].ids) * (len(batch) + 1) > self._most):
                yield batch
                batch = []
            batch.append(one)
        if batch:
            yield batch

    def _run(self, batch: Batch) -> Iterator[dict[str, float]]:
        """Probabilities by label. Padding is on the right, where no token before it can look."""
        ids = torch.zeros((len(batch), len(batch[0].ids)), dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for row, one in enumerate(batch):
            ids[row, : len(one.ids)], mask[row, : len(one.ids)] = torch.tensor(one.ids), 1
        device = self._model.device
        if isinstance(self._row, Classifier):
            logits = self._model(ids.to(device), attention_mask=mask.to(device)).logits.float().softmax(-1).cpu()
            for found in logits.tolist():
                yield dict(zip(self._row.classes, found, strict=True))
            return
        places = sorted({len(one.ids) - 1 - point.back for one in batch for point in one.points})
        keep = torch.tensor(places, device=device)
        answer = self._model(ids.to(device), attention_mask=mask.to(device), use_cache=False, logits_to_keep=keep)
        for row, one in enumerate(batch):
            yield _told(one, answer.logits[row], places)


def _told(one: Pass, logits: Tensor, places: Sequence[int]) -> dict[str, float]:
    """Probabilities by label of one sequence, from its logits [places, vocabulary]."""
    found: dict[str, float] = {}
    last = 1.0
    for point in one.points:
        chosen = logits[places.index(len(one.ids) - 1 - point.back), list(point.tokens)]
        probabilities = chosen.float().softmax(-1).tolist()
        share = last if point.given else 1.0
        for label, probability in zip(point.labels, probabilities, strict=True):
            found[label] = max(found.get(label, 0.0), share * probability)
        last = probabilities[-1]
    return found

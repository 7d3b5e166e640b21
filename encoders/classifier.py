"""A model, ready to score: texts in, a probability for each label out.

Windows go through the encoder in batches of similar length, so that little is computed on padding; a text's score is
the largest over its windows. running.py has what the processor and a GPU do differently.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.checkpoint import Checkpoint
from encoders.reading import Reader, Windows
from encoders.running import Forward, Runner, runner

Floats = NDArray[np.float32]


class Classifier:
    """Scores with a checkpoint on `device`: "cpu", "cuda:0" and so on."""

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu") -> None:
        self.labels = checkpoint.labels
        self._reader = Reader(checkpoint.base.tokenizer(), checkpoint.reading)
        forward = Forward(checkpoint.encoder, checkpoint.head, checkpoint.calibration)
        self._runner: Runner = runner(forward, checkpoint.reading, device)

    def score(self, texts: Sequence[bytes], prompts: Sequence[bytes] = ()) -> Floats:
        """Probabilities [texts, labels] of one text or more, UTF-8, each with its prompt if the model reads pairs."""
        windows = self._reader.read(texts, prompts)
        scores = np.empty((len(windows.ids), len(self.labels)), dtype=np.float32)
        with torch.inference_mode():
            for chosen, length in self._batches(windows):
                scores[chosen] = self._run(windows, chosen, length)
        largest: Floats = np.maximum.reduceat(scores, windows.starts[:-1], axis=0)
        return largest

    def _batches(self, windows: Windows) -> Iterator[tuple[list[int], int]]:
        """Numbers of windows that go together, and the length to which they are padded; the longest first."""
        order = sorted(range(len(windows.ids)), key=lambda number: len(windows.ids[number]), reverse=True)
        batch: list[int] = []
        length = 0
        for number in order:
            wanted = self._runner.padded(len(windows.ids[number]))
            if batch and (wanted != length or len(batch) == self._runner.most(length)):
                yield batch, length
                batch = []
            length = wanted
            batch.append(number)
        yield batch, length

    def _run(self, windows: Windows, chosen: Sequence[int], length: int) -> Floats:
        rows = self._runner.rows(len(chosen))
        ids = np.full((rows, length), self._reader.padding, dtype=np.int64)
        lengths, seconds = np.ones((rows, 1), dtype=np.int64), np.full((rows, 1), length)
        for row, number in enumerate(chosen):
            window = windows.ids[number]
            ids[row, : len(window)] = window
            lengths[row], seconds[row] = len(window), windows.seconds[number]
        places = np.arange(length)
        mask = torch.from_numpy(places < lengths)
        types = torch.from_numpy((places >= seconds).astype(np.int64)) if self._reader.reading.pair else None
        answer: Floats = self._runner.run(torch.from_numpy(ids), mask, types)[: len(chosen)].cpu().numpy()
        return answer

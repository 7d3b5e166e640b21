"""The model in Triton's Python backend: texts in, scores out, torch in between.

https://github.com/triton-inference-server/python_backend#usage
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]
from safetensors import safe_open

from .features import NONE, featurise  # type: ignore[import-not-found]
from .forward_torch import Network  # type: ignore[import-not-found]

WARM_UP = ("", "a few words", "a longer text, " * 80)


class TritonPythonModel:
    """One instance: one process, one thread."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the weights, check that they have the labels that clients are told, and run once."""
        torch.set_num_threads(1)
        labels = json.loads(args["model_config"])["parameters"]["labels"]["string_value"]
        with safe_open(Path(__file__).with_name("weights.safetensors"), "pt") as weights:
            if weights.metadata()["labels"] != labels:
                raise pb_utils.TritonModelException("the labels of config.pbtxt are not those of the weights")
            tensors = {name: weights.get_tensor(name) for name in weights.keys()}  # noqa: SIM118 (not a mapping)
        table, scale = tensors.pop("table"), tensors.pop("scale")
        network = Network(table.shape[1], len(tensors["hidden.bias"]), len(tensors["output.bias"]))
        tensors["table"] = torch.zeros(NONE + 1, table.shape[1])
        tensors["table"][:NONE] = table * scale
        network.load_state_dict(tensors)
        self._network = network.eval()
        self._score([text.encode() for text in WARM_UP])

    def execute(self, requests: list[Any]) -> list[Any]:
        """Score the texts of all requests together."""
        texts = [pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy().reshape(-1) for request in requests]
        scores = self._score([text for part in texts for text in part])
        ends = np.cumsum([len(part) for part in texts])[:-1]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("SCORES", rows)]) for rows in np.split(scores, ends)]

    def _score(self, texts: list[bytes]) -> np.ndarray[Any, np.dtype[np.float32]]:
        with torch.inference_mode():
            scores: np.ndarray[Any, np.dtype[np.float32]] = torch.sigmoid(self._network(featurise(texts))).numpy()
        return scores

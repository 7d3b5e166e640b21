"""A model in Triton's Python backend: texts in, scores out. The `model.py` of every encoder model gives this class.

https://github.com/triton-inference-server/python_backend#usage
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]

from encoders.checkpoint import BadCheckpoint, load, revision
from encoders.classifier import Classifier

WARM_UP = (b"", b"a few words", b"a longer text, " * 20, b"a text of several windows, " * 200)


class TritonPythonModel:
    """One instance: one process, with one thread on the processor or one GPU."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load and check the version's checkpoint, against the configuration too, and run once."""
        torch.set_num_threads(1)
        config = json.loads(args["model_config"])
        gpu = args["model_instance_kind"] == "GPU"
        try:
            checkpoint = load(Path(args["model_repository"], args["model_version"]))
            inputs = {"TEXT", "PROMPT"} if checkpoint.reading.pair else {"TEXT"}
            for name, told, found in (
                ("labels", _parameter(config, "labels"), ",".join(checkpoint.labels)),
                ("revision", _parameter(config, "revision"), revision(checkpoint.manifest)),
                ("inputs", {each["name"] for each in config["input"]}, inputs),
            ):
                if told != found:
                    raise BadCheckpoint(f"config.pbtxt has other {name} than manifest.json")
        except BadCheckpoint as error:
            raise pb_utils.TritonModelException(str(error)) from None
        self._pair = checkpoint.reading.pair
        self._classifier = Classifier(checkpoint, f"cuda:{args['model_instance_device_id']}" if gpu else "cpu")
        self._classifier.score(WARM_UP, WARM_UP if self._pair else ())

    def execute(self, requests: list[Any]) -> list[Any]:
        """Score the texts of all requests together."""
        texts = [_column(request, "TEXT") for request in requests]
        prompts = [_column(request, "PROMPT") for request in requests] if self._pair else []
        scores = self._classifier.score(
            [text for part in texts for text in part], [one for part in prompts for one in part]
        )
        ends = np.cumsum([len(part) for part in texts])[:-1]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("SCORES", rows)]) for rows in np.split(scores, ends)]


def _column(request: Any, name: str) -> list[bytes]:
    return list(pb_utils.get_input_tensor_by_name(request, name).as_numpy().reshape(-1))


def _parameter(config: dict[str, Any], name: str) -> str:
    return str(config["parameters"].get(name, {}).get("string_value", ""))

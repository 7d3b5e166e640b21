"""Every row in Triton's Python backend: texts in, scores out. The `model.py` of each model gives this class.

https://github.com/triton-inference-server/python_backend#usage
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]
from numpy.typing import NDArray

from encoders.checkpoint import BadCheckpoint
from guards.checkpoint import load, policy, verify
from guards.judge import Endpoint, JudgeClient, Unavailable
from guards.rows import ROWS, Judge, labels
from guards.scoring import Guard

Score = Callable[[list[bytes], list[bytes]], NDArray[np.float32]]
WARM_UP = ([b"", b"a few words"], [b"", b"a question"])


class TritonPythonModel:
    """One instance: one process, with one thread on the processor or one GPU."""

    def initialize(self, args: dict[str, str]) -> None:
        """Check that every file is as it was pinned and the configuration fits, load, and run once."""
        torch.set_num_threads(1)
        config = json.loads(args["model_config"])
        gpu = args["model_instance_kind"] == "GPU"
        device = f"cuda:{args['model_instance_device_id']}" if gpu else "cpu"
        try:
            self._score, self._pair = _prepare(Path(args["model_repository"], args["model_version"]), config, device)
        except BadCheckpoint as error:
            raise pb_utils.TritonModelException(str(error)) from None

    def execute(self, requests: list[Any]) -> list[Any]:
        """Score the texts of all requests together."""
        texts = [_column(request, "TEXT") for request in requests]
        prompts = [_column(request, "PROMPT") for request in requests] if self._pair else []
        try:
            scores = self._score([text for part in texts for text in part], [one for part in prompts for one in part])
        except Unavailable as error:
            failed = pb_utils.TritonError(f"the judge: {error}", pb_utils.TritonError.UNAVAILABLE)
            return [pb_utils.InferenceResponse([], failed) for _ in requests]
        ends = np.cumsum([len(part) for part in texts])[:-1]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("SCORES", rows)]) for rows in np.split(scores, ends)]


def _prepare(folder: Path, config: Mapping[str, Any], device: str) -> tuple[Score, bool]:
    """What scores, and whether it reads prompts. BadCheckpoint if the version folder or its configuration is wrong."""
    told = {name: str(each.get("string_value", "")) for name, each in config["parameters"].items()}
    manifest = verify(folder)
    row = ROWS[manifest.row]
    if told.get("revision") != manifest.revision:
        raise BadCheckpoint("config.pbtxt has another revision than manifest.json")
    if {each["name"] for each in config["input"]} != ({"TEXT", "PROMPT"} if row.pair else {"TEXT"}):
        raise BadCheckpoint(f"config.pbtxt must have {'TEXT and PROMPT' if row.pair else 'TEXT'} as input")
    wanted = tuple(label.strip() for label in told.get("labels", "").split(","))
    if isinstance(row, Judge):
        if wanted != labels(row):
            raise BadCheckpoint("config.pbtxt has other labels than the row")
        return _asking(row, policy(folder, row), told), True
    guard = Guard(load(folder, row, device), wanted)
    guard.score(*WARM_UP)
    return guard.score, row.pair


def _asking(row: Judge, policy_text: str, told: Mapping[str, str]) -> Score:
    """A judge as the configuration's parameters say; the key stands in the environment variable that they name."""
    try:
        endpoint = Endpoint(
            told["url"],
            told["judge"],
            os.environ.get(told.get("key_variable", ""), ""),
            float(told.get("timeout_ms", "10000")) / 1000,
            int(told.get("at_once", "16")),
            told.get("reasoning_effort", ""),
        )
    except (KeyError, ValueError) as error:
        raise BadCheckpoint(f"config.pbtxt: the parameters of the judge: {error}") from None
    loop = asyncio.new_event_loop()
    client = JudgeClient(row, policy_text, endpoint)
    return lambda texts, prompts: loop.run_until_complete(client.score(texts, prompts))


def _column(request: Any, name: str) -> list[bytes]:
    return list(pb_utils.get_input_tensor_by_name(request, name).as_numpy().reshape(-1))

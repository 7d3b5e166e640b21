"""A text classifier in the words of KServe v2 (Open Inference Protocol), without the network.

In: TEXT, BYTES [n, 1], and where the model has an input PROMPT, BYTES [n, 1], what each text answers. Out: SCORES,
FP32 [n, labels], each in [0, 1]. The names of the labels, in the order of the columns, are the model configuration's
parameter "labels", separated by commas; an optional parameter "revision" names the weights.
https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_grpc.md
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import model_config_pb2, service_pb2  # type: ignore[import-untyped]

from safeguards_extproc.errors import DetectorError

TEXT, PROMPT = "TEXT", "PROMPT"
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Profile:
    """What a model's configuration says: its labels in order, the most texts it takes at once (0: any), its weights,
    and its inputs: TEXT, or TEXT and PROMPT."""

    labels: tuple[str, ...]
    largest: int = 0
    revision: str = ""
    inputs: tuple[str, ...] = (TEXT,)


@dataclass(frozen=True, slots=True)
class Scored:
    """A model's answer: a row of scores for each text, a column for each label."""

    labels: tuple[str, ...]
    rows: NDArray[np.float32]
    version: str

    def best(self, start: int, stop: int) -> list[float] | None:
        """The maximum per label over rows [start, stop), or None if any score of theirs is not in [0, 1].

        Rows are judged by themselves: one text's NaN is not the next text's failure.
        """
        rows = self.rows[start:stop]
        if not ((rows >= 0.0) & (rows <= 1.0)).all():
            return None
        return [float(score) for score in rows.max(axis=0)]


def read_profile(config: model_config_pb2.ModelConfig) -> Profile:
    """Read the model's configuration; DetectorError("bad-response") if it does not name its labels once each, or wants
    to know what we cannot tell it. No inputs named are TEXT."""
    labels = tuple(label.strip() for label in config.parameters["labels"].string_value.split(","))
    if "" in labels or len(set(labels)) < len(labels):
        raise DetectorError("bad-response")
    inputs = tuple(sorted(each.name for each in config.input)) or (TEXT,)
    if inputs not in ((TEXT,), (PROMPT, TEXT)):
        raise DetectorError("bad-response")
    return Profile(labels, config.max_batch_size, config.parameters["revision"].string_value, inputs)


def encode(model: str, texts: Sequence[str], prompts: Sequence[str] = ()) -> service_pb2.ModelInferRequest:
    """The request for scores of `texts`, with the prompt of each for a model that has an input for it. A lone surrogate
    is sent as "?": the model reads UTF-8."""
    request = service_pb2.ModelInferRequest(model_name=model)
    for name, column in ((TEXT, texts), (PROMPT, prompts)):
        if column:
            request.inputs.add(name=name, datatype="BYTES", shape=(len(column), 1))
            request.raw_input_contents.append(_pack(column))
    request.outputs.add(name="SCORES")
    return request


def decode(response: service_pb2.ModelInferResponse, texts: int, profile: Profile) -> Scored:
    """The scores of `texts` texts; DetectorError("bad-response") unless there is one for each text and label."""
    labels = len(profile.labels)
    found = {tensor.name: at for at, tensor in enumerate(response.outputs)}
    at = found.get("SCORES", len(response.raw_output_contents))
    if at >= len(response.raw_output_contents):
        raise DetectorError("bad-response")
    tensor, data = response.outputs[at], response.raw_output_contents[at]
    if tensor.datatype != "FP32" or list(tensor.shape) != [texts, labels] or len(data) != 4 * texts * labels:
        raise DetectorError("bad-response")
    version = response.model_version
    if profile.revision:
        version = f"{version}@{profile.revision}"
    return Scored(profile.labels, np.frombuffer(data, "<f4").reshape(texts, labels), version)


def _pack(column: Sequence[str]) -> bytes:
    packed = bytearray()
    for text in column:
        data = text.encode("utf-8", "replace")
        packed += _LENGTH.pack(len(data))
        packed += data
    return bytes(packed)

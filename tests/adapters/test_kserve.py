"""What is said to a classifier, and what is believed of its answer."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import model_config_pb2, service_pb2  # type: ignore[import-untyped]

from safeguards_extproc.adapters.kserve import Profile, decode, encode, read_profile
from safeguards_extproc.errors import DetectorError

PROFILE = Profile(("benign", "attack"))


def answer(rows: list[list[float]]) -> service_pb2.ModelInferResponse:
    """What a well-behaved model says."""
    response = service_pb2.ModelInferResponse(model_version="3")
    response.outputs.add(name="SCORES", datatype="FP32", shape=(len(rows), len(rows[0])))
    response.raw_output_contents.append(np.array(rows, "<f4").tobytes())
    return response


def unpack(data: bytes) -> list[bytes]:
    """BYTES elements as a server reads them."""
    elements = []
    while data:
        (size,) = struct.unpack_from("<I", data)
        elements.append(data[4 : 4 + size])
        data = data[4 + size :]
    return elements


@given(st.lists(st.text(), min_size=1, max_size=8))
def test_texts_arrive_as_they_are(texts: list[str]) -> None:
    """Each text is one BYTES element, in order, whatever it holds."""
    request = encode("screen", texts)
    expected = [text.encode() for text in texts]
    assert expected == unpack(request.raw_input_contents[0])
    assert [len(texts), 1] == list(request.inputs[0].shape)


@given(st.lists(st.tuples(st.text(), st.text()), min_size=1, max_size=8))
def test_prompts_arrive_beside_their_texts(pairs: list[tuple[str, str]]) -> None:
    """A second input of the same shape, in the same order; none without prompts."""
    texts, prompts = zip(*pairs, strict=True)
    request = encode("exchange", texts, prompts)
    given = dict(zip((tensor.name for tensor in request.inputs), request.raw_input_contents, strict=True))
    assert {name: unpack(data) for name, data in given.items()} == {
        "TEXT": [text.encode() for text in texts],
        "PROMPT": [prompt.encode() for prompt in prompts],
    }
    assert [list(tensor.shape) for tensor in request.inputs] == [[len(pairs), 1]] * 2
    assert [tensor.name for tensor in encode("screen", texts).inputs] == ["TEXT"]


def test_a_lone_surrogate_does_not_stop_the_batch() -> None:
    """Text that UTF-8 cannot say is sent with "?" in its place."""
    assert unpack(encode("screen", ["a\ud800b"]).raw_input_contents[0]) == [b"a?b"]


def test_scores_come_back_by_row_and_label() -> None:
    """The maximum per label over the rows asked for."""
    scored = decode(answer([[0.5, 0.25], [0.75, 0.0], [1.0, 1.0]]), 3, PROFILE)
    assert scored.best(0, 2) == [0.75, 0.25]
    assert scored.best(2, 3) == [1.0, 1.0]
    assert scored.labels == PROFILE.labels


@pytest.mark.parametrize("score", [float("nan"), float("inf"), -0.001, 1.001])
def test_a_score_that_is_none_spoils_its_own_row_only(score: float) -> None:
    """NaN or a value outside [0, 1] is no score for that text; its neighbours keep theirs."""
    scored = decode(answer([[0.5, 0.25], [score, 0.5]]), 2, PROFILE)
    assert scored.best(1, 2) is None
    assert scored.best(0, 1) == [0.5, 0.25]


def drop_output(response: service_pb2.ModelInferResponse) -> None:
    del response.outputs[:]


def drop_data(response: service_pb2.ModelInferResponse) -> None:
    del response.raw_output_contents[:]


def cut_data(response: service_pb2.ModelInferResponse) -> None:
    response.raw_output_contents[0] = response.raw_output_contents[0][:-1]


def rename(response: service_pb2.ModelInferResponse) -> None:
    response.outputs[0].name = "LOGITS"


def retype(response: service_pb2.ModelInferResponse) -> None:
    response.outputs[0].datatype = "FP16"


def flatten(response: service_pb2.ModelInferResponse) -> None:
    response.outputs[0].shape[:] = [4]


def transpose(response: service_pb2.ModelInferResponse) -> None:
    response.outputs[0].shape[:] = [1, 4]


@pytest.mark.parametrize("spoil", [drop_output, drop_data, cut_data, rename, retype, flatten, transpose])
def test_an_answer_of_another_shape_is_no_answer(spoil: Callable[[service_pb2.ModelInferResponse], None]) -> None:
    """Whatever does not hold a score for each text and label is a bad response."""
    response = answer([[0.5, 0.25], [0.75, 0.0]])
    spoil(response)
    with pytest.raises(DetectorError, match="bad-response"):
        decode(response, 2, PROFILE)


def test_an_answer_for_fewer_texts_is_no_answer() -> None:
    """Two rows for three texts."""
    with pytest.raises(DetectorError, match="bad-response"):
        decode(answer([[0.5, 0.25], [0.75, 0.0]]), 3, PROFILE)


def config(**parameters: str) -> model_config_pb2.ModelConfig:
    made = model_config_pb2.ModelConfig(name="screen", max_batch_size=64)
    for name, value in parameters.items():
        made.parameters[name].string_value = value
    return made


def test_labels_and_limits_come_from_the_model() -> None:
    """The configuration names the labels in order, the largest batch and the weights."""
    expected = Profile(("benign", "attack"), 64, "2f1c")
    assert expected == read_profile(config(labels="benign, attack", revision="2f1c"))


@pytest.mark.parametrize("labels", ["", "benign,,attack", "attack,attack"])
def test_a_model_that_does_not_name_its_labels_is_refused(labels: str) -> None:
    """Columns without names cannot be scores."""
    with pytest.raises(DetectorError, match="bad-response"):
        read_profile(config(labels=labels))


@pytest.mark.parametrize(
    ("named", "expected"),
    [((), ("TEXT",)), (("TEXT",), ("TEXT",)), (("TEXT", "PROMPT"), ("PROMPT", "TEXT"))],
)
def test_a_model_says_whether_it_reads_prompts(named: tuple[str, ...], expected: tuple[str, ...]) -> None:
    """The inputs of its configuration, in any order."""
    made = config(labels="unsafe")
    for name in named:
        made.input.add(name=name)
    assert read_profile(made).inputs == expected


@pytest.mark.parametrize("named", [("PROMPT",), ("TEXT", "IMAGE"), ("TEXT", "TEXT"), ("TEXT", "PROMPT", "USER")])
def test_a_model_that_wants_something_else_is_refused(named: tuple[str, ...]) -> None:
    """An input that nobody would fill."""
    made = config(labels="unsafe")
    for name in named:
        made.input.add(name=name)
    with pytest.raises(DetectorError, match="bad-response"):
        read_profile(made)


def test_the_version_names_the_weights_where_known() -> None:
    """Records tell which weights spoke."""
    assert decode(answer([[0.5, 0.25]]), 1, PROFILE).version == "3"
    assert decode(answer([[0.5, 0.25]]), 1, Profile(PROFILE.labels, 0, "2f1c")).version == "3@2f1c"

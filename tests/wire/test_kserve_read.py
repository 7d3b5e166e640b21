"""KServe and Triton: every input is read or named, as JSON or behind it, whatever a model calls it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput  # type: ignore[import-untyped]

from safeguards_extproc.core.text import Channel, Kind
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import kserve_read
from safeguards_extproc.wire.leaves import Leaves
from tests.contract.wire_contract import texts

USER_0, CONTENT_0, FIELDS = (Kind.USER, "0"), (Kind.CONTENT, "0"), (Kind.OTHER, "fields")


def tensor(name: str, data: Any, datatype: str = "BYTES", **more: Any) -> dict[str, Any]:
    return {"name": name, "shape": [1], "datatype": datatype, "data": data, **more}


@pytest.mark.parametrize(
    ("body", "said", "unread"),
    [
        ({"text_input": "x"}, {USER_0: "x"}, set()),
        ({"text_input": [["x"], ["y"]]}, {USER_0: "x", (Kind.USER, "1"): "y"}, set()),
        ({"text_input": {"a": "x"}}, {USER_0: "x\n"}, set()),
        ({"text_input": [{"a": "x"}]}, {USER_0: "x\n"}, set()),
        ({"QUERY": "x"}, {(Kind.USER, "0.0"): "x"}, set()),
        ({"a b": "x"}, {(Kind.USER, "0.0"): "x", FIELDS: "a b\n"}, set()),
        ({"stop_words": ["x"], "parameters": {"lora": "y z"}}, {FIELDS: "x\ny z\n"}, set()),
        ({"sampling_parameters": '{"stop": "x"}'}, {FIELDS: '{"stop": "x"}\n'}, set()),
        ({"system_prompt": "x"}, {(Kind.SYSTEM, "0.0"): "x"}, set()),
        ({"image": "iVBORw0KGgo="}, {}, {"image"}),
        ({"image": ["cmVhZCBtZQ=="]}, {FIELDS: "read me"}, {"image"}),
        ({"input_ids": [1, 2]}, {}, {"token-ids"}),
        ({"prompt_table": [[0.1, 0.2]]}, {}, {"tensors"}),
        ({"max_tokens": 9, "temperature": [[0.5]], "stream": True}, {}, set()),
        ({"inputs": [tensor("text_input", ["x"])]}, {USER_0: "x"}, set()),
        ({"inputs": [tensor("TEXT", [["x", "y"]])]}, {(Kind.USER, "0.0"): "x", (Kind.USER, "0.1"): "y"}, set()),
        ({"inputs": [tensor("say this", ["x"])]}, {(Kind.USER, "0.0"): "x", FIELDS: "say this\n"}, set()),
        ({"inputs": [tensor("stop_words", ["x"])]}, {FIELDS: "x\n"}, set()),
        ({"inputs": [tensor("max_tokens", [9], "INT32")]}, {}, set()),
        ({"inputs": [tensor("input_ids", [[1, 2, 3]], "INT32")]}, {}, {"token-ids"}),
        ({"inputs": [tensor("pixels", [0.1, 0.2], "FP32")]}, {}, {"tensors"}),
        ({"inputs": [tensor("x", None, parameters={"shared_memory_region": "r"})]}, {}, {"shared-memory"}),
        ({"inputs": ["x"]}, {(Kind.USER, "0.0"): "x\n"}, set()),
        ({"inputs": "x"}, {(Kind.USER, "0.0"): "x"}, set()),
        ({"inputs": [], "outputs": [{"name": "say this"}], "id": "do it"}, {FIELDS: "say this\ndo it\n"}, set()),
    ],
)
def test_every_input_is_read_or_named(body: dict[str, Any], said: dict[Channel, str], unread: set[str]) -> None:
    """Members of a generate request and tensors of an inference request by the same rule."""
    leaves = Leaves()
    kserve_read.request(leaves, body, 0)
    assert (texts(leaves.segments), leaves.unread) == (said, unread)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"model_name": "m", "model_version": "1", "text_output": "x"}, {CONTENT_0: "x"}),
        ({"text_output": ["x", "y"]}, {CONTENT_0: "x", (Kind.CONTENT, "1"): "y"}),
        ({"text_output": "x", "note": "y"}, {CONTENT_0: "x", FIELDS: "y\n"}),
        ({"model_name": "say this"}, {FIELDS: "say this\n"}),
        ({"error": "no"}, {(Kind.ERROR, "error"): "no\n"}),
        ({"outputs": [tensor("text_output", ["x"])]}, {CONTENT_0: "x"}),
        ({"outputs": [tensor("s", [0.1], "FP32"), tensor("LABEL", ["x"])]}, {(Kind.CONTENT, "1.0"): "x"}),
    ],
)
def test_every_part_of_an_answer_is_read(body: dict[str, Any], said: dict[Channel, str]) -> None:
    """Text is content, under whatever name."""
    leaves = Leaves()
    kserve_read.response(leaves, body)
    assert texts(leaves.segments) == said


def client_body(*, binary: bool) -> bytes:
    """What Triton's own client writes."""
    text = InferInput("text_input", [1, 1], "BYTES")
    text.set_data_from_numpy(np.array([["café"]], dtype=np.object_), binary_data=binary)
    count = InferInput("max_tokens", [1, 1], "INT32")
    count.set_data_from_numpy(np.array([[9]], dtype=np.int32), binary_data=False)
    outputs = [InferRequestedOutput("text_output", binary_data=False)]
    body, _ = InferenceServerClient.generate_request_body([text, count], outputs=outputs)
    return bytes(body)


def test_the_clients_json_is_read() -> None:
    """BYTES as strings."""
    body, binary = kserve_read.read_object(client_body(binary=False))
    leaves = Leaves()
    assert (binary, kserve_read.request(leaves, body, binary)) == (0, 1)
    assert (texts(leaves.segments), leaves.unread) == ({USER_0: "café"}, set())


def test_the_clients_binary_tensors_are_named() -> None:
    """Text behind the JSON is not read, and the document says so."""
    body, binary = kserve_read.read_object(client_body(binary=True))
    leaves = Leaves()
    kserve_read.request(leaves, body, binary)
    assert (binary, texts(leaves.segments), leaves.unread) == (4 + len("café".encode()), {}, {"binary-tensors"})


@pytest.mark.parametrize("more", [b"x", b"\xff\xfe", b" {}"])
def test_bytes_that_no_tensor_claims_are_malformed(more: bytes) -> None:
    """Law 6: a body has one reading; what follows it must be what it says."""
    for body in (client_body(binary=True) + more, client_body(binary=False) + more):
        with pytest.raises(MalformedBody, match="trailing-data"):
            kserve_read.read_object(body)
    with pytest.raises(MalformedBody, match="trailing-data"):
        kserve_read.read_object(client_body(binary=True)[:-1])


@pytest.mark.parametrize(
    ("body", "reason"),
    [(b"[]", "shape"), (b"{", "syntax"), (b'{"a":1,"a":2}', "duplicate-key"), (b'{"a":"\xff"}', "encoding")],
)
def test_what_is_no_strict_json_is_malformed(body: bytes, reason: str) -> None:
    """Also where tensors could follow."""
    with pytest.raises(MalformedBody, match=reason):
        kserve_read.read_object(body)


def test_many_values_are_malformed_and_many_bytes_are_not() -> None:
    """The limit counts JSON, not what follows it."""
    with pytest.raises(MalformedBody, match="values"):
        kserve_read.read_object(b'{"a":[1,2,3,4,5,6]}', 3)
    size = {"inputs": [{"name": "x", "parameters": {"binary_data_size": 99}}]}
    assert kserve_read.read_object(json.dumps(size).encode() + b'",' * 49 + b",", 20)[1] == 99

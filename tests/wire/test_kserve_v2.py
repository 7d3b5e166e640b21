"""KServe v2: refusals, answers, streams and their endings, as Triton's client and its documentation know them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tritonclient.http import InferenceServerClient  # type: ignore[import-untyped]

from safeguards_extproc import wire
from safeguards_extproc.core.text import Edit, Kind, Reading, Refusal
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import sse
from safeguards_extproc.wire.kserve_v2 import KServeV2
from tests.contract.wire_contract import texts

FORMAT = KServeV2()
NO = Refusal("policy", "Not that.", "harm", "e1")
CONTENT = (Kind.CONTENT, "0")


def frame(text: str, **more: Any) -> bytes:
    return (
        b"data: "
        + json.dumps({"model_name": "m", "model_version": "1", "text_output": text, **more}).encode()
        + b"\n\n"
    )


def resolve(path: str) -> tuple[Any, str]:
    return wire.resolve("auto", {":method": "POST", ":path": path})


@pytest.mark.parametrize(
    ("path", "model", "streamed", "tensors"),
    [
        ("/v2/models/llama/generate", "llama", False, False),
        ("/v2/models/llama/versions/3/generate", "llama", False, False),
        ("/triton/v2/models/llama/generate_stream", "llama", True, False),
        ("/v2/models/llama/versions/3/generate_stream", "llama", True, False),
        ("/v2/models/llama/infer", "llama", False, True),
        ("/v2/models/llama/versions/3/infer", "llama", False, True),
    ],
)
def test_the_path_says_model_and_form(path: str, model: str, streamed: bool, tensors: bool) -> None:
    """The version is no part of the name; "stream" in the body is only a parameter."""
    format_, found = resolve(path)
    assert (format_.name, found, format_.streamed, format_.tensors) == ("kserve_v2", model, streamed, tensors)
    document = format_.read_request(b'{"text_input":"x","stream":true}')
    assert (document.streamed, document.features["messages"]) == (streamed, 1)


def test_a_block_is_an_error_object() -> None:
    """One member, a string."""
    answer = FORMAT.refuse(NO)
    assert (answer.status, json.loads(answer.body)) == (400, {"error": "Not that."})
    assert json.loads(FORMAT.refuse(Refusal("throttled", "")).body) == {"error": "throttled"}


def test_an_answer_that_says_no_is_the_words() -> None:
    """In the form that the path asks for; as tensors, Triton's client reads it."""
    words = {"model_name": "m", "model_version": "1", "text_output": "Not that."}
    assert json.loads(FORMAT.answer(NO, model="m", streamed=False).body) == words
    assert json.loads(sse.fields(FORMAT.answer(NO, model="m", streamed=True).body)[1]) == words
    body = KServeV2(tensors=True).answer(NO, model="m", streamed=False).body
    result = InferenceServerClient.parse_response_body(body)
    assert list(result.as_numpy("text_output")) == ["Not that."]


def test_a_piece_is_read_with_what_stands_beside_it() -> None:
    """Planted: words beside the text, before and after the common case."""
    reader = FORMAT.stream()
    for text, more, said in (
        ("a", {}, {CONTENT: "a"}),
        ("b", {}, {CONTENT: "b"}),
        ("c", {"note": "say this"}, {CONTENT: "c", (Kind.OTHER, "fields"): "say this\n"}),
        ("d", {"note": "say this"}, {CONTENT: "d", (Kind.OTHER, "fields"): "say this\n"}),
        ("e", {"model_name": "say this"}, {CONTENT: "e", (Kind.OTHER, "fields"): "say this\n"}),
        ("f", {}, {CONTENT: "f"}),
        ("", {}, {}),
    ):
        reading = reader.read(frame(text, **more))
        assert (texts(reading.segments), reading.closed, reading.finished) == (said, (), False)


@pytest.mark.parametrize(
    ("data", "reason"), [(b"data: {\n\n", "syntax"), (b"data: []\n\n", "shape"), (b": ping\n\n", "")]
)
def test_what_cannot_be_read_says_why(data: bytes, reason: str) -> None:
    """A frame is not an exception; a comment says nothing."""
    assert FORMAT.stream().read(data) == Reading(unread=reason)


def test_an_error_event_is_the_last() -> None:
    """It closes what was open; the provider's own needs no other after it."""
    reader = FORMAT.stream()
    reader.read(frame("a"))
    error = b'data: {"error":"out of memory"}\n\n'
    reading = reader.read(error)
    assert texts(reading.segments) == {(Kind.ERROR, "error"): "out of memory\n"}
    assert (CONTENT in reading.closed, reading.finished) == (True, True)
    reader.released(frame('a "error" in words'))
    reader.released(b'data: {"error"\n\n')
    assert reader.ending(NO) == b'data: {"error":"Not that."}\n\n'
    reader.released(error)
    assert reader.ending(NO) == b""


def test_a_piece_can_be_edited() -> None:
    """Only its literal changes."""
    data = frame("bomb")
    edited = FORMAT.stream().edit(data, [Edit(("text_output",), 0, 4, "***")])
    assert edited == data.replace(b"bomb", b"***")


def test_what_is_followed_by_tensors_cannot_be_edited() -> None:
    """A header says how long the JSON is: it must stay so."""
    body = b'{"text_input":"x","inputs":[{"name":"t","parameters":{"binary_data_size":2}}]}\xff\xff'
    assert FORMAT.edit(body, []) == body
    with pytest.raises(MalformedBody, match="shape"):
        FORMAT.edit(body, [Edit(("text_input",), 0, 1, "y")])


def test_an_answer_with_tensors_behind_it_is_named() -> None:
    """And any JSON with an error status is the provider's word."""
    outputs = [{"name": "text_output", "datatype": "BYTES", "parameters": {"binary_data_size": 5}}]
    body = json.dumps({"model_name": "m", "outputs": outputs}).encode() + b"\x01\x00\x00\x00x"
    assert FORMAT.read_response(body, 200).unread == {"binary-tensors"}
    assert texts(FORMAT.read_response(b'["no"]', 500).segments) == {(Kind.ERROR, "error"): "no\n"}


def test_a_prompt_cannot_be_steered() -> None:
    """There is no place for an instruction."""
    with pytest.raises(MalformedBody, match="shape"):
        FORMAT.steer(b'{"text_input":"x"}', "Be kind.")

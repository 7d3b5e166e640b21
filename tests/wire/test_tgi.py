"""Text Generation Inference: refusals, answers and edits in the form that each path has."""

from __future__ import annotations

import json
from typing import Any

import pytest

from safeguards_extproc import wire
from safeguards_extproc.core.text import Edit, Kind, Refusal
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import sse
from safeguards_extproc.wire.tgi import TGI
from tests.contract.wire_contract import texts

FORMAT, ROOT = TGI(), TGI(listed=True)
NO = Refusal("policy", "Not that.", "harm", "e1")


@pytest.mark.parametrize(
    ("path", "streamed", "listed"),
    [("/generate", False, False), ("/tgi/generate_stream", True, False)],
)
def test_the_path_says_the_form(path: str, streamed: bool, listed: bool) -> None:
    """Only there, and there alone: "stream" in the body is for the root."""
    format_: Any = wire.resolve("auto", {":method": "POST", ":path": path})[0]
    assert (format_.name, format_.streamed, format_.listed) == ("tgi", streamed, listed)
    assert format_.read_request(b'{"inputs":"x"}').streamed == streamed
    assert format_.read_request(b'{"inputs":"x","stream":true}').streamed == streamed


CHAT = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'


@pytest.mark.parametrize(
    ("body", "name"),
    [(b'{"inputs":"hi","stream":true}', "tgi"), (CHAT, "openai_chat"), (b'{"method":"initialize"}', "")],
)
def test_the_root_is_told_by_what_is_sent_there(body: bytes, name: str) -> None:
    """Any server may have a root: another API's users are users there too, and what is nobody's is policy's."""
    at_root = wire.resolve("auto", {":method": "POST", ":path": "/"})[0]
    assert at_root.name == "opaque"
    known = wire.recognise(body)
    assert name == (known.name if known is not None else "")
    if known is not None:
        document = known.read_request(body)
        assert {(Kind.USER, "0"): "hi"} == texts(document.segments)
        assert (name == "tgi") is document.streamed


def test_a_route_may_be_the_roots() -> None:
    """Policy names the format where a server is known to be one of these."""
    format_: Any = wire.resolve("tgi", {":method": "POST", ":path": "/"})[0]
    assert (format_.name, format_.listed) == ("tgi", True)
    assert format_.read_request(b'{"inputs":"x","stream":true}').streamed


@pytest.mark.parametrize(
    ("reason", "type_"),
    [("policy", "validation"), ("throttled", "overloaded"), ("unavailable", "overloaded"), ("timeout", "generation")],
)
def test_a_block_is_an_error_with_a_type(reason: str, type_: str) -> None:
    """From it the client makes its exception."""
    assert json.loads(FORMAT.refuse(Refusal(reason, "No.")).body) == {"error": "No.", "error_type": type_}


def test_an_answer_that_says_no_is_the_words() -> None:
    """As an object, a list, or a stream of one token that is the last."""
    assert json.loads(FORMAT.answer(NO, model="", streamed=False).body) == {"generated_text": "Not that."}
    assert json.loads(ROOT.answer(NO, model="", streamed=False).body) == [{"generated_text": "Not that."}]
    event = json.loads(sse.fields(FORMAT.answer(NO, model="", streamed=True).body)[1])
    assert (event["token"]["text"], event["generated_text"]) == ("Not that.", "Not that.")
    assert event["details"]["finish_reason"] == "eos_token"


def test_the_roots_answers_are_lists() -> None:
    """Each is a sequence; what is none is malformed."""
    document = FORMAT.read_response(b'[{"generated_text":"a"},{"generated_text":"b"}]', 200)
    assert texts(document.segments) == {(Kind.CONTENT, "0"): "a", (Kind.CONTENT, "1"): "b"}
    assert document.segments[1].path == (1, "generated_text")
    for body in (b'["a"]', b'"a"'):
        with pytest.raises(MalformedBody, match="shape"):
            FORMAT.read_response(body, 200)


def test_an_error_status_brings_an_error() -> None:
    """Its type is an identifier."""
    body = b'{"error":"Input is too long","error_type":"validation"}'
    assert texts(FORMAT.read_response(body, 422).segments) == {(Kind.ERROR, "error"): "Input is too long\n"}


def test_an_edited_text_loses_its_replicas() -> None:
    """In the answer and in each sequence of `best_of`; the others keep theirs."""
    token = {"id": 1, "text": "bomb", "logprob": -0.5, "special": False}
    other = {"generated_text": "bomb", "tokens": [token], "top_tokens": [[token]]}
    body = json.dumps({"generated_text": "bomb", "details": {"tokens": [token], "best_of_sequences": [other]}}).encode()
    first = json.loads(FORMAT.edit(body, [Edit(("generated_text",), 0, 4, "***")]))
    assert (first["generated_text"], first["details"]["tokens"]) == ("***", None)
    assert first["details"]["best_of_sequences"] == [other]
    path = ("details", "best_of_sequences", 0, "generated_text")
    second = json.loads(FORMAT.edit(body, [Edit(path, 0, 4, "***")]))
    assert second["details"]["tokens"] == [token]
    assert second["details"]["best_of_sequences"] == [{"generated_text": "***", "tokens": None, "top_tokens": None}]


def test_a_prompt_cannot_be_steered() -> None:
    """There is no place for an instruction."""
    with pytest.raises(MalformedBody, match="shape"):
        FORMAT.steer(b'{"inputs":"x"}', "Be kind.")

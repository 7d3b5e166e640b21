"""The dialect of legacy completions: refusals, answers, streams and their endings; Azure's forms of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from safeguards_extproc.core.text import Edit, Kind, Refusal
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import sse
from safeguards_extproc.wire.openai_chat import OpenAIChat
from safeguards_extproc.wire.openai_completions import OpenAICompletions
from tests.contract.wire_contract import texts

FORMAT, AZURE = OpenAICompletions(), OpenAICompletions(azure=True)
NO = Refusal("policy", "Not that.", "harm", "e1")


def frame(text: str, index: int = 0, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": index, "text": text, "logprobs": None, "finish_reason": finish, **more}
    body = {"id": "cmpl-7", "object": "text_completion", "created": 5, "model": "demo", "choices": [choice]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def events(stream: bytes) -> list[Any]:
    data = [sse.fields(event)[1] for event in sse.Framer().push(stream)]
    return [item.decode() if item == b"[DONE]" else json.loads(item) for item in data]


def test_an_answer_that_says_no_is_a_filtered_completion() -> None:
    """200, no text, the words in `refusal`."""
    body = json.loads(FORMAT.answer(NO, model="demo", streamed=False).body)
    assert body["choices"] == [
        {"index": 0, "text": "", "refusal": "Not that.", "logprobs": None, "finish_reason": "content_filter"}
    ]
    assert (body["object"], body["model"], body["id"]) == ("text_completion", "demo", "cmpl-e1")
    last, done = events(FORMAT.answer(NO, model="demo", streamed=True).body)
    assert (last["choices"], done) == (body["choices"], "[DONE]")


def test_a_block_is_that_of_chat() -> None:
    """One error object for all of the provider's APIs; Azure's for its deployments."""
    assert FORMAT.refuse(NO) == OpenAIChat().refuse(NO)
    assert AZURE.refuse(NO) == OpenAIChat(azure=True).refuse(NO)
    assert json.loads(AZURE.refuse(NO).body)["error"]["code"] == "content_filter"


def test_azure_reports_what_its_filter_found() -> None:
    """In answers and where a stream is broken off."""
    found = {"harm": {"filtered": True}}
    for azure, more in ((OpenAIChat(azure=True), {"content": "x"}), (AZURE, {"content": "x"})):
        whole = json.loads(azure.answer(NO, model="demo", streamed=False).body)
        assert whole["choices"][0]["content_filter_results"] == found
        assert (
            events(azure.answer(NO, model="demo", streamed=True).body)[-2]["choices"][0]["content_filter_results"]
            == found
        )
        reader = azure.stream()
        reader.released(frame("x", delta=more))
        assert events(reader.ending(NO))[0]["choices"][0]["content_filter_results"] == found


@pytest.mark.parametrize(
    "more", [{}, {"stop_reason": None}, {"content_filter_results": {"hate": {"severity": "safe"}}}]
)
def test_a_piece_is_read_on_its_choices_channel(more: dict[str, Any]) -> None:
    """The common case, vLLM's and Azure's."""
    reader = FORMAT.stream()
    for text in ("a", "b"):
        reading = reader.read(frame(text, 1, **more))
        assert texts(reading.segments) == {(Kind.CONTENT, "1"): text}
        assert reading.segments[0].path == ("choices", 0, "text")
    assert reader.read(frame("", 1, "stop", **more)).closed == [(Kind.CONTENT, "1")]


@pytest.mark.parametrize(
    "more",
    [
        {"content_filter_results": {"hate": {"severity": "say this"}}},
        {"stop_reason": "say this"},
        {"content_filter_results": {}, "note": "say this"},
        {"logprobs": "say this"},
    ],
)
def test_a_piece_has_no_blind_spot(more: dict[str, Any]) -> None:
    """Planted: words beside the text, in members that mostly hold none, also after ones that held none."""
    reader = FORMAT.stream()
    reader.read(frame("a", content_filter_results={"hate": {"severity": "safe"}}))
    assert "say this\n" in texts(reader.read(frame("b", **more)).segments).values()


def test_an_edited_piece_loses_its_replicas() -> None:
    """Log-probabilities would give the word away."""
    data = frame(
        "bomb", logprobs={"tokens": ["bomb"], "token_logprobs": [-1.0], "top_logprobs": [], "text_offset": [0]}
    )
    edited = FORMAT.stream().edit(data, [Edit(("choices", 0, "text"), 0, 4, "***")])
    assert events(edited)[0]["choices"][0] == {"index": 0, "text": "***", "logprobs": None, "finish_reason": None}


def test_the_ending_closes_what_the_client_has_seen() -> None:
    """In the stream's own name; a choice that was finished stays as it was."""
    reader = FORMAT.stream()
    for data in (frame("a", 0), frame("b", 1), frame("", 0, "stop")):
        reader.read(data)
        reader.released(data)
    chunk, done = events(reader.ending(NO))
    assert (chunk["id"], chunk["created"], chunk["object"], done) == ("cmpl-7", 5, "text_completion", "[DONE]")
    assert chunk["choices"] == [
        {"index": 1, "text": "", "refusal": "Not that.", "logprobs": None, "finish_reason": "content_filter"}
    ]


def test_azures_first_chunk_names_no_stream() -> None:
    """Its id is empty; the ending takes that of the chunks that follow."""
    reader = FORMAT.stream()
    reader.released(b'data: {"id":"","object":"","created":0,"model":"","choices":[],"prompt_filter_results":[]}\n\n')
    reader.released(frame("a"))
    assert events(reader.ending(NO))[0]["id"] == "cmpl-7"


def test_a_prompt_cannot_be_steered() -> None:
    """There is no place that the model would know for an instruction."""
    with pytest.raises(MalformedBody, match="shape"):
        FORMAT.steer(b'{"prompt":"x"}', "Be kind.")

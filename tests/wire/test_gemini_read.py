"""Gemini's requests and answers: every member is read, and what cannot be read is named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.genai import types

from safeguards_extproc.core.text import Channel, Document, Kind
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import gemini_read
from tests.contract.wire_contract import texts

FIELDS, TOOLS, USER = (Kind.OTHER, "fields"), (Kind.TOOLS, "tools"), (Kind.USER, "0")
CONTENT, OTHER, SOURCES = (Kind.CONTENT, "0"), (Kind.OTHER, "0"), (Kind.TOOL, "0.sources")


def request(body: dict[str, Any]) -> Document:
    return gemini_read.request(body, json.dumps(body).encode())


def response(body: object) -> Document:
    return gemini_read.response(body, json.dumps(body).encode())


def says(*parts: Any, **more: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, **more}]}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"contents": [{"role": "user", "parts": [{"text": "bo"}, {"text": "mb"}]}]}, {USER: "bomb"}),
        ({"contents": {"parts": {"text": "x"}}}, {USER: "x"}),
        ({"contents": "x"}, {USER: "x"}),
        ({"contents": ["x"]}, {USER: "x"}),
        ({"contents": [{"role": "Model", "parts": [{"text": "x"}]}]}, {(Kind.ASSISTANT, "0"): "x", OTHER: "Model\n"}),
        ({"contents": [{"role": "function", "parts": [{"text": "x"}]}]}, {(Kind.TOOL, "0"): "x"}),
        ({"contents": [{"role": "ipython", "parts": [{"text": "x"}]}]}, {USER: "x", OTHER: "ipython\n"}),
        ({"systemInstruction": {"parts": [{"text": "x"}]}}, {(Kind.SYSTEM, "system"): "x"}),
        ({"system_instruction": "x"}, {(Kind.SYSTEM, "system"): "x"}),
        ({"tools": [{"functionDeclarations": [{"name": "f", "description": "x"}]}]}, {TOOLS: "f\nx\n"}),
        ({"tools": [{"function_declarations": [{"name": "f", "parameters": {"type": "OBJECT"}}]}]}, {TOOLS: "f\n"}),
        ({"tools": {"googleSearch": {}}}, {}),
        ({"tools": [{"fileSearch": {"metadataFilter": "a = b"}}]}, {TOOLS: "a = b\n"}),
        ({"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}}}, {}),
        ({"generationConfig": {"stopSequences": ["x", "y"], "temperature": 1}}, {FIELDS: "x\ny\n"}),
        ({"generationConfig": {"responseSchema": {"properties": {"a": {"enum": ["x"]}}}}}, {FIELDS: "a\nx\n"}),
        ({"generation_config": {"speech_config": {"voice_config": {"say this": 1}}}}, {FIELDS: "say this\n"}),
        ({"safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}]}, {}),
        ({"labels": {"team": "x", "a b": "y"}}, {FIELDS: "x\na b\ny\n"}),
        ({"model": "models/gemini"}, {}),
        ({"cachedContent": "cachedContents/a1"}, {}),
        ({"cached_content": "say this"}, {FIELDS: "say this\n"}),
        (
            {"content": {"parts": [{"text": "x"}]}, "taskType": "CLUSTERING", "title": "a b"},
            {USER: "x", FIELDS: "a b\n"},
        ),
        (
            {
                "requests": [
                    {"model": "m", "content": {"parts": [{"text": "x"}]}},
                    {"content": {"parts": {"text": "y"}}},
                    "z",
                ]
            },
            {(Kind.USER, "0.0"): "x", (Kind.USER, "1.0"): "y", (Kind.USER, "2"): "z\n"},
        ),
        ({"generateContentRequest": {"contents": [{"parts": [{"text": "x"}]}]}}, {USER: "x"}),
        ({"invented": {"of": ["tomorrow"]}, "a b": 1}, {FIELDS: "tomorrow\na b\n"}),
    ],
)
def test_every_member_of_a_request_is_read(body: dict[str, Any], said: dict[Channel, str]) -> None:
    """Evasions 38 and 40: contents, instructions, tools, schemas, stop words, labels, titles, and what nobody knows."""
    assert said == texts(request(body).segments)


def test_a_request_tells_its_shape() -> None:
    """Features for policy, and what is hidden from us."""
    document = request(
        {
            "model": "models/g",
            "contents": [{"parts": [{"text": "a"}]}, {"role": "model", "parts": [{"text": "b"}]}],
            "tools": [{"functionDeclarations": [{"name": "f"}, {"name": "g"}]}, {"google_search": {}}],
            "generation_config": {"candidate_count": 3, "response_logprobs": True},
            "cachedContent": "cachedContents/a1",
        }
    )
    assert document.features == {"messages": 2, "tools": 3, "n": 3, "prefill": True, "logprobs": True}
    assert (document.model, document.unread) == ("models/g", frozenset({"history"}))


@pytest.mark.parametrize(
    "body",
    [
        {"systemInstruction": {}, "system_instruction": {}},
        {"contents": [{"parts": [{"inlineData": {}, "inline_data": {}}]}]},
        {"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "mime_type": "text/plain"}}]}]},
        {"generationConfig": {"candidateCount": 1, "candidate_count": 2}},
        {"tools": [{"googleSearch": {}, "google_search": {}}]},
    ],
)
def test_a_member_in_both_spellings_is_refused(body: dict[str, Any]) -> None:
    """Law 6: which of the two counts is the parser's choice."""
    with pytest.raises(MalformedBody, match="duplicate-key"):
        request(body)


def test_an_answer_that_goes_on_has_hidden_history() -> None:
    """A continuation's token stands for what was said before; only base64 is taken for one."""
    assert request({"continuationToken": "CiQBVKhc"}).unread == {"history"}
    document = request({"continuation_token": "say this"})
    assert (texts(document.segments), document.unread) == ({FIELDS: "say this\n"}, frozenset({"history"}))


def test_names_that_are_the_clients_may_look_alike() -> None:
    """Arguments, labels and properties are not Gemini's members."""
    alike = {"user_id": "a", "userId": "b"}
    document = request({"contents": [{"parts": [{"functionCall": {"args": alike}}]}], "labels": alike})
    assert texts(document.segments) == {(Kind.TOOL_CALL, "0.0"): "user_id\na\nuserId\nb\n", FIELDS: "a\nb\n"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (says({"text": "x"}), {CONTENT: "x"}),
        (says({"text": "x", "thought": True}, {"text": "y"}), {(Kind.REASONING, "0"): "x", CONTENT: "y"}),
        (says({"text": "x"}, index=3), {(Kind.CONTENT, "3"): "x"}),
        (says({"text": "x"}, finishReason="STOP", tokenCount=3, avgLogprobs=-1.5), {CONTENT: "x"}),
        (says(finishReason="OTHER", finishMessage="no reason"), {OTHER: "no reason\n"}),
        (says(finishReason="a made up one"), {OTHER: "a made up one\n"}),
        (says(citationMetadata={"citationSources": [{"uri": "u", "license": "mit"}]}), {SOURCES: "u\n"}),
        (says(citation_metadata={"citations": [{"title": "x"}]}), {SOURCES: "x\n"}),
        (says(groundingMetadata={"webSearchQueries": ["x"]}), {SOURCES: "x\n"}),
        (says(groundingMetadata={"groundingChunks": [{"retrievedContext": {"text": "x"}}]}), {SOURCES: "x\n"}),
        (says(urlContextMetadata={"urlMetadata": [{"retrievedUrl": "u"}]}), {SOURCES: "u\n"}),
        (says(safetyRatings=[{"category": "C", "probability": "LOW"}]), {}),
        (says(continuationToken="CiQBVKhc"), {}),
        (says(continuationToken="go on so"), {OTHER: "go on so\n"}),
        (says(invented="x"), {OTHER: "x\n"}),
        ({"candidates": ["x"]}, {CONTENT: "x\n"}),
        ({"candidates": "x"}, {CONTENT: "x\n"}),
        ({"promptFeedback": {"blockReason": "SAFETY", "blockReasonMessage": "x"}}, {FIELDS: "x\n"}),
        ({"modelStatus": {"message": "x", "modelStage": "STABLE"}}, {FIELDS: "x\n"}),
        ({"usageMetadata": {"promptTokenCount": 1}, "modelVersion": "g", "responseId": "r"}, {}),
        ({"error": {"code": 503, "message": "x", "status": "UNAVAILABLE"}}, {(Kind.ERROR, "error"): "x\n"}),
        ({"totalTokens": 3, "promptTokensDetails": [{"modality": "TEXT"}]}, {}),
        ({"embeddings": [{"values": [0.1, 2]}]}, {}),
        ({"invented": "x"}, {FIELDS: "x\n"}),
    ],
)
def test_every_member_of_an_answer_is_read(body: dict[str, Any], said: dict[Channel, str]) -> None:
    """Evasion 33: also what was brought in from the web, why it ended, and what nobody knows."""
    assert said == texts(response(body).segments)


def test_every_member_of_the_sdks_candidate_is_handled() -> None:
    """A new member with text in it is read as any other; these are those that are passed over on purpose."""
    for field in types.Candidate.model_fields.values():
        said = texts(response({"candidates": [{field.alias: "say this"}]}).segments)
        assert list(said.values()) in (["say this\n"], ["say this"]) or field.alias == "index"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"chosenCandidates": [{"token": "a"}, {"token": "b"}]}, ""),
        ({"chosen_candidates": [{"token": "ab"}], "top_candidates": [{"candidates": [{"token": "x"}]}]}, ""),
        ({"chosenCandidates": [{"token": "z"}]}, "z"),
        ({"chosenCandidates": [{"token": "ab"}], "topCandidates": [{}, {"candidates": [{"token": "x"}]}]}, "x\n"),
        ({"topCandidates": [{"candidates": [{"token": "x"}]}]}, "x\n"),
        ({"chosenCandidates": "x"}, "x\n"),
        ({"chosenCandidates": [{"token": "ab"}], "more": "x"}, "x\n"),
        ("x", "x\n"),
    ],
)
def test_tokens_are_read_unless_they_repeat_the_text(value: object, said: str) -> None:
    """Evasion 33: a copy is passed over, anything else is a text of its own."""
    document = response(says({"text": "a"}, {"text": "b"}, logprobsResult=value))
    assert said == texts(document.segments).get((Kind.OTHER, "0.logprobs"), "")


def test_tokens_of_thoughts_and_text_are_a_copy_too() -> None:
    """Some models count the thoughts in."""
    tokens = {"chosenCandidates": [{"token": "a"}, {"token": "b"}]}
    document = response(says({"text": "a", "thought": True}, {"text": "b"}, logprobsResult=tokens))
    assert (Kind.OTHER, "0.logprobs") not in texts(document.segments)


def test_an_array_of_chunks_that_is_read_whole_is_one_answer() -> None:
    """Its places lead into the array, and calls are counted through."""
    call = {"functionCall": {"name": "f"}}
    document = response([says({"text": "a"}, call), {**says({"text": "b"}, call), "modelVersion": "g"}])
    assert texts(document.segments) == {CONTENT: "ab", (Kind.TOOL_CALL, "0.0"): "f\n", (Kind.TOOL_CALL, "0.1"): "f\n"}
    assert document.segments[0].path == (0, "candidates", 0, "content", "parts", 0, "text")
    assert (document.model, document.features) == ("g", {"candidates": 1})
    with pytest.raises(MalformedBody, match="shape"):
        response(["x"])

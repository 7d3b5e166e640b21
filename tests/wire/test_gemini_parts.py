"""Gemini's contents: every part is read, on the channel it belongs to, however it is spelled."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from google.genai import types

from safeguards_extproc.core.text import Channel, Kind
from safeguards_extproc.wire.gemini_parts import Calls, Parts
from tests.contract.wire_contract import texts

USER, MODEL, MORE = (Kind.USER, "0"), (Kind.ASSISTANT, "0"), (Kind.ASSISTANT, "0.more")
CALL, TOOL, FIELDS, OTHER = (Kind.TOOL_CALL, "0.0"), (Kind.TOOL, "0.0"), (Kind.OTHER, "fields"), (Kind.OTHER, "0")


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def read(value: object, kind: Kind = Kind.ASSISTANT, calls: Calls | None = None) -> Parts:
    parts = Parts(calls)
    parts.content(value, (), "0", kind)
    parts.fill(json.dumps(value).encode())
    return parts


CASES: list[tuple[str, Any, dict[Channel, str], set[str]]] = [
    ("text", "x", {MODEL: "x"}, set()),
    ("thought", True, {}, set()),
    ("thought", "x y", {MORE: "x y\n"}, set()),
    ("thoughtSignature", "CiQBVKhc7vB-vaaq", {}, set()),
    ("thoughtSignature", "do as I say", {MORE: "do as I say\n"}, set()),
    ("inlineData", {"mimeType": "image/png", "data": "iVBO"}, {}, {"image"}),
    ("inlineData", {"mimeType": "Audio/wav", "data": "iVBO"}, {}, {"audio"}),
    ("inlineData", {"mimeType": "application/pdf", "data": "JVBERi0xLjcK"}, {}, {"document"}),
    ("inlineData", {"mimeType": "text/plain", "data": base64_of("x")}, {MODEL: "\nx\n"}, set()),
    ("inlineData", {"mimeType": "text/plain", "data": base64_of("Zoë ÿ?").rstrip("=")}, {MODEL: "\nZoë ÿ?\n"}, set()),
    ("inlineData", {"mimeType": "image/svg+xml", "data": base64_of("<svg/>")}, {MODEL: "\n<svg/>\n"}, set()),
    ("inlineData", {"data": base64_of("x"), "displayName": "a b"}, {MODEL: "\nx\n", FIELDS: "a b\n"}, set()),
    ("inlineData", "x", {MORE: "x\n"}, set()),
    ("fileData", {"mimeType": "video/mp4", "fileUri": "gs://b/c"}, {FIELDS: "gs://b/c\n"}, {"video"}),
    ("fileData", {"fileUri": "https://e/d"}, {FIELDS: "https://e/d\n"}, {"file"}),
    ("functionCall", {"id": "c1", "name": "f", "args": {"a": "x"}}, {CALL: "f\na\nx\n"}, set()),
    (
        "functionCall",
        {"args": {"a": [1.50, {"b c": 2}], "d": True}, "name": "f"},
        {CALL: "f\na\n1.5\nb c\n2\nd\n"},
        set(),
    ),
    ("functionCall", {"name": "f", "args": "x", "more": "y z"}, {CALL: "f\nx\ny z\n"}, set()),
    ("functionCall", "x", {MORE: "x\n"}, set()),
    ("functionResponse", {"name": "f", "response": {"r": "x"}, "scheduling": "SILENT"}, {TOOL: "f\nx\n"}, set()),
    (
        "functionResponse",
        {"name": "f", "parts": [{"inlineData": {"mimeType": "image/png", "data": "iVBO"}}, {"text": "x"}]},
        {TOOL: "f\nx"},
        {"image"},
    ),
    ("executableCode", {"language": "PYTHON", "code": "x = 1"}, {CALL: "x = 1"}, set()),
    ("codeExecutionResult", {"outcome": "OUTCOME_OK", "output": "x"}, {TOOL: "x\n"}, set()),
    ("toolCall", {"toolType": "GOOGLE_SEARCH", "args": {"query": "x"}}, {CALL: "query\nx\n"}, set()),
    ("toolResponse", {"toolType": "GOOGLE_SEARCH", "response": {"r": ["x"]}}, {TOOL: "x\n"}, set()),
    ("videoMetadata", {"startOffset": "1.5s", "fps": 2}, {}, set()),
    ("mediaResolution", {"level": "MEDIA_RESOLUTION_LOW"}, {}, set()),
    ("mediaProcessing", "STATIC", {}, set()),
    ("partMetadata", {"k": "x y"}, {MORE: "x y\n"}, set()),
    ("audioTranscription", {"text": "x", "languageCode": "no"}, {(Kind.ASSISTANT, "0.audio"): "x"}, set()),
    ("speechMetadata", {"speaker": "Jo", "style": "in a hurry"}, {MORE: "Jo\nin a hurry\n"}, set()),
    ("documentMetadata", {"startPage": 1}, {}, set()),
    ("spreadsheetMetadata", {"visibleCells": "A1 to B2"}, {MORE: "A1 to B2\n"}, set()),
    ("audioMetadata", {"startOffset": "1s"}, {}, set()),
    ("invented", {"of": "tomorrow"}, {MORE: "tomorrow\n"}, set()),
]


@pytest.mark.parametrize("snake", [False, True])
@pytest.mark.parametrize(("member", "value", "said", "unread"), CASES)
def test_every_part_is_read(member: str, value: Any, said: dict[Channel, str], unread: set[str], snake: bool) -> None:
    """Evasions 33 and 38, in both spellings of the part's own name and of the names in it."""
    part = {member: value}
    if snake and isinstance(value, dict):
        part = {underscored(member): {underscored(key): item for key, item in value.items()}}
    for content in ({"role": "model", "parts": [part]}, {"parts": part}, [part]):
        parts = read(content)
        assert said == texts(parts.leaves.segments)
        assert unread == parts.leaves.unread


def underscored(name: str) -> str:
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in name)


def test_every_part_of_the_sdk_has_a_case() -> None:
    """A new kind of part fails here before it goes by unseen."""
    assert {field.alias for field in types.Part.model_fields.values()} <= {member for member, *_ in CASES}


@pytest.mark.parametrize(
    ("kind", "channel"),
    [(Kind.ASSISTANT, Kind.REASONING), (Kind.CONTENT, Kind.REASONING), (Kind.USER, Kind.USER)],
)
def test_only_a_model_thinks(kind: Kind, channel: Kind) -> None:
    """A user's text does not leave the rules on users by calling itself a thought."""
    assert texts(read([{"thought": True, "text": "x"}], kind).leaves.segments) == {(channel, "0"): "x"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("x", {USER: "x"}),
        ([["x"]], {USER: "x\n"}),
        ({"parts": "x"}, {USER: "x"}),
        ({"parts": ["x", 3, None]}, {USER: "x"}),
        ({"role": "say this", "parts": []}, {OTHER: "say this\n"}),
        ({"words": "x"}, {(Kind.USER, "0.more"): "x\n"}),
        ({"role": ["x y"]}, {(Kind.USER, "0.more"): "x y\n"}),
        (None, {}),
    ],
)
def test_odd_shapes_are_read(content: object, said: dict[Channel, str]) -> None:
    """What a lenient parser may take for a content is no way round."""
    assert said == texts(read(content, Kind.USER).leaves.segments)


def test_calls_and_results_are_counted_apart() -> None:
    """Each has a channel of its own, closed at once; the count goes on in the next chunk of a stream."""
    calls = Calls()
    first = read([{"functionCall": {"name": "a"}}, {"codeExecutionResult": {"output": "b"}}], Kind.CONTENT, calls)
    second = read([{"functionCall": {"name": "c"}}], Kind.CONTENT, calls)
    assert first.closed == [(Kind.TOOL_CALL, "0.0"), (Kind.TOOL, "0.0")]
    assert texts(second.leaves.segments) == {(Kind.TOOL_CALL, "0.1"): "c\n"}


def test_arguments_in_pieces_are_one_text_each() -> None:
    """Vertex streams a call's arguments: each piece names its path, and pieces of two may come by turns."""
    calls, said = Calls(), []

    def chunk(call: dict[str, Any]) -> Parts:
        parts = read([{"functionCall": call}], Kind.CONTENT, calls)
        said.extend(parts.leaves.segments)
        return parts

    assert chunk({"name": "run", "willContinue": True}).closed == []
    cmd, why = {"jsonPath": "$.cmd"}, {"json_path": "$.why"}
    chunk({"partialArgs": [{**cmd, "stringValue": "rm -", "willContinue": True}], "willContinue": True})
    chunk({"partialArgs": [{**why, "string_value": "be"}, {**cmd, "stringValue": "rf /"}], "willContinue": True})
    chunk(
        {"partialArgs": [{**why, "stringValue": "cause"}, {"jsonPath": "$.n", "numberValue": 7}], "willContinue": True}
    )
    closed = chunk({}).closed
    assert texts(said) == {
        (Kind.TOOL_CALL, "0.0"): "run\n",
        (Kind.TOOL_CALL, "0.0.0"): "$.cmd\nrm -rf /",
        (Kind.TOOL_CALL, "0.0.1"): "$.why\nbecause",
        (Kind.TOOL_CALL, "0.0.2"): "$.n\n7\n",
    }
    assert closed == list(texts(said))
    assert chunk({"name": "next"}).closed == [(Kind.TOOL_CALL, "0.1")]


@pytest.mark.parametrize("piece", ["x", {"jsonPath": ["x"]}, {"stringValue": ["x"]}, {"invented": "x"}])
def test_odd_pieces_are_read(piece: object) -> None:
    """A piece of no documented shape is still text of its call."""
    said = read([{"functionCall": {"partialArgs": [piece]}}]).leaves.segments
    assert texts(said) == {CALL: "x\n"}

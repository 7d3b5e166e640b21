"""Converse bodies: no member of the service's own model is a blind spot, and each text is on its channel."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import botocore.session  # type: ignore[import-untyped]
import pytest

from safeguards_extproc.core.text import Channel, Document, Kind
from safeguards_extproc.wire import eventstream
from safeguards_extproc.wire.bedrock_converse import BedrockConverse
from safeguards_extproc.wire.bedrock_stream import ConverseStream
from tests.contract.wire_contract import texts

FORMAT = BedrockConverse()
MODEL = botocore.session.Session().get_service_model("bedrock-runtime")
OURS = frozenset(("signature", "redactedContent"))
"""Only the provider can write these, and no one can read them."""

SECRET = base64.b64encode(b"meet at noon").decode()
PICTURE = base64.b64encode(b"\x89PNG\r\n\x1a\n\x00").decode()


def samples(shape: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """For each string and blob that the service model allows, a value that holds it alone; how deep, it says once."""
    if path.count(path[-1] if path else "") > 3 or len(path) > 14:
        return
    match shape.type_name:
        case "structure" if getattr(shape, "is_document_type", False):
            yield path, {"members": ["some words"]}
        case "structure":
            for name, member in shape.members.items():
                if member.serialization.get("location") != "uri":
                    for where, value in samples(member, (*path, name)):
                        yield where, {name: value}
        case "list":
            for where, value in samples(shape.member, path):
                yield where, [value]
        case "map":
            for where, value in samples(shape.value, path):
                yield where, {"key": value}
        case "string":
            yield path, "some words"
        case "blob":
            yield path, PICTURE


def said(document: Document) -> bool:
    return "some words" in " ".join(segment.text for segment in document.segments)


def members(operation: str, *, response: bool) -> list[Any]:
    model = MODEL.operation_model(operation)
    shape = model.output_shape if response else model.input_shape
    return [pytest.param(where, value, id=".".join(where)) for where, value in samples(shape) if "stream" not in where]


def seen(path: tuple[str, ...], document: Document) -> bool:
    """Whether the one thing in a document was noticed."""
    if path[-1] in OURS:
        return not document.segments and not document.unread
    return said(document) or bool(document.unread)


@pytest.mark.parametrize(("path", "body"), members("Converse", response=False))
def test_every_member_of_a_request_is_read(path: tuple[str, ...], body: Any) -> None:
    """Derived from the installed service model: a new block type fails here before it is a hole."""
    assert seen(path, FORMAT.read_request(json.dumps(body).encode()))


@pytest.mark.parametrize(("path", "body"), members("Converse", response=True))
def test_every_member_of_an_answer_is_read(path: tuple[str, ...], body: Any) -> None:
    """The same for what comes back, the guardrail's trace included."""
    assert seen(path, FORMAT.read_response(json.dumps(body).encode(), 200))


def events() -> list[Any]:
    shape = MODEL.operation_model("ConverseStream").output_shape.members["stream"]
    return [
        pytest.param(name, where, value, id=".".join((name, *where)))
        for name, member in shape.members.items()
        for where, value in samples(member)
    ]


@pytest.mark.parametrize(("name", "path", "body"), events())
def test_every_member_of_an_event_is_read(name: str, path: tuple[str, ...], body: Any) -> None:
    """Every event and exception of the service model's stream."""
    make = eventstream.exception if name.endswith("Exception") else eventstream.event
    reading = ConverseStream().read(make(name, json.dumps(body).encode()))
    unread = frozenset(reading.unread.split(",")) - {""}
    assert seen(path, Document(list(reading.segments), unread=unread))
    assert name.endswith("Exception") == bool(reading.finished and name != "metadata")


def test_a_reader_that_passes_over_a_member_fails() -> None:
    """Planted: the check sees what was not read."""
    assert not seen(("newBlock",), Document([]))


def user(*blocks: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(blocks)}]}


def document(**source: Any) -> dict[str, Any]:
    return {"document": {"format": "txt", "source": source}}


def result(*content: Any) -> dict[str, Any]:
    return {"toolResult": {"toolUseId": "t", "content": list(content)}}


@pytest.mark.parametrize(
    ("body", "channel", "text"),
    [
        ({"system": [{"text": "x"}, {"text": "y"}]}, (Kind.SYSTEM, "system"), "xy"),
        ({"system": [{"guardContent": {"text": {"text": "x"}}}]}, (Kind.SYSTEM, "system"), "x"),
        ({"messages": [{"role": "system", "content": [{"text": "x"}]}]}, (Kind.SYSTEM, "0"), "x"),
        ({"messages": [{"role": "assistant", "content": [{"text": "x"}]}]}, (Kind.ASSISTANT, "0"), "x"),
        ({"messages": [{"role": "Developer", "content": [{"text": "x"}]}]}, (Kind.USER, "0"), "x"),
        ({"messages": [{"role": "user", "content": "x"}]}, (Kind.USER, "0"), "x"),
        ({"messages": [{"role": "user", "content": {"a": "x"}}]}, (Kind.USER, "0"), "x\n"),
        ({"messages": [{"role": "user", "more": "x"}]}, (Kind.OTHER, "0"), "x\n"),
        ({"messages": ["x"]}, (Kind.USER, "0"), "x\n"),
        ({"messages": "x"}, (Kind.USER, "0"), "x\n"),
        (user({"text": "bo"}, {"text": "mb"}), (Kind.USER, "0"), "bomb"),
        (user({"guardContent": {"text": {"text": "x"}}}), (Kind.USER, "0"), "x"),
        (user("x"), (Kind.USER, "0"), "x\n"),
        (user({"newBlock": {"words": "x"}}), (Kind.USER, "0"), "x\n"),
        (user({"reasoningContent": {"reasoningText": {"text": "x", "signature": "A A"}}}), (Kind.REASONING, "0"), "x"),
        (user({"toolUse": {"toolUseId": "t", "name": "f", "input": {"a": 1}}}), (Kind.TOOL_CALL, "0.0"), 'f\n{"a": 1}'),
        (user({"toolUse": {"input": {"é": "ü"}, "name": "f"}}), (Kind.TOOL_CALL, "0.0"), 'f\n{"é": "ü"}'),
        (user({"toolUse": {"name": "f", "input": "x"}}), (Kind.TOOL_CALL, "0.0"), "f\nx"),
        (user(result({"text": "x"}, {"text": "y"})), (Kind.TOOL, "0.0"), "x\ny\n"),
        (user(result({"json": {"a b": "x"}})), (Kind.TOOL, "0.0"), "a b\nx\n"),
        (user(result({"searchResult": {"title": "x", "content": [{"text": "y"}]}})), (Kind.TOOL, "0.0"), "x\ny\n"),
        (user(result(document(text="x"))), (Kind.TOOL, "0.0"), "x\n"),
        (user({"toolResult": "x"}), (Kind.USER, "0"), "x\n"),
        (user(document(bytes=SECRET)), (Kind.TOOL, "0.0"), "meet at noon\n"),
        (user(document(content=[{"text": "x"}, {"text": "y"}])), (Kind.TOOL, "0.0"), "x\ny\n"),
        (user({"document": {"name": "x", "context": "y"}}), (Kind.TOOL, "0.0"), "x\ny\n"),
        (user({"citationsContent": {"content": [{"text": "x"}], "citations": []}}), (Kind.USER, "0"), "x"),
        (user({"citationsContent": {"citations": [{"title": "x"}]}}), (Kind.OTHER, "0"), "x\n"),
        (user({"toolAddition": {"tool": {"name": "x"}}}), (Kind.TOOLS, "0.0"), "x\n"),
        ({"toolConfig": {"tools": [{"toolSpec": {"name": "f", "description": "x"}}]}}, (Kind.TOOLS, "tools"), "f\nx\n"),
        ({"promptVariables": {"v": {"text": "x"}}}, (Kind.USER, "variables"), "x\n"),
        ({"additionalModelRequestFields": {"system": "x"}}, (Kind.OTHER, "fields"), "x\n"),
        ({"additionalModelRequestFields": {"tools": [{"name": "x"}]}}, (Kind.TOOLS, "native"), "x\n"),
        ({"additionalModelRequestFields": "x"}, (Kind.OTHER, "fields"), "x\n"),
        ({"inferenceConfig": {"stopSequences": ["x"]}}, (Kind.OTHER, "fields"), "x\n"),
        ({"requestMetadata": {"a": "x"}}, (Kind.OTHER, "fields"), "x\n"),
    ],
)
def test_each_text_of_a_request_is_on_its_channel(body: dict[str, Any], channel: Channel, text: str) -> None:
    """Who speaks decides what policy asks of it."""
    document_ = FORMAT.read_request(json.dumps(body, ensure_ascii=False).encode())
    assert {channel: text} == texts(document_.segments)


@pytest.mark.parametrize(
    ("body", "unread"),
    [
        (user({"image": {"format": "png", "source": {"bytes": PICTURE}}}), {"image"}),
        (user({"image": {"source": {"s3Location": {"uri": "s3://b/k"}}}}), {"image"}),
        (
            user({"video": {"source": {"bytes": PICTURE}}}, {"audio": {"source": {"bytes": PICTURE}}}),
            {"video", "audio"},
        ),
        (user({"guardContent": {"image": {"source": {"bytes": PICTURE}}}}), {"image"}),
        (user(document(bytes=PICTURE)), {"document"}),
        (user(document(s3Location={"uri": "s3://b/k"})), {"document"}),
        (user(document(text="x", s3Location={"uri": "s3://b/k"})), {"document"}),
        (user(document(bytes=SECRET)), set()),
        (user(result({"image": {"source": {"bytes": PICTURE}}})), {"image"}),
        ({"promptVariables": {}}, {"prompt"}),
    ],
)
def test_what_cannot_be_read_is_named(body: dict[str, Any], unread: set[str]) -> None:
    """Media, files that stand elsewhere, and a prompt that the provider keeps."""
    assert unread == FORMAT.read_request(json.dumps(body).encode()).unread


def test_features_of_a_request() -> None:
    """What policy may ask about its form."""
    body = {**user({"text": "x"}), "toolConfig": {"tools": [{}, {}]}}
    body["messages"].append({"role": "assistant", "content": [{"text": "y"}]})
    assert {"messages": 2, "tools": 2, "prefill": True} == FORMAT.read_request(json.dumps(body).encode()).features


def test_what_a_guardrail_took_out_of_an_answer_is_content() -> None:
    """A trace repeats it: policy judges it like the answer's own text."""
    trace = {"guardrail": {"modelOutput": ["x"], "actionReason": "why so"}, "more": "z"}
    body = {"output": {"message": {"content": [{"text": "a"}]}}, "trace": trace}
    expected = {(Kind.CONTENT, "0"): "a", (Kind.CONTENT, "trace"): "x\n", (Kind.OTHER, "fields"): "why so\nz\n"}
    assert expected == texts(FORMAT.read_response(json.dumps(body).encode(), 200).segments)

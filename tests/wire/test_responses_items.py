"""Items of the Responses API: every type that the official SDK knows, on the channels of who speaks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.responses import ResponseInputItem, ResponseOutputItem
from openai.types.responses.tool import Tool

from safeguards_extproc.core.text import Kind
from safeguards_extproc.wire import responses_items
from safeguards_extproc.wire.leaves import Leaves
from tests.contract.wire_contract import texts
from tests.wire.sdk_shapes import by_type, examples, members

MEDIA = {"file_data", "result"}
"""Members that hold base64: what is none has no text, and is named as unread."""

ALTERNATIVES = {"token"}
"""What a model might have said instead."""

INPUT, OUTPUT = dict(by_type(ResponseInputItem)), dict(by_type(ResponseOutputItem))


def read(item: Any, kind: Kind = Kind.USER, name: str = "3") -> Leaves:
    leaves = Leaves()
    responses_items.item(leaves, item, ("input", 3), name, kind)
    return leaves


def missing(leaves: Leaves, said: list[str]) -> set[str]:
    """The members whose words were not read."""
    text = "\n".join(segment.text for segment in leaves.segments)
    return {words.split()[0] for words in said if words not in text}


@pytest.mark.parametrize("type_", INPUT)
def test_every_type_of_input_item_is_read(type_: str) -> None:
    """Whatever stands in a string of an item is found, in every form that the SDK has for it."""
    for item, said in examples(INPUT[type_]):
        leaves = read(item, responses_items.speaker(item, Kind.USER))
        assert missing(leaves, said) <= MEDIA | ALTERNATIVES


@pytest.mark.parametrize("type_", OUTPUT)
def test_every_type_of_output_item_is_read(type_: str) -> None:
    """The same for answers."""
    for item, said in examples(OUTPUT[type_]):
        leaves = read(item, responses_items.nature(item, Kind.CONTENT))
        assert missing(leaves, said) <= MEDIA | ALTERNATIVES


@pytest.mark.parametrize("tool", members(Tool), ids=lambda tool: tool.__name__)
def test_every_type_of_tool_is_read(tool: Any) -> None:
    """Definitions of tools hide no words, and names of the API's own members are none."""
    for definition, said in examples(tool):
        leaves = Leaves()
        responses_items.tools(leaves, [definition], ("tools",), "tools")
        assert missing(leaves, said) == set()
        names = {segment.text for segment in leaves.segments if segment.path and segment.path[-1] == -1}
        assert names <= {"a_name"}


def test_a_dropped_member_would_be_found() -> None:
    """Planted: an item that is read without its arguments misses words."""
    item = {"type": "function_call", "name": "find it", "arguments": "arguments says 1 words"}
    leaves = read(item, Kind.TOOL_CALL)
    leaves.segments = [segment for segment in leaves.segments if segment.path[-1:] != ("arguments",)]
    assert missing(leaves, ["arguments says 1 words"]) == {"arguments"}


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"role": "user", "content": "hi"}, {(Kind.USER, "3"): "hi"}),
        ({"role": "Developer", "content": "be kind"}, {(Kind.SYSTEM, "3"): "be kind"}),
        ({"role": "wizard", "content": "hi"}, {(Kind.USER, "3"): "hi"}),
        ({"role": "user", "type": "function_call", "content": "hi"}, {(Kind.USER, "3"): "hi"}),
        (
            {
                "role": "assistant",
                "content": [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "b"}],
            },
            {(Kind.ASSISTANT, "3"): "a", (Kind.REFUSAL, "3"): "b"},
        ),
        (
            {"type": "function_call", "arguments": '{"q":1}', "name": "ask", "call_id": "c1"},
            {(Kind.TOOL_CALL, "3"): 'ask\n{"q":1}'},
        ),
        (
            {"type": "mcp_call", "name": "ask", "arguments": "{}", "output": "yes", "server_label": "wiki"},
            {(Kind.TOOL_CALL, "3"): "ask\n{}", (Kind.TOOL, "3"): "yes"},
        ),
        (
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "s"}], "encrypted_content": "gAA_-="},
            {(Kind.REASONING, "3.summary"): "s"},
        ),
        (
            {"type": "reasoning", "summary": [], "encrypted_content": "now in plain words"},
            {(Kind.OTHER, "3"): "now in plain words\n"},
        ),
        (
            {"type": "shell_call_output", "output": [{"stdout": "one", "stderr": "two"}, {"stdout": "three"}]},
            {(Kind.TOOL, "3.0.stdout"): "one", (Kind.TOOL, "3.0.stderr"): "two", (Kind.TOOL, "3.1.stdout"): "three"},
        ),
        ("words alone", {(Kind.USER, "3"): "words alone\n"}),
    ],
)
def test_who_speaks(item: Any, expected: dict[Any, str]) -> None:
    """A role counts more than a type; calls, outcomes and thoughts have channels of their own."""
    kind = responses_items.speaker(item, Kind.USER) if isinstance(item, dict) else Kind.USER
    assert {channel: text for channel, text in expected.items() if text} == texts(read(item, kind).segments)


@pytest.mark.parametrize(
    ("part", "unread"),
    [
        ({"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="}, {"image"}),
        ({"type": "input_image", "file_id": "file-1"}, {"image"}),
        ({"type": "input_file", "file_id": "file-1"}, {"file"}),
        ({"type": "input_file", "file_url": "https://files.example/a.pdf"}, {"file"}),
        ({"type": "input_file", "file_data": "data:application/pdf;base64,JVBERi0="}, {"file"}),
        ({"type": "input_file", "file_data": "data:text/plain;base64,aGVsbG8="}, set()),
        ({"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}, {"audio"}),
        ({"type": "output_audio", "data": "UklGRg==", "transcript": "hello"}, {"audio"}),
        ({"type": "image", "url": "https://pictures.example/plot.png"}, {"image"}),
        ({"type": "computer_screenshot", "image_url": "https://pictures.example/s.png"}, {"image"}),
    ],
)
def test_media_is_named(part: dict[str, Any], unread: set[str]) -> None:
    """What cannot be read is policy's to decide; a file that is text is read."""
    assert read({"role": "user", "content": [part]}).unread == unread


def test_an_archive_of_a_skill_is_a_file() -> None:
    """A skill that comes along tells the model things that nobody reads here."""
    leaves, source = Leaves(), {"type": "base64", "media_type": "application/zip", "data": "UEsDBA=="}
    skill = {"type": "inline", "name": "sew", "description": "How to sew.", "source": source}
    responses_items.tools(leaves, [{"type": "shell", "environment": {"skills": [skill]}}], ("tools",), "tools")
    assert leaves.unread == {"file"}


def test_tokens_that_repeat_a_text_are_its_replica() -> None:
    """Others are a text of their own."""
    for tokens, said in ((["Hel", "lo"], {}), (["hide", "me"], {(Kind.OTHER, "0.logprobs"): "hideme"})):
        leaves, value = Leaves(), [{"token": token, "logprob": -1.0} for token in tokens]
        responses_items.logprobs(leaves, value, ("logprobs",), "0", "Hello")
        assert said == texts(leaves.segments)


def test_hostile_shapes_are_read_as_text() -> None:
    """No shape raises, and none hides its words."""
    for value in (["deep words"], {"x": "deep words"}, [[{"text": ["deep words"]}]]):
        for key in ("content", "summary", "arguments", "action", "output", "results", "tools", "text", "name"):
            leaves = read({"type": "function_call", key: value}, Kind.TOOL_CALL)
            assert "deep words" in json.dumps([segment.text for segment in leaves.segments])

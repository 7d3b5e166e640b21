"""Anthropic bodies: every place where text can stand is read, on the channel it belongs to."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from safeguards_extproc.core.text import Kind
from safeguards_extproc.wire.anthropic_messages import AnthropicMessages
from tests.contract.wire_contract import texts

FORMAT = AnthropicMessages()
SECRET = base64.b64encode(b"meet at noon").decode()


def user(*blocks: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(blocks)}]}


def result(content: Any, kind: str = "tool_result") -> dict[str, Any]:
    return {"type": kind, "tool_use_id": "t", "content": content}


def document(**source: Any) -> dict[str, Any]:
    return {"type": "document", "source": source}


@pytest.mark.parametrize(
    ("body", "channel", "text"),
    [
        ({"system": "x"}, (Kind.SYSTEM, "system"), "x"),
        ({"system": [{"type": "text", "text": "x"}]}, (Kind.SYSTEM, "system"), "x"),
        ({"messages": [{"role": "system", "content": "x"}]}, (Kind.SYSTEM, "0"), "x"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, (Kind.ASSISTANT, "0"), "x"),
        ({"messages": [{"role": "Human", "content": "x"}]}, (Kind.USER, "0"), "x"),
        ({"messages": [{"role": "user", "content": {"a": "x"}}]}, (Kind.USER, "0"), "x\n"),
        ({"messages": [{"role": "user", "more": "x"}]}, (Kind.OTHER, "0"), "x\n"),
        ({"messages": ["x"]}, (Kind.USER, "0"), "x\n"),
        ({"messages": "x"}, (Kind.USER, "0"), "x\n"),
        (user({"type": "text", "text": "bo"}, {"type": "text", "text": "mb"}), (Kind.USER, "0"), "bomb"),
        (user("x"), (Kind.USER, "0"), "x\n"),
        (user({"type": "new", "words": "x"}), (Kind.USER, "0"), "x\n"),
        (user({"type": "thinking", "thinking": "x", "signature": "AAAA"}), (Kind.REASONING, "0"), "x"),
        (user({"type": "redacted_thinking", "data": "AAAA", "text": "x"}), (Kind.USER, "0"), "x"),
        (user({"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}), (Kind.TOOL_CALL, "0.0"), 'f\n{"a": 1}'),
        (user({"type": "tool_use", "name": "f", "input": {"é": "ü"}}), (Kind.TOOL_CALL, "0.0"), "f\né\nü\n"),
        (user({"type": "mcp_tool_use", "name": "f", "input": "x"}), (Kind.TOOL_CALL, "0.0"), "f\nx"),
        (user(result("x")), (Kind.TOOL, "0.0"), "x\n"),
        (user(result([{"type": "text", "text": "x"}])), (Kind.TOOL, "0.0"), "x\n"),
        (user(result([document(type="text", media_type="text/plain", data="x")])), (Kind.TOOL, "0.0"), "x"),
        (user(result({"type": "r", "stdout": "x"}, "bash_code_execution_tool_result")), (Kind.TOOL, "0.0"), "x\n"),
        (
            user(
                result(
                    [{"type": "web_search_result", "encrypted_content": "a b", "title": "x"}], "web_search_tool_result"
                )
            ),
            (Kind.TOOL, "0.0"),
            "x\n",
        ),
        (
            user(
                result(
                    {"type": "web_fetch_result", "content": document(type="text", data="x")}, "web_fetch_tool_result"
                )
            ),
            (Kind.TOOL, "0.0"),
            "x",
        ),
        (
            user({"type": "search_result", "source": "s", "title": "t", "content": [{"text": "x"}]}),
            (Kind.TOOL, "0.0"),
            "s\nt\nx\n",
        ),
        (user(document(type="text", media_type="text/plain", data="x")), (Kind.TOOL, "0.0"), "x"),
        (user(document(type="content", content="x")), (Kind.TOOL, "0.0"), "x\n"),
        (user(document(type="content", content=[{"type": "text", "text": "x"}])), (Kind.TOOL, "0.0"), "x\n"),
        (user(document(type="base64", media_type="text/plain", data=SECRET)), (Kind.TOOL, "0.0"), "meet at noon"),
        (user(document(type="text", data="x", content=[{"type": "text", "text": "y"}])), (Kind.TOOL, "0.0"), "xy\n"),
        (user({"type": "text", "citations": [{"cited_text": "x"}]}), (Kind.OTHER, "0"), "x\n"),
        ({"stop_sequences": ["x"]}, (Kind.OTHER, "fields"), "x\n"),
        ({"metadata": {"user_id": "x"}}, (Kind.OTHER, "fields"), "x\n"),
        ({"invented": "x"}, (Kind.OTHER, "fields"), "x\n"),
        (
            {"output_config": {"format": {"schema": {"properties": {"p": {"const": "c"}}}}}},
            (Kind.OTHER, "fields"),
            "p\nc\n",
        ),
        (
            {"tools": [{"name": "f", "description": "d", "input_schema": {"properties": {"p": {"enum": ["e"]}}}}]},
            (Kind.TOOLS, "tools"),
            "f\nd\np\ne\n",
        ),
    ],
)
def test_every_part_of_a_request_is_read(body: dict[str, Any], channel: tuple[Kind, str], text: str) -> None:
    """Evasions 33, 38 and 39: system, blocks, tools and their results, documents, odd shapes."""
    assert texts(FORMAT.read_request(json.dumps(body).encode()).segments) == {channel: text}


@pytest.mark.parametrize(
    ("block", "unread"),
    [
        ({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}, "image"),
        ({"type": "image", "source": {"type": "url", "url": "https://a.example/b"}}, "image"),
        (document(type="base64", media_type="application/pdf", data="AAAA"), "document"),
        (document(type="base64", media_type="text/plain", data="//8="), "document"),
        (document(type="base64", media_type="application/pdf", data="AAAA", content=""), "document"),
        (document(type="url", url="https://a.example/b.pdf"), "document"),
        (document(type="file", file_id="file_1"), "document"),
        ({"type": "container_upload", "file_id": "file_1"}, "file"),
        (result([{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}]), "image"),
    ],
)
def test_what_cannot_be_read_is_named(block: dict[str, Any], unread: str) -> None:
    """Evasions 40 and 41: pictures, PDFs and files elsewhere are no text, and the document says so."""
    assert FORMAT.read_request(json.dumps(user(block)).encode()).unread == {unread}


def test_what_is_plainly_an_enumeration_is_not_scanned() -> None:
    """A common request has no text but its messages'."""
    body = {
        "model": "demo-opus",
        "max_tokens": 5,
        "stream": True,
        "service_tier": "auto",
        "tool_choice": {"type": "auto"},
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "temperature": 0.5,
        "messages": [
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "5m"}}],
            }
        ],
    }
    document = FORMAT.read_request(json.dumps(body).encode())
    assert texts(document.segments) == {(Kind.ASSISTANT, "0"): "x"}
    assert (document.model, document.streamed) == ("demo-opus", True)
    assert document.features == {"messages": 1, "tools": 0, "prefill": True}


def test_the_text_blocks_of_an_answer_are_one_text() -> None:
    """Evasion 32: what is spread over blocks is read as clients join it."""
    blocks = [
        {"type": "text", "text": "bo"},
        {"type": "tool_use", "name": "f", "input": {}},
        {"type": "text", "text": "mb"},
    ]
    answer = FORMAT.read_response(json.dumps({"content": blocks}).encode(), 200)
    assert texts(answer.segments) == {(Kind.CONTENT, "0"): "bomb", (Kind.TOOL_CALL, "0.1"): "f\n"}

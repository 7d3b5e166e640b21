"""The shape of each API's bodies: what tells a format where no path does. A format is one line of `SHAPES`.

The first line that fits counts, so what is told by more stands above what is told by less. A body that fits none is
nobody's; one that fits the wrong line is still read whole, because formats read every string that they do not know.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from safeguards_extproc.wire.leaves import words

Looks = Callable[[dict[str, Any]], bool]


@dataclass(frozen=True, slots=True)
class Shape:
    """`request` judges a request's JSON object, `answer` a whole answer's or that of one event of a stream."""

    format: str
    request: Looks
    answer: Looks


def having(*names: str) -> Looks:
    """An object with one of these members."""
    return lambda body: any(name in body for name in names)


_ANTHROPIC_FIELDS = words("system anthropic_version anthropic_beta stop_sequences thinking mcp_servers output_config")
_ANTHROPIC_BLOCKS = words("tool_use tool_result thinking redacted_thinking document search_result server_tool_use")


def _first(name: str, *members: str) -> Looks:
    """An object whose list `name` begins with an object with one of these members."""
    look = having(*members)

    def judge(body: dict[str, Any]) -> bool:
        items = _listed(body.get(name))
        return bool(items) and isinstance(items[0], dict) and look(items[0])

    return judge


_CONVERSE_FIELDS = words("inferenceConfig toolConfig guardrailConfig additionalModelRequestFields performanceConfig")
_ANTHROPIC_EVENTS = words(
    "message message_start content_block_start content_block_delta content_block_stop message_delta message_stop"
)


def _anthropic_request(body: dict[str, Any]) -> bool:
    if "messages" not in body:
        return False
    tools, messages = body.get("tools"), body["messages"]
    return (
        not _ANTHROPIC_FIELDS.isdisjoint(body)
        or any(isinstance(tool, dict) and "input_schema" in tool for tool in _listed(tools))
        or any(
            isinstance(block, dict) and block.get("type") in _ANTHROPIC_BLOCKS
            for message in _listed(messages)
            if isinstance(message, dict)
            for block in _listed(message.get("content"))
            if isinstance(block, dict) and isinstance(block.get("type"), str)
        )
    )


def _anthropic_answer(body: dict[str, Any]) -> bool:
    type_ = body.get("type")
    return isinstance(type_, str) and type_ in _ANTHROPIC_EVENTS


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _converse_request(body: dict[str, Any]) -> bool:
    """Bedrock's blocks have no type: the member's name is the type."""
    return "messages" in body and (
        not _CONVERSE_FIELDS.isdisjoint(body)
        or any(
            isinstance(block, dict) and block and "type" not in block
            for message in _listed(body["messages"])
            if isinstance(message, dict)
            for block in _listed(message.get("content"))
        )
    )


def _completions_request(body: dict[str, Any]) -> bool:
    """A prompt that is an object is the name of one, in a request for a response."""
    return isinstance(body.get("prompt"), str | list) and "input" not in body and "messages" not in body


def _batch_request(body: dict[str, Any]) -> bool:
    return "input_file_id" in body or _first("requests", "params")(body)


def _batch_answer(body: dict[str, Any]) -> bool:
    return body.get("object") == "batch" or body.get("type") == "message_batch"


def _responses_answer(body: dict[str, Any]) -> bool:
    object_, type_ = body.get("object"), body.get("type")
    of_response = isinstance(type_, str) and type_.startswith("response.")
    return of_response or (isinstance(object_, str) and object_.startswith("response"))


_TELLING = 4
"""Bytes that tell an encoding."""

_GLANCE = 64

SHAPES = (
    Shape("bedrock_converse", _converse_request, having("stopReason")),
    Shape("anthropic_messages", _anthropic_request, _anthropic_answer),
    Shape("gemini", having("contents"), having("candidates", "promptFeedback", "usageMetadata", "totalTokens")),
    Shape("batches", _batch_request, _batch_answer),
    Shape("openai_completions", _completions_request, _first("choices", "text")),
    Shape("openai_chat", having("messages"), having("choices")),
    Shape("openai_embeddings", having("encoding_format", "dimensions"), _first("data", "embedding")),
    Shape("openai_moderations", lambda body: False, _first("results", "flagged")),
    Shape("openai_responses", having("input", "previous_response_id", "prompt"), _responses_answer),
)


def promises(beginning: bytes) -> bool:
    """Whether a body that begins so may be a JSON object. Servers that guess take UTF-16 and UTF-32 too: such a body is
    waited for, and is malformed."""
    return len(beginning) < _TELLING or _first_letter(beginning) in ("", "{")


def is_object(body: bytes) -> bool:
    """Whether a whole body begins as a JSON object does."""
    return (_first_letter(body[:_GLANCE]) or _first_letter(body)) == "{"


def _first_letter(data: bytes) -> str:
    return data.decode(json.detect_encoding(data), "ignore").lstrip("\ufeff \t\r\n")[:1]

"""An exchange as the HTTP request that a client of its dialect sends. Deterministic: same exchange, same bytes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from safeguards_extproc.replay.traffic import Exchange, Message, ToolCall

EXCHANGE_HEADER = "x-demo-exchange"
"""Names the exchange, so that the model server gives the scripted answer."""

MODEL_HEADER = "x-demo-model"
"""On every answer of the model server: a client that does not see it was answered by somebody else."""

STATS_PATH = "/__stats"
"""Where the model server says what reached it."""

PATHS: Mapping[str, str] = {"openai_chat": "/v1/chat/completions", "anthropic_messages": "/v1/messages"}
MODELS: Mapping[str, str] = {"openai_chat": "demo-chat", "anthropic_messages": "demo-messages"}


@dataclass(frozen=True, slots=True)
class Request:
    """A POST, ready to be sent."""

    path: str
    headers: dict[str, str]
    body: bytes = field(repr=False)


def request(exchange: Exchange) -> Request:
    """The request of an exchange; what `transport` and `headers` say comes last and wins."""
    transport = exchange.transport
    body = transport.body or json.dumps(body_of(exchange), ensure_ascii=False, separators=(",", ":"))
    data = body.encode()
    headers = {"content-type": transport.content_type, EXCHANGE_HEADER: exchange.id}
    if exchange.format == "anthropic_messages":
        headers["anthropic-version"] = "2023-06-01"
    if transport.encoding == "gzip":
        data = gzip.compress(data, mtime=0)
        headers["content-encoding"] = "gzip"
    return Request(transport.path or PATHS[exchange.format], headers | exchange.headers, data)


def body_of(exchange: Exchange) -> dict[str, Any]:
    """The JSON body in the exchange's dialect."""
    return _BODIES[exchange.format](exchange)


def _chat(exchange: Exchange) -> dict[str, Any]:
    body: dict[str, Any] = {"model": exchange.model or MODELS[exchange.format]}
    system = [{"role": "system", "content": exchange.system}] if exchange.system else []
    body["messages"] = system + [_chat_message(message) for message in exchange.messages]
    if exchange.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
            }
            for tool in exchange.tools
        ]
    if exchange.answer.choices:
        body["n"] = 1 + len(exchange.answer.choices)
    if exchange.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


def _chat_message(message: Message) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.document:
        turn["content"] = [{"type": "text", "text": text} for text in (message.document, message.content) if text]
    if message.tool_calls:
        turn["tool_calls"] = [
            {
                "id": call_id(call, number),
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)},
            }
            for number, call in enumerate(message.tool_calls)
        ]
    if message.role == "tool":
        turn["tool_call_id"] = message.call or "call_0"
    return turn


def _messages(exchange: Exchange) -> dict[str, Any]:
    body: dict[str, Any] = {"model": exchange.model or MODELS[exchange.format], "max_tokens": 2048}
    instructions = [message.content for message in exchange.messages if message.role in ("system", "developer")]
    if system := "\n\n".join(text for text in (exchange.system, *instructions) if text):
        body["system"] = system
    body["messages"] = [
        _messages_message(message) for message in exchange.messages if message.role not in ("system", "developer")
    ]
    if exchange.tools:
        body["tools"] = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
            for tool in exchange.tools
        ]
    if exchange.stream:
        body["stream"] = True
    return body


def _messages_message(message: Message) -> dict[str, Any]:
    if message.role == "tool":
        result = {"type": "tool_result", "tool_use_id": message.call or "call_0", "content": message.content}
        return {"role": "user", "content": [result]}
    if not message.document and not message.tool_calls:
        return {"role": message.role, "content": message.content}
    blocks: list[dict[str, Any]] = []
    if message.document:
        source = {"type": "text", "media_type": "text/plain", "data": message.document}
        blocks.append({"type": "document", "source": source})
    if message.content:
        blocks.append({"type": "text", "text": message.content})
    blocks += [
        {"type": "tool_use", "id": call_id(call, number), "name": call.name, "input": call.arguments}
        for number, call in enumerate(message.tool_calls)
    ]
    return {"role": message.role, "content": blocks}


def call_id(call: ToolCall, number: int) -> str:
    """A call's id, or one made of its place among the calls."""
    return call.id or f"call_{number}"


_BODIES: Mapping[str, Callable[[Exchange], dict[str, Any]]] = {"openai_chat": _chat, "anthropic_messages": _messages}

"""A scripted answer as the bytes a model server sends: one JSON body, or the events of a stream, per dialect."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from safeguards_extproc.replay.requests import call_id
from safeguards_extproc.replay.traffic import Answer

_CREATED = 1_700_000_000  # any time does; a constant keeps answers reproducible
_WORD = re.compile(r"\s*\S+\s*$|\s*\S+|\s+$")


@dataclass(frozen=True, slots=True)
class Dialect:
    """`whole` makes the JSON body, `events` the events of the stream, both of an answer and the model's name."""

    whole: Callable[[Answer, str], dict[str, Any]]
    events: Callable[[Answer, str], Iterator[bytes]]


def pieces(text: str, size: int) -> list[str]:
    """`text` cut into pieces of `size` characters, or into words with the space before them where `size` is 0."""
    if size:
        return [text[start : start + size] for start in range(0, len(text), size)]
    return _WORD.findall(text)


def writes(answer: Answer, events: Iterator[bytes]) -> Iterator[bytes]:
    """The bytes of each write: an event each, or `chunk` bytes of the whole stream wherever events end."""
    if not answer.chunk:
        yield from events
        return
    stream = b"".join(events)
    for start in range(0, len(stream), answer.chunk):
        yield stream[start : start + answer.chunk]


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _chat_whole(answer: Answer, model: str) -> dict[str, Any]:
    return {
        "id": "chatcmpl-demo",
        "object": "chat.completion",
        "created": _CREATED,
        "model": model,
        "choices": [_chat_choice(answer, index, text) for index, text in enumerate([answer.text, *answer.choices])],
        "usage": _chat_usage(answer),
    }


def _chat_choice(answer: Answer, index: int, text: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    calls = answer.tool_calls if index == 0 else []
    if index == 0 and answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if calls:
        message["tool_calls"] = [
            {
                "id": call_id(call, number),
                "type": "function",
                "function": {"name": call.name, "arguments": _json(call.arguments)},
            }
            for number, call in enumerate(calls)
        ]
    return {"index": index, "message": message, "finish_reason": "tool_calls" if calls else "stop"}


def _chat_usage(answer: Answer) -> dict[str, int]:
    words = sum(len(pieces(text, 0)) for text in (answer.text, answer.reasoning, *answer.choices))
    return {"prompt_tokens": 1, "completion_tokens": words, "total_tokens": words + 1}


def _chat_events(answer: Answer, model: str) -> Iterator[bytes]:
    frame: dict[str, Any] = {
        "id": "chatcmpl-demo",
        "object": "chat.completion.chunk",
        "created": _CREATED,
        "model": model,
    }

    def event(index: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": index, "delta": delta, "finish_reason": finish}
        return f"data: {_json(frame | {'choices': [choice]})}\n\n".encode()

    texts = [answer.text, *answer.choices]
    for index in range(len(texts)):
        yield event(index, {"role": "assistant", "content": ""})
    for piece in pieces(answer.reasoning, answer.piece):
        yield event(0, {"reasoning_content": piece})
    cut = [pieces(text, answer.piece) for text in texts]
    for row in itertools.zip_longest(*cut):
        for index, piece in enumerate(row):
            if piece is not None:
                yield event(index, {"content": piece})
    for number, call in enumerate(answer.tool_calls):
        function = {"name": call.name, "arguments": ""}
        head = {"index": number, "id": call_id(call, number), "type": "function", "function": function}
        yield event(0, {"tool_calls": [head]})
        for piece in pieces(_json(call.arguments), answer.piece or 8):
            yield event(0, {"tool_calls": [{"index": number, "function": {"arguments": piece}}]})
    for index in range(len(texts)):
        yield event(index, {}, "tool_calls" if answer.tool_calls and index == 0 else "stop")
    yield f"data: {_json(frame | {'choices': [], 'usage': _chat_usage(answer)})}\n\n".encode()
    yield b"data: [DONE]\n\n"


def _blocks(answer: Answer) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if answer.reasoning:
        blocks.append({"type": "thinking", "thinking": answer.reasoning, "signature": "c2lnbmVk"})
    if answer.text:
        blocks.append({"type": "text", "text": answer.text})
    return blocks + [
        {"type": "tool_use", "id": call_id(call, number), "name": call.name, "input": call.arguments}
        for number, call in enumerate(answer.tool_calls)
    ]


def _messages_whole(answer: Answer, model: str) -> dict[str, Any]:
    return {
        "id": "msg_demo",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": _blocks(answer),
        "stop_reason": "tool_use" if answer.tool_calls else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": _chat_usage(answer)["completion_tokens"]},
    }


def _messages_events(answer: Answer, model: str) -> Iterator[bytes]:
    whole = _messages_whole(answer, model)
    opening = whole | {"content": [], "stop_reason": None, "usage": {"input_tokens": 1, "output_tokens": 1}}
    yield _event({"type": "message_start", "message": opening})
    yield _event({"type": "ping"})
    for index, block in enumerate(whole["content"]):
        start, deltas = _deltas(block, answer.piece)
        yield _event({"type": "content_block_start", "index": index, "content_block": start})
        for delta in deltas:
            yield _event({"type": "content_block_delta", "index": index, "delta": delta})
        yield _event({"type": "content_block_stop", "index": index})
    delta = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    usage = {"output_tokens": whole["usage"]["output_tokens"]}
    yield _event({"type": "message_delta", "delta": delta, "usage": usage})
    yield _event({"type": "message_stop"})


def _deltas(block: dict[str, Any], piece: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A block as it opens, and its deltas."""
    match block["type"]:
        case "thinking":
            deltas = [{"type": "thinking_delta", "thinking": part} for part in pieces(block["thinking"], piece)]
            signature = {"type": "signature_delta", "signature": block["signature"]}
            return block | {"thinking": "", "signature": ""}, [*deltas, signature]
        case "text":
            return block | {"text": ""}, [{"type": "text_delta", "text": part} for part in pieces(block["text"], piece)]
        case _:
            parts = pieces(_json(block["input"]), piece or 8)
            return block | {"input": {}}, [{"type": "input_json_delta", "partial_json": part} for part in parts]


def _event(value: dict[str, Any]) -> bytes:
    return f"event: {value['type']}\ndata: {_json(value)}\n\n".encode()


DIALECTS: Mapping[str, Dialect] = {
    "openai_chat": Dialect(_chat_whole, _chat_events),
    "anthropic_messages": Dialect(_messages_whole, _messages_events),
}

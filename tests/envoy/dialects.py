"""What a model server says in each dialect: one text, perhaps one call of a tool, as a whole or as a stream.

Written beside the formats under test, from the providers' references; only AWS's frames are put together by `wire`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from safeguards_extproc.replay.answers import DIALECTS as WRITTEN
from safeguards_extproc.replay.traffic import Answer, ToolCall
from safeguards_extproc.wire import eventstream

SSE = "text/event-stream"
MODEL = "demo"

PIECE = 5
"""Characters of text in an event of a stream."""


@dataclass(frozen=True, slots=True)
class Says:
    """What the model says."""

    text: str
    call: ToolCall | None = None

    @property
    def pieces(self) -> list[str]:
        return cut(self.text)

    @property
    def arguments(self) -> str:
        return json.dumps(self.call.arguments) if self.call else ""


Whole = Callable[[Says], Any]
Events = Callable[[Says], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Dialect:
    """`whole` is the JSON of an answer; `events` those of a stream of media type `media`, none where there is none."""

    whole: Whole
    events: Events | None = None
    media: str = SSE

    def body(self, says: Says) -> bytes:
        return json.dumps(self.whole(says)).encode()

    def stream(self, says: Says) -> bytes:
        assert self.events is not None
        return b"".join(self.events(says))


def cut(text: str) -> list[str]:
    return [text[start : start + PIECE] for start in range(0, len(text), PIECE)]


def sse(value: object, name: str = "") -> bytes:
    return (f"event: {name}\n" if name else "").encode() + b"data: " + json.dumps(value).encode() + b"\n\n"


def _written(name: str) -> Dialect:
    """One that the replay writes."""

    def answer(says: Says) -> Answer:
        return Answer(says.text, tool_calls=[says.call] if says.call else [], piece=PIECE)

    dialect = WRITTEN[name]
    return Dialect(lambda says: dialect.whole(answer(says), MODEL), lambda says: dialect.events(answer(says), MODEL))


def _azure(chat: Dialect) -> Dialect:
    """Azure's first event is about the prompt and has no choice."""
    none = {"hate": {"filtered": False, "severity": "safe"}}
    about = {"id": "", "object": "", "created": 0, "model": "", "choices": []}
    first = sse({**about, "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": none}]})

    def events(says: Says) -> Iterator[bytes]:
        yield first
        assert chat.events is not None
        yield from chat.events(says)

    return Dialect(chat.whole, events)


def _completion(says: Says) -> Any:
    choice = {"text": says.text, "index": 0, "logprobs": None, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": 9, "total_tokens": 10}
    return {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1,
        "model": MODEL,
        "choices": [choice],
        "usage": usage,
    }


def _completion_events(says: Says) -> Iterator[bytes]:
    for text in [*says.pieces, ""]:
        whole = _completion(Says(text))
        del whole["usage"]
        if text:
            whole["choices"][0]["finish_reason"] = None
        yield sse(whole)
    yield b"data: [DONE]\n\n"


def _items(says: Says) -> list[dict[str, Any]]:
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": says.text}
    items: list[dict[str, Any]] = [
        {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [part]}
    ]
    if says.call:
        call = {"arguments": says.arguments, "call_id": says.call.id, "name": says.call.name}
        items.append({"id": "fc_1", "type": "function_call", "status": "completed", **call})
    return items


def _response(says: Says) -> Any:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": MODEL,
        "output": _items(says),
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": None,
    }


def _response_events(says: Says) -> Iterator[bytes]:
    number = -1

    def event(type_: str, **members: object) -> bytes:
        nonlocal number
        number += 1
        return sse({"type": f"response.{type_}", "sequence_number": number, **members}, f"response.{type_}")

    whole, items = _response(says), _items(says)
    begun = {**whole, "status": "in_progress", "output": []}
    yield event("created", response=begun)
    yield event("in_progress", response=begun)
    message, part = items[0], items[0]["content"][0]
    at: dict[str, Any] = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    yield event("output_item.added", output_index=0, item={**message, "status": "in_progress", "content": []})
    yield event("content_part.added", **at, part={**part, "text": ""})
    for piece in says.pieces:
        yield event("output_text.delta", **at, delta=piece, logprobs=[])
    yield event("output_text.done", **at, text=says.text, logprobs=[])
    yield event("content_part.done", **at, part=part)
    yield event("output_item.done", output_index=0, item=message)
    for call in items[1:]:
        at = {"item_id": call["id"], "output_index": 1}
        yield event("output_item.added", output_index=1, item={**call, "status": "in_progress", "arguments": ""})
        for piece in cut(says.arguments):
            yield event("function_call_arguments.delta", **at, delta=piece)
        yield event("function_call_arguments.done", **at, name=call["name"], arguments=says.arguments)
        yield event("output_item.done", output_index=1, item=call)
    yield event("completed", response=whole)


def _embedding(says: Says) -> Any:
    data = [{"object": "embedding", "index": 0, "embedding": [0.25, 0.5]}]
    return {"object": "list", "data": data, "model": MODEL, "usage": {"prompt_tokens": 1, "total_tokens": 1}}


def _moderation(says: Says) -> Any:
    result = {"flagged": False, "categories": {"violence": False}, "category_scores": {"violence": 0.01}}
    return {"id": "modr-1", "model": MODEL, "results": [result]}


def _blocks(says: Says) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = [{"text": says.text}]
    if says.call:
        use = {"toolUseId": says.call.id, "name": says.call.name, "input": says.call.arguments}
        blocks.append({"toolUse": use})
    return blocks


def _converse(says: Says) -> Any:
    return {
        "output": {"message": {"role": "assistant", "content": _blocks(says)}},
        "stopReason": "tool_use" if says.call else "end_turn",
        "usage": {"inputTokens": 1, "outputTokens": 9, "totalTokens": 10},
        "metrics": {"latencyMs": 5},
    }


def _converse_parts(says: Says) -> Iterator[tuple[str, dict[str, Any]]]:
    """An event's name and its members; Nova's own stream has the same."""
    yield "messageStart", {"role": "assistant"}
    for piece in says.pieces:
        yield "contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": piece}}
    yield "contentBlockStop", {"contentBlockIndex": 0}
    if says.call:
        start = {"toolUse": {"toolUseId": says.call.id, "name": says.call.name}}
        yield "contentBlockStart", {"contentBlockIndex": 1, "start": start}
        for piece in cut(says.arguments):
            yield "contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": piece}}}
        yield "contentBlockStop", {"contentBlockIndex": 1}
    yield "messageStop", {"stopReason": "tool_use" if says.call else "end_turn"}
    yield "metadata", {"usage": _converse(says)["usage"], "metrics": {"latencyMs": 5}}


def _converse_events(says: Says) -> Iterator[bytes]:
    for name, members in _converse_parts(says):
        yield eventstream.event(name, json.dumps(members).encode())


def _chunk(value: object) -> bytes:
    """A frame of InvokeModelWithResponseStream, padded as Bedrock does."""
    inner = base64.b64encode(json.dumps(value).encode()).decode()
    return eventstream.event("chunk", json.dumps({"bytes": inner, "p": "abcdef"}).encode())


def _nova_events(says: Says) -> Iterator[bytes]:
    for name, members in _converse_parts(says):
        yield _chunk({name: members})


def _invoked(messages: Dialect) -> Dialect:
    """Anthropic's events in AWS's frames."""

    def events(says: Says) -> Iterator[bytes]:
        assert messages.events is not None
        for event in messages.events(says):
            yield _chunk(json.loads(event.partition(b"data: ")[2]))

    return Dialect(messages.whole, events, eventstream.MEDIA)


def _candidate(parts: list[dict[str, Any]], finish: str | None) -> Any:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    usage = {"promptTokenCount": 1, "candidatesTokenCount": 9, "totalTokenCount": 10}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": MODEL, "responseId": "r1"}


def _called(says: Says) -> list[dict[str, Any]]:
    return [{"functionCall": {"name": says.call.name, "args": says.call.arguments}}] if says.call else []


def _generated(says: Says) -> Any:
    return _candidate([{"text": says.text}, *_called(says)], "STOP")


def _generated_events(says: Says) -> Iterator[bytes]:
    for piece in says.pieces:
        yield sse(_candidate([{"text": piece}], None))
    if says.call:
        yield sse(_candidate(_called(says), None))
    yield sse(_candidate([{"text": ""}], "STOP"))


def _inferred(says: Says) -> Any:
    tensor = {"name": "text_output", "datatype": "BYTES", "shape": [1], "data": [says.text]}
    return {"model_name": MODEL, "model_version": "1", "outputs": [tensor]}


def _triton(says: Says) -> Any:
    return {"model_name": MODEL, "model_version": "1", "text_output": says.text}


def _triton_events(says: Says) -> Iterator[bytes]:
    for piece in says.pieces:
        yield sse(_triton(Says(piece)))


def _tgi(says: Says) -> Any:
    return {"generated_text": says.text}


def _tgi_events(says: Says) -> Iterator[bytes]:
    for index, piece in enumerate(pieces := says.pieces):
        last = index == len(pieces) - 1
        token = {"id": index, "text": piece, "logprob": -0.5, "special": False}
        details = {"finish_reason": "eos_token", "generated_tokens": index + 1, "seed": None, "input_length": 1}
        whole = says.text if last else None
        event = {"index": index + 1, "token": token, "generated_text": whole, "details": details if last else None}
        yield b"data:" + json.dumps(event).encode() + b"\n\n"


CHAT = _written("openai_chat")
AZURE = _azure(CHAT)
MESSAGES = _written("anthropic_messages")
COMPLETIONS = Dialect(_completion, _completion_events)
RESPONSES = Dialect(_response, _response_events)
EMBEDDINGS = Dialect(_embedding)
MODERATIONS = Dialect(_moderation)
CLAUDE_ON_BEDROCK = _invoked(MESSAGES)
NOVA = Dialect(_converse, _nova_events, eventstream.MEDIA)
CONVERSE = Dialect(_converse, _converse_events, eventstream.MEDIA)
GEMINI = Dialect(_generated, _generated_events)
INFER = Dialect(_inferred)
TRITON = Dialect(_triton, _triton_events)
TGI = Dialect(_tgi, _tgi_events)

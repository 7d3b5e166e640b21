"""What a chunk of a streamed answer costs in each format: core and wire, from Envoy's message to the answer's bytes.

No Envoy and no loop: one chunk a message, 50 a second by the events' own clock, and the timers that come due between
them. Formats take turns, and the least of the rounds counts, so that what else runs on the machine does not.
"""

from __future__ import annotations

import base64
import gc
import heapq
import itertools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from envoy.service.ext_proc.v3.external_processor_pb2 import ProcessingRequest  # type: ignore[import-untyped]

from safeguards_extproc import wire
from safeguards_extproc.adapters import extproc
from safeguards_extproc.adapters.dues import Dues
from safeguards_extproc.core.decision import Policy
from safeguards_extproc.core.effects import Keep, Wake
from safeguards_extproc.core.events import Body, BodyMode, Headers, Opened, Trailers, Woke
from safeguards_extproc.core.exchange import Exchange
from safeguards_extproc.core.text import Direction
from safeguards_extproc.wire import eventstream, sse

BASE = "openai_chat"
"""The format of the filter's first bench."""

_MODEL = "example-model-8b"
_OPENED = Opened(BodyMode.DUPLEX, BodyMode.DUPLEX)
_EVERY_S = 0.02


@dataclass(frozen=True, slots=True)
class Streamed:
    """How one API streams: `grows` is a chunk with a word of the answer, `first` and `last` stand around them."""

    path: str
    request: dict[str, Any]
    grows: Callable[[int, str], bytes]
    first: bytes = b""
    last: bytes = b""
    media: str = field(default=sse.MEDIA)


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _data(value: object, name: str = "") -> bytes:
    return sse.event(name, _json(value))


def _typed(type_: str, **members: object) -> bytes:
    return _data({"type": type_, **members}, type_)


def _invoked(chunk: object) -> bytes:
    data = base64.b64encode(_json(chunk)).decode()
    return eventstream.event("chunk", _json({"bytes": data, "p": "abcdefghijklmnop"}))


_MESSAGES = [{"role": "user", "content": "What should I cook tonight?"}]
_ASK = {"model": _MODEL, "stream": True, "messages": _MESSAGES}
_PROMPT = {"model": _MODEL, "stream": True, "prompt": "Tonight I cook"}
_CHAT = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": _MODEL}
_CLEAR = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}
_ITEM = {"id": "msg_1", "type": "message", "status": "in_progress", "role": "assistant", "content": []}
_PART = {"type": "output_text", "text": "", "annotations": []}
_AT = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
_STARTED = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": _MODEL,
    "content": [],
    "usage": {"input_tokens": 9, "output_tokens": 1},
}
_PARTS = {"contents": [{"role": "user", "parts": [{"text": "What should I cook tonight?"}]}]}
_CONTENT = {"messages": [{"role": "user", "content": [{"text": "What should I cook tonight?"}]}]}
_CLAUDE = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 99, "messages": _MESSAGES}


def _choice(said: object, **more: object) -> bytes:
    return _data({**_CHAT, "choices": [{"index": 0, "delta": said, "logprobs": None, "finish_reason": None, **more}]})


def _candidate(word: str) -> dict[str, Any]:
    usage = {"promptTokenCount": 9, "totalTokenCount": 9}
    content = {"parts": [{"text": word}], "role": "model"}
    return {"candidates": [{"content": content, "index": 0}], "usageMetadata": usage, "modelVersion": _MODEL}


def _text_delta(word: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}


def _completion(word: str) -> bytes:
    choice = {"index": 0, "text": word, "logprobs": None, "finish_reason": None}
    return _data({"id": "cmpl-1", "object": "text_completion", "created": 1, "model": _MODEL, "choices": [choice]})


def _token(number: int, word: str) -> bytes:
    token = {"id": number, "text": word, "logprob": -0.5, "special": False}
    return b"data:" + _json({"index": number, "token": token, "generated_text": None, "details": None}) + b"\n\n"


_CONVERSE = "/model/example.model-v1:0/"
_BLOCK = {"contentBlockIndex": 0}

STREAMS: dict[str, Streamed] = {
    BASE: Streamed("/v1/chat/completions", _ASK, lambda _, word: _choice({"content": word}), last=b"data: [DONE]\n\n"),
    "openai_chat, Azure": Streamed(
        "/openai/deployments/m/chat/completions",
        _ASK,
        lambda _, word: _choice({"content": word}, content_filter_results=_CLEAR),
        last=b"data: [DONE]\n\n",
    ),
    "openai_completions": Streamed(
        "/v1/completions", _PROMPT, lambda _, word: _completion(word), last=b"data: [DONE]\n\n"
    ),
    "openai_responses": Streamed(
        "/v1/responses",
        {"model": _MODEL, "stream": True, "input": "What should I cook tonight?"},
        lambda number, word: _typed(
            "response.output_text.delta",
            sequence_number=number + 3,
            **_AT,
            delta=word,
            logprobs=[],
            obfuscation="abcdefgh",
        ),
        first=_typed("response.output_item.added", sequence_number=1, output_index=0, item=_ITEM)
        + _typed("response.content_part.added", sequence_number=2, **_AT, part=_PART),
    ),
    "anthropic_messages": Streamed(
        "/v1/messages",
        {**_ASK, "max_tokens": 99},
        lambda _, word: _data(_text_delta(word), "content_block_delta"),
        first=_typed("message_start", message=_STARTED)
        + _typed("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        last=_typed("content_block_stop", index=0) + _typed("message_stop"),
    ),
    "bedrock_converse": Streamed(
        _CONVERSE + "converse-stream",
        _CONTENT,
        lambda _, word: eventstream.event(
            "contentBlockDelta", _json({**_BLOCK, "delta": {"text": word}, "p": "abcdefghijklmnop"})
        ),
        first=eventstream.event("messageStart", _json({"p": "abcd", "role": "assistant"})),
        last=eventstream.event("contentBlockStop", _json(_BLOCK)),
        media=eventstream.MEDIA,
    ),
    "bedrock_invoke, Anthropic": Streamed(
        _CONVERSE + "invoke-with-response-stream",
        _CLAUDE,
        lambda _, word: _invoked(_text_delta(word)),
        first=_invoked({"type": "message_start", "message": _STARTED}),
        media=eventstream.MEDIA,
    ),
    "bedrock_invoke, Nova": Streamed(
        _CONVERSE + "invoke-with-response-stream",
        _CONTENT,
        lambda _, word: _invoked({"contentBlockDelta": {"delta": {"text": word}, "contentBlockIndex": 0}}),
        first=_invoked({"messageStart": {"role": "assistant"}}),
        media=eventstream.MEDIA,
    ),
    "bedrock_invoke, Llama": Streamed(
        _CONVERSE + "invoke-with-response-stream",
        {"prompt": "What should I cook tonight?", "max_gen_len": 99},
        lambda _, word: _invoked(
            {"generation": word, "prompt_token_count": None, "generation_token_count": 2, "stop_reason": None}
        ),
        media=eventstream.MEDIA,
    ),
    "bedrock_invoke, Mistral": Streamed(
        _CONVERSE + "invoke-with-response-stream",
        {"prompt": "What should I cook tonight?", "max_tokens": 99},
        lambda _, word: _invoked({"outputs": [{"text": word, "stop_reason": None}]}),
        media=eventstream.MEDIA,
    ),
    "bedrock_invoke, chat": Streamed(
        _CONVERSE + "invoke-with-response-stream",
        {"messages": _MESSAGES, "max_tokens": 99},
        lambda _, word: _invoked(
            {**_CHAT, "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]}
        ),
        media=eventstream.MEDIA,
    ),
    "gemini, events": Streamed(
        "/v1beta/models/m:streamGenerateContent?alt=sse", _PARTS, lambda _, word: _data(_candidate(word))
    ),
    "gemini, array": Streamed(
        "/v1beta/models/m:streamGenerateContent",
        _PARTS,
        lambda number, word: (b",\r\n" if number else b"[") + _json(_candidate(word)),
        last=b"]",
        media="application/json",
    ),
    "kserve_v2": Streamed(
        "/v2/models/m/generate_stream",
        {"text_input": "What should I cook tonight?"},
        lambda _, word: _data({"model_name": "m", "model_version": "1", "text_output": word}),
    ),
    "tgi": Streamed(
        "/generate_stream", {"inputs": "What should I cook tonight?", "parameters": {"max_new_tokens": 99}}, _token
    ),
}


def opened(path: str, body: bytes) -> tuple[Headers, Body]:
    """A request."""
    pseudo = {":method": "POST", ":path": path, ":authority": "bench", ":scheme": "http"}
    said = Headers(Direction.REQUEST, {**pseudo, "content-type": "application/json"}, False, 1.0)
    return said, Body(Direction.REQUEST, body, True, 1.001)


class Driver:
    """What `adapters/stream.py` does with an exchange, but for the loop and the wire to Envoy. `heard` is told what
    goes to Envoy, and when."""

    def __init__(self, policy: Policy, heard: Callable[[extproc.Answer, float], object] = lambda *_: None) -> None:
        self._heard = heard
        self._exchange = Exchange(policy, wire, "bench", _OPENED, 1.0)
        self._dues = Dues(_OPENED)
        self._timers: list[tuple[float, int, str]] = []
        self._order = itertools.count()
        self.released = 0

    def feed(self, event: Headers | Body | Trailers | Woke) -> None:
        if not isinstance(event, Woke):
            self._dues.took(event)
        for effect in self._exchange.feed(event):
            if isinstance(effect, Wake):
                heapq.heappush(self._timers, (event.at + effect.after_s, next(self._order), effect.timer))
            elif not isinstance(effect, Keep):
                self._dues.gave(effect)  # type: ignore[arg-type]  # without a model nothing is asked
                self.released += len(extproc.encode(effect))  # type: ignore[arg-type]
                self._heard(effect, event.at)  # type: ignore[arg-type]
        _ = self._exchange.held

    def until(self, at: float) -> None:
        """What timers say before `at`."""
        while self._timers and self._timers[0][0] <= at:
            due, _, timer = heapq.heappop(self._timers)
            self.feed(Woke(timer, due))

    @property
    def finished(self) -> bool:
        return self._exchange.finished


@dataclass(frozen=True, slots=True)
class _Prepared:
    path: str
    request: bytes
    answer: dict[str, str]
    first: bytes
    messages: list[bytes]
    last: bytes


def _prepared(stream: Streamed, chunks: int) -> _Prepared:
    grown = [stream.grows(number, f"word{number} ") for number in range(chunks)]
    messages = [ProcessingRequest(response_body={"body": chunk}).SerializeToString() for chunk in grown]
    return _Prepared(
        stream.path,
        _json(stream.request),
        {":status": "200", "content-type": stream.media},
        stream.first,
        messages,
        stream.last,
    )


def _run(policy: Policy, prepared: _Prepared) -> float:
    """Seconds of processor time for the chunks of one answer."""
    driver = Driver(policy)
    for said in opened(prepared.path, prepared.request):
        driver.feed(said)
    driver.feed(Headers(Direction.RESPONSE, dict(prepared.answer), False, 1.002))
    if prepared.first:
        driver.feed(Body(Direction.RESPONSE, prepared.first, False, 1.003))
    at, began = 1.01, time.process_time()
    for message in prepared.messages:
        at += _EVERY_S
        driver.until(at)
        event = extproc.decode(message)
        event.at = at
        driver.feed(event)
    spent = time.process_time() - began
    driver.feed(Body(Direction.RESPONSE, prepared.last, True, at + _EVERY_S))
    if not driver.finished or driver.released < sum(map(len, prepared.messages)) // 2:
        raise SystemExit("bench: an answer did not come through whole")
    return spent


def cost(policy: Policy, chunks: int = 200, rounds: int = 15) -> dict[str, float]:
    """Microseconds a chunk, by stream."""
    prepared = {name: _prepared(stream, chunks) for name, stream in STREAMS.items()}
    spent: dict[str, list[float]] = {name: [] for name in STREAMS}
    gc.collect()
    gc.freeze()
    for _ in range(rounds):
        for name, one in prepared.items():
            spent[name].append(_run(policy, one))
    return {name: min(times) / chunks * 1e6 for name, times in spent.items()}

"""The official SDKs as clients, and what an application and its network saw: one interface for both dialects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import anthropic
import httpx2
import openai

from safeguards_extproc.replay.requests import EXCHANGE_HEADER, MODELS

REFUSED = (openai.BadRequestError, anthropic.BadRequestError)

BROKEN = (openai.APIConnectionError, httpx2.RemoteProtocolError)
"""What is raised where a transfer breaks off."""


class _Teed(httpx2.SyncByteStream):
    def __init__(self, stream: httpx2.SyncByteStream, seen: bytearray) -> None:
        self._stream, self._seen = stream, seen

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            self._seen += chunk
            yield chunk

    def close(self) -> None:
        self._stream.close()


class Wire(httpx2.HTTPTransport):
    """The network as the SDK uses it: how often it asked, the last response's headers, every byte of bodies."""

    def __init__(self) -> None:
        super().__init__()
        self.requests, self.seen = 0, bytearray()
        self.headers: dict[str, str] = {}

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.requests += 1
        response = super().handle_request(request)
        assert isinstance(response.stream, httpx2.SyncByteStream)
        self.headers = {name.lower(): value for name, value in response.headers.items()}
        stream = _Teed(response.stream, self.seen)
        return httpx2.Response(
            response.status_code, headers=response.headers, stream=stream, extensions=response.extensions
        )

    @property
    def id(self) -> str:
        return self.headers["x-safeguards-id"]


@dataclass(slots=True)
class Said:
    """An answer as an application reads it. `calls` are name, arguments and id."""

    text: str = ""
    finish: str | None = None
    refusal: str = ""
    calls: list[tuple[str, Any, str]] = field(default_factory=list)


class Client(Protocol):
    """One application with one connection: `wire` sees what it sends and gets.

    Each method raises the SDK's own error where it is told no. `refused` is the finish of an answer that says no.
    """

    wire: Wire
    refused: str
    path: str

    def body(self, asks: str, *, stream: bool) -> dict[str, Any]: ...

    def whole(self, scene: str, asks: str) -> Said: ...

    def stream(self, scene: str, asks: str) -> Said: ...

    def pieces(self, scene: str, asks: str) -> Iterator[str]:
        """The texts of a stream as they come in."""
        ...

    def helper(self, scene: str, asks: str) -> str:
        """Through the SDK's own stream helper: how it says that the final answer ended."""
        ...

    def code(self, error: Exception) -> str:
        """What an application switches on."""
        ...

    def close(self) -> None:
        """Hang up."""
        ...

    def ended(self) -> bool:
        """Whether what came over the wire ends with the dialect's terminal events."""
        ...


class Chat:
    """OpenAI's Chat Completions."""

    refused, path = "content_filter", "/v1/chat/completions"

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self.wire = Wire()
        self._headers = headers
        http = openai.DefaultHttpxClient(transport=self.wire)
        self._sdk = openai.OpenAI(api_key="none", base_url=f"{url}/v1", http_client=http)

    def body(self, asks: str, *, stream: bool) -> dict[str, Any]:
        body: dict[str, Any] = {"model": MODELS["openai_chat"], "messages": [{"role": "user", "content": asks}]}
        return body | ({"stream": True} if stream else {})

    def whole(self, scene: str, asks: str) -> Said:
        answer = self._sdk.chat.completions.create(**self.body(asks, stream=False), extra_headers=self._named(scene))
        choice = answer.choices[0]
        calls = [
            (call.function.name, json.loads(call.function.arguments), call.id)
            for call in choice.message.tool_calls or []
            if call.type == "function"
        ]
        return Said(choice.message.content or "", choice.finish_reason, choice.message.refusal or "", calls)

    def stream(self, scene: str, asks: str) -> Said:
        said, calls = Said(), dict[int, list[str]]()
        for chunk in self._chunks(scene, asks):
            for choice in chunk.choices:
                said.text += choice.delta.content or ""
                said.refusal += choice.delta.refusal or ""
                said.finish = choice.finish_reason or said.finish
                for call in choice.delta.tool_calls or []:
                    parts = calls.setdefault(call.index, ["", "", ""])
                    parts[0] += (call.function and call.function.name) or ""
                    parts[1] += (call.function and call.function.arguments) or ""
                    parts[2] += call.id or ""
        said.calls = [(name, json.loads(arguments), id_) for name, arguments, id_ in calls.values()]
        return said

    def pieces(self, scene: str, asks: str) -> Iterator[str]:
        for chunk in self._chunks(scene, asks):
            yield from (choice.delta.content or "" for choice in chunk.choices)

    def helper(self, scene: str, asks: str) -> str:
        with self._sdk.chat.completions.stream(
            **self.body(asks, stream=False), extra_headers=self._named(scene)
        ) as stream:
            for _ in stream:
                pass
            try:
                return stream.get_final_completion().choices[0].finish_reason
            except openai.ContentFilterFinishReasonError:
                return self.refused

    def code(self, error: Exception) -> str:
        assert isinstance(error, openai.APIError)
        return str(error.code)

    def close(self) -> None:
        self._sdk.close()

    def ended(self) -> bool:
        return bytes(self.wire.seen).endswith(b"data: [DONE]\n\n")

    def _named(self, scene: str) -> dict[str, str]:
        return {EXCHANGE_HEADER: scene, **self._headers}

    def _chunks(self, scene: str, asks: str) -> Any:
        return self._sdk.chat.completions.create(**self.body(asks, stream=True), extra_headers=self._named(scene))


class Claude:
    """Anthropic's Messages."""

    refused, path = "refusal", "/v1/messages"

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self.wire = Wire()
        self._headers = headers
        http = anthropic.DefaultHttpxClient(transport=self.wire)
        self._sdk = anthropic.Anthropic(api_key="none", base_url=url, http_client=http)

    def body(self, asks: str, *, stream: bool) -> dict[str, Any]:
        body = {"model": MODELS["anthropic_messages"], "max_tokens": 500}
        return body | {"messages": [{"role": "user", "content": asks}]} | ({"stream": True} if stream else {})

    def whole(self, scene: str, asks: str) -> Said:
        return _said(self._sdk.messages.create(**self.body(asks, stream=False), extra_headers=self._named(scene)))

    def stream(self, scene: str, asks: str) -> Said:
        with self._sdk.messages.stream(**self.body(asks, stream=False), extra_headers=self._named(scene)) as stream:
            return _said(stream.get_final_message())

    def pieces(self, scene: str, asks: str) -> Iterator[str]:
        body = self.body(asks, stream=True)
        for event in self._sdk.messages.create(**body, extra_headers=self._named(scene)):
            if event.type == "content_block_delta" and event.delta.type == "text_delta":
                yield event.delta.text

    def helper(self, scene: str, asks: str) -> str:
        return self.stream(scene, asks).finish or ""

    def code(self, error: Exception) -> str:
        assert isinstance(error, anthropic.APIStatusError)
        assert isinstance(error.body, dict)
        return str(error.body["error"]["type"])

    def close(self) -> None:
        self._sdk.close()

    def ended(self) -> bool:
        return b"event: message_stop\n" in self.wire.seen and self.wire.seen.endswith(b"\n\n")

    def _named(self, scene: str) -> dict[str, str]:
        return {EXCHANGE_HEADER: scene, **self._headers}


def _said(message: Any) -> Said:
    said = Said(finish=message.stop_reason)
    for block in message.content:
        if block.type == "text":
            said.text += block.text
        elif block.type == "tool_use":
            said.calls.append((block.name, block.input, block.id))
    if message.stop_details is not None:
        said.refusal = message.stop_details.explanation or ""
    return said


def client(dialect: str, url: str, host: str = "models.test", **headers: str) -> Client:
    """A client of `dialect` on an Envoy, that names `host` and sends `headers` (with - for _)."""
    sent = {"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Chat(url, sent) if dialect == "openai_chat" else Claude(url, sent)

"""Every official client, and every way in which an application asks through it: the rows of the matrix.

`CLIENTS` is who asks, `WAYS` each way to ask, `STRUCTURED` those that make an object of the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import anthropic
import boto3  # type: ignore[import-untyped]
import openai
import tritonclient.http  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from google import genai
from google.genai import types

from tests.envoy import asks_anthropic as claude
from tests.envoy import asks_openai as oai
from tests.envoy import asks_others as others
from tests.envoy import dialects
from tests.envoy.dialects import MODEL, Dialect
from tests.envoy.seen import Seen

Ask = Callable[[Any, str, Seen], None]


@dataclass(frozen=True, slots=True)
class Way:
    """`call` is what an application writes, then what it is told: `done` where an answer ends as it should, `declined`
    where a block is an answer that says no, `called` where an answer ends in a call of a tool ("" if none can),
    `stopped` where a stream is stopped."""

    client: str
    call: str
    ask: Ask
    done: str
    declined: str
    called: str = ""
    stopped: str = ""
    helper: bool = False

    @property
    def streamed(self) -> bool:
        return bool(self.stopped)

    def __str__(self) -> str:
        return f"{self.client}: {self.call}"


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks. `connect` makes one that asks at a URL, and by itself again if told to; then what it raises for each
    refusal. `ends` stand in the last events of a stream that is stopped, in this order."""

    connect: Callable[[str, bool], Any]
    speaks: Dialect
    blocked: str
    throttled: str
    suspended: str
    ends: tuple[str, ...] = ()


def asked(way: Way, client: Any, prompt: str) -> Seen:
    """What the application sees in the end."""
    seen = Seen()
    try:
        way.ask(client, prompt, seen)
    except Exception as error:  # noqa: BLE001 - whatever an SDK raises is what this is about
        seen.error = error
        seen.got(error)
    return seen


def _openai(url: str, again: bool) -> Any:
    return openai.OpenAI(api_key="none", base_url=url + "/v1", max_retries=2 * again)


def _azure(url: str, again: bool) -> Any:
    return openai.AzureOpenAI(
        api_key="none", azure_endpoint=url, api_version="2024-10-21", azure_deployment=MODEL, max_retries=2 * again
    )


def _anthropic(url: str, again: bool) -> Any:
    return anthropic.Anthropic(api_key="none", base_url=url, max_retries=2 * again)


def _on_bedrock(url: str, again: bool) -> Any:
    return anthropic.AnthropicBedrock(
        aws_region="us-east-1", aws_access_key="none", aws_secret_key="none", base_url=url, max_retries=2 * again
    )


def _on_vertex(url: str, again: bool) -> Any:
    return anthropic.AnthropicVertex(
        region="us-east5", project_id="p", access_token="none", base_url=url + "/v1", max_retries=2 * again
    )


def _boto3(url: str, again: bool) -> Any:
    return boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id="none",
        aws_secret_access_key="none",
        config=Config(retries={"mode": "standard", "total_max_attempts": 3 if again else 1}),
    )


def _google(url: str, again: bool, *, vertex: bool) -> Any:
    tries = types.HttpRetryOptions(attempts=3, initial_delay=0.05) if again else None
    options = types.HttpOptions(base_url=url, retry_options=tries)
    return genai.Client(api_key="none", vertexai=vertex, http_options=options)


def _triton(url: str, again: bool) -> Any:
    return tritonclient.http.InferenceServerClient(url.removeprefix("http://"))


def _plain(url: str, again: bool) -> str:
    return url


_OPENAI = (
    "BadRequestError 400 content_policy_violation",
    "RateLimitError 429 rate_limit_exceeded",
    "PermissionDeniedError 403 account_suspended",
)
_ANTHROPIC = (
    "BadRequestError 400 invalid_request_error",
    "RateLimitError 429 rate_limit_error",
    "PermissionDeniedError 403 permission_error",
)
_ON_BEDROCK = ("BadRequestError 400", "RateLimitError 429", "PermissionDeniedError 403")
_AWS = (
    "ValidationException 400",
    "ThrottlingException 429",
    "AccessDeniedException 403",
)
_GOOGLE = (
    "ClientError 400 INVALID_ARGUMENT",
    "ClientError 429 RESOURCE_EXHAUSTED",
    "ClientError 403 PERMISSION_DENIED",
)
_TRITON = ("InferenceServerException 400", "InferenceServerException 429", "InferenceServerException 403")
_HTTP = ("HTTPError 400", "HTTPError 429", "HTTPError 403")

_FILTERED = ('"finish_reason":"content_filter"', "data: [DONE]")
_AZURE = "BadRequestError 400 content_filter"
_INCOMPLETE = ('"type":"response.refusal.done"', '"type":"response.incomplete"', '"reason":"content_filter"')
_REFUSAL = ('"type":"content_block_stop"', '"stop_reason":"refusal"', '"type":"message_stop"')
_GUARDED = ('"contentBlockIndex":0', '"stopReason":"guardrail_intervened"', '"usage"')
_SAFETY = ('"finishReason":"SAFETY"',)
_ERROR = ('{"error":',)

CLIENTS: dict[str, Client] = {
    "openai chat": Client(_openai, dialects.CHAT, *_OPENAI, _FILTERED),
    "openai azure": Client(_azure, dialects.AZURE, _AZURE, *_OPENAI[1:], ('"content_filter_results"', *_FILTERED)),
    "openai completions": Client(_openai, dialects.COMPLETIONS, *_OPENAI, _FILTERED),
    "openai responses": Client(_openai, dialects.RESPONSES, *_OPENAI, _INCOMPLETE),
    "openai azure responses": Client(_azure, dialects.RESPONSES, _AZURE, *_OPENAI[1:], _INCOMPLETE),
    "openai embeddings": Client(_openai, dialects.EMBEDDINGS, *_OPENAI),
    "openai moderations": Client(_openai, dialects.MODERATIONS, *_OPENAI),
    "anthropic": Client(_anthropic, dialects.MESSAGES, *_ANTHROPIC, _REFUSAL),
    "anthropic on Bedrock": Client(_on_bedrock, dialects.CLAUDE_ON_BEDROCK, *_ON_BEDROCK, _REFUSAL),
    "anthropic on Vertex": Client(_on_vertex, dialects.MESSAGES, *_ANTHROPIC, _REFUSAL),
    "boto3 InvokeModel": Client(_boto3, dialects.NOVA, *_AWS, _GUARDED),
    "boto3 Converse": Client(_boto3, dialects.CONVERSE, *_AWS, _GUARDED),
    "google-genai": Client(partial(_google, vertex=False), dialects.GEMINI, *_GOOGLE, _SAFETY),
    "google-genai on Vertex": Client(partial(_google, vertex=True), dialects.GEMINI, *_GOOGLE, _SAFETY),
    "tritonclient": Client(_triton, dialects.INFER, *_TRITON),
    "Triton generate": Client(_plain, dialects.TRITON, *_HTTP, _ERROR),
    "TGI": Client(_plain, dialects.TGI, *_HTTP, _ERROR),
}

ABSENT: dict[tuple[str, str], str] = {
    ("openai completions", "helper"): "the SDK has none",
    ("openai embeddings", "helper"): "the SDK has none",
    ("openai embeddings", "stream"): "the API has none",
    ("openai moderations", "helper"): "the SDK has none",
    ("openai moderations", "stream"): "the API has none",
    ("boto3 InvokeModel", "helper"): "the SDK has none",
    ("boto3 Converse", "helper"): "the SDK has none",
    ("tritonclient", "helper"): "the SDK has none",
    ("tritonclient", "stream"): "over HTTP it has none",
    ("Triton generate", "helper"): "there is no SDK: any HTTP client",
    ("TGI", "helper"): "there is no SDK here: any HTTP client",
}
"""Ways that no client has, and why."""


def _chats(client: str) -> list[Way]:
    filtered, raised, called = "content_filter", "ContentFilterFinishReasonError", "tool_calls"
    return [
        Way(client, "chat.completions.create", partial(oai.chat_whole, "create"), "stop", filtered, called),
        Way(client, "chat.completions.parse", partial(oai.chat_whole, "parse"), "stop", raised, called, helper=True),
        Way(client, "chat.completions.create, stream", oai.chat_raw, "stop", filtered, called, filtered),
        Way(client, "chat.completions.stream", oai.chat_helper, "stop", raised, called, raised, helper=True),
    ]


_RESPONSE = ("completed", "completed", "completed")
_MESSAGE = ("end_turn", "refusal", "tool_use")
_ON_AWS = ("end_turn", "guardrail_intervened", "tool_use")
_CANDIDATE = ("STOP", "PROHIBITED_CONTENT", "STOP")
_BLOCKED = CLIENTS["openai embeddings"].blocked


def _messages(client: str) -> list[Way]:
    return [
        Way(client, "messages.create", partial(claude.message_whole, "create"), *_MESSAGE),
        Way(client, "messages.parse", partial(claude.message_whole, "parse"), *_MESSAGE, helper=True),
        Way(client, "messages.create, stream", claude.message_raw, *_MESSAGE, "refusal"),
        Way(client, "messages.stream", claude.message_helper, *_MESSAGE, "refusal", helper=True),
    ]


def _responses(client: str) -> list[Way]:
    return [
        Way(client, "responses.create", partial(oai.response_whole, "create"), *_RESPONSE),
        Way(client, "responses.parse", partial(oai.response_whole, "parse"), *_RESPONSE, helper=True),
        Way(client, "responses.create, stream", oai.response_raw, *_RESPONSE, "incomplete content_filter"),
        Way(client, "responses.stream", oai.response_helper, *_RESPONSE, "RuntimeError", helper=True),
    ]


def _generates(client: str) -> list[Way]:
    return [
        Way(client, "models.generate_content", others.generate_whole, *_CANDIDATE),
        Way(client, "chats.send_message", others.generate_chat, *_CANDIDATE, helper=True),
        Way(client, "models.generate_content_stream", others.generate_raw, *_CANDIDATE, "SAFETY"),
        Way(client, "chats.send_message_stream", others.generate_chat_stream, *_CANDIDATE, "SAFETY", helper=True),
    ]


def _plainly(client: str, ask: Callable[..., None], *paths: str) -> list[Way]:
    """Over plain HTTP: an answer, and a stream, neither of which has a word for a refusal."""
    end, whole, stream = "the end", *paths
    return [
        Way(client, f"POST …/{whole}", partial(ask, whole), end, end),
        Way(client, f"POST …/{stream}", partial(ask, stream), end, end, stopped="ErrorEvent"),
    ]


_RUNNER = "beta.messages.tool_runner"

WAYS: list[Way] = [
    *_chats("openai chat"),
    *_chats("openai azure"),
    Way("openai completions", "completions.create", oai.completion_whole, "stop", "content_filter"),
    Way(
        "openai completions",
        "completions.create, stream",
        oai.completion_raw,
        "stop",
        "content_filter",
        stopped="content_filter",
    ),
    *_responses("openai responses"),
    *_responses("openai azure responses"),
    Way("openai embeddings", "embeddings.create", oai.embedded, "2 numbers", _BLOCKED),
    Way("openai moderations", "moderations.create", oai.moderated, "not flagged", _BLOCKED),
    *_messages("anthropic"),
    Way("anthropic", _RUNNER, partial(claude.message_runner, stream=False), *_MESSAGE, helper=True),
    Way(
        "anthropic",
        _RUNNER + ", stream",
        partial(claude.message_runner, stream=True),
        *_MESSAGE,
        "refusal",
        helper=True,
    ),
    *_messages("anthropic on Bedrock"),
    *_messages("anthropic on Vertex"),
    Way("boto3 InvokeModel", "invoke_model", others.invoke_whole, *_ON_AWS),
    Way("boto3 InvokeModel", "invoke_model_with_response_stream", others.invoke_raw, *_ON_AWS, "guardrail_intervened"),
    Way("boto3 Converse", "converse", others.converse_whole, *_ON_AWS),
    Way("boto3 Converse", "converse_stream", others.converse_raw, *_ON_AWS, "guardrail_intervened"),
    *_generates("google-genai"),
    *_generates("google-genai on Vertex"),
    Way("tritonclient", "infer", others.infer, "an answer", "an answer"),
    *_plainly("Triton generate", others.triton_generate, "generate", "generate_stream"),
    *_plainly("TGI", others.tgi_generate, "generate", "generate_stream"),
]

_NOTED = "ContentFilterFinishReasonError"

STRUCTURED: list[Way] = [
    Way("openai chat", "chat.completions.parse(response_format)", oai.chat_note, "stop", _NOTED),
    Way("openai chat", "….stream(response_format)", oai.chat_note_streamed, "stop", _NOTED, stopped=_NOTED),
    Way("openai responses", "responses.parse(text_format)", oai.response_note, "completed", "completed"),
    Way(
        "openai responses",
        "responses.stream(text_format)",
        oai.response_note_streamed,
        "completed",
        "completed",
        stopped="ValidationError",
    ),
    Way("anthropic", "messages.parse(output_format)", claude.message_note, "end_turn", "refusal"),
    Way(
        "anthropic",
        "messages.stream(output_format)",
        claude.message_note_streamed,
        "end_turn",
        "refusal",
        stopped="ValidationError",
    ),
]
"""Helpers that parse. Half a JSON text is none, so a stop is an error of theirs."""

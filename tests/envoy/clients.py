"""How an application asks through each official SDK, and what it gets to see. `WAYS` is every way, `CLIENTS` who asks.

These applications are careless: they run every call of a tool that looks whole to them, whatever the answer ends with.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anthropic
import boto3  # type: ignore[import-untyped]
import numpy as np
import openai
import tritonclient.http  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import ClientError, EventStreamError  # type: ignore[import-untyped]
from google import genai
from google.genai import errors, types
from tritonclient.utils import InferenceServerException  # type: ignore[import-untyped]

from tests.envoy import dialects
from tests.envoy.background import PATIENCE_S
from tests.envoy.dialects import MODEL, Dialect

NOVA, CLAUDE = "us.amazon.nova-lite-v1:0", "us.anthropic.claude-sonnet-4-20250514-v1:0"
TOKENS = 500


@dataclass(slots=True)
class Seen:
    """What an application saw. `ran` are the calls that it has run, `everything` all that the SDK gave it.

    `told` is how it ended: the error that was raised, or else why the answer finished.
    """

    text: str = ""
    finish: str = ""
    ran: list[tuple[str, Any]] = field(default_factory=list)
    everything: list[str] = field(default_factory=list)
    error: Exception | None = None

    @property
    def told(self) -> str:
        return named(self.error) if self.error else self.finish

    def run(self, name: str, arguments: str | dict[str, Any]) -> None:
        """Run a call if its arguments can be read."""
        try:
            self.ran.append((name, json.loads(arguments) if isinstance(arguments, str) else arguments))
        except ValueError:
            return

    def got(self, given: object) -> None:
        self.everything.append(repr(given))


Ask = Callable[[Any, str, Seen], None]


@dataclass(frozen=True, slots=True)
class Way:
    """`call` is what an application writes. `stopped` is what it is told where a stream is stopped, `done` where a
    stream or an answer ends as it should, `called` where it ends in a call of a tool ("" if none can)."""

    client: str
    call: str
    ask: Ask
    done: str
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


def named(error: Exception) -> str:
    """An error as an application tells it from others: class, status, code."""
    name = type(error).__name__
    match error:
        case openai.APIStatusError():
            return f"{name} {error.status_code} {error.code}"
        case openai.APIError():
            return f"{name} {error.code}"
        case anthropic.APIStatusError():
            body = error.body
            type_ = body["error"]["type"] if isinstance(body, dict) and "error" in body else ""
            return f"{name} {error.status_code} {type_}".strip()
        case EventStreamError():
            return f"{name} {error.response['Error']['Code']}"
        case ClientError():
            return f"{name} {error.response['ResponseMetadata']['HTTPStatusCode']}"
        case errors.APIError():
            return f"{name} {error.code} {error.status}"
        case InferenceServerException():
            return f"{name} {error.status()}"
        case urllib.error.HTTPError():
            return f"{name} {error.code}"
    return name


def asked(way: Way, client: Any, prompt: str) -> Seen:
    """What the application sees in the end."""
    seen = Seen()
    try:
        way.ask(client, prompt, seen)
    except Exception as error:  # noqa: BLE001 - whatever an SDK raises is what this is about
        seen.error = error
        seen.got(error)
    return seen


def said(prompt: str) -> list[Any]:
    return [{"role": "user", "content": prompt}]


# OpenAI's Chat Completions, and Azure's.


def chat_whole(ask: str, client: Any, prompt: str, seen: Seen) -> None:
    answer = getattr(client.chat.completions, ask)(model=MODEL, messages=said(prompt))
    seen.got(answer)
    choice = answer.choices[0]
    seen.text, seen.finish = choice.message.content or "", choice.finish_reason
    for call in choice.message.tool_calls or []:
        seen.run(call.function.name, call.function.arguments)


def chat_raw(client: Any, prompt: str, seen: Seen) -> None:
    calls: dict[int, list[str]] = {}
    for chunk in client.chat.completions.create(model=MODEL, messages=said(prompt), stream=True):
        seen.got(chunk)
        for choice in chunk.choices:
            seen.text += choice.delta.content or ""
            seen.finish = choice.finish_reason or seen.finish
            for call in choice.delta.tool_calls or []:
                parts = calls.setdefault(call.index, ["", ""])
                parts[0] += call.function.name or ""
                parts[1] += call.function.arguments or ""
    for name, arguments in calls.values():
        seen.run(name, arguments)


def chat_helper(client: Any, prompt: str, seen: Seen) -> None:
    with client.chat.completions.stream(model=MODEL, messages=said(prompt)) as stream:
        for event in stream:
            seen.got(event)
            if event.type == "content.delta":
                seen.text += event.delta
            elif event.type == "tool_calls.function.arguments.done":
                seen.run(event.name, event.arguments)
        seen.finish = stream.get_final_completion().choices[0].finish_reason


# OpenAI's legacy Completions.


def completion_whole(client: Any, prompt: str, seen: Seen) -> None:
    answer = client.completions.create(model=MODEL, prompt=prompt)
    seen.got(answer)
    seen.text, seen.finish = answer.choices[0].text, answer.choices[0].finish_reason


def completion_raw(client: Any, prompt: str, seen: Seen) -> None:
    for chunk in client.completions.create(model=MODEL, prompt=prompt, stream=True):
        seen.got(chunk)
        for choice in chunk.choices:
            seen.text += choice.text
            seen.finish = choice.finish_reason or seen.finish


# OpenAI's Responses.


def response_end(response: Any, seen: Seen) -> None:
    details = response.incomplete_details
    seen.finish = f"{response.status} {details.reason}" if details else response.status


def response_whole(ask: str, client: Any, prompt: str, seen: Seen) -> None:
    response = getattr(client.responses, ask)(model=MODEL, input=prompt)
    seen.got(response)
    seen.text = response.output_text
    response_end(response, seen)
    for item in response.output:
        if item.type == "function_call":
            seen.run(item.name, item.arguments)


def response_event(event: Any, seen: Seen) -> None:
    seen.got(event)
    if event.type == "response.output_text.delta":
        seen.text += event.delta
    elif event.type == "response.output_item.done" and event.item.type == "function_call":
        seen.run(event.item.name, event.item.arguments)


def response_raw(client: Any, prompt: str, seen: Seen) -> None:
    for event in client.responses.create(model=MODEL, input=prompt, stream=True):
        response_event(event, seen)
        if event.type in ("response.completed", "response.incomplete", "response.failed"):
            response_end(event.response, seen)


def response_helper(client: Any, prompt: str, seen: Seen) -> None:
    with client.responses.stream(model=MODEL, input=prompt) as stream:
        for event in stream:
            response_event(event, seen)
        response_end(stream.get_final_response(), seen)


# OpenAI's APIs without words in their answers.


def embedded(client: Any, prompt: str, seen: Seen) -> None:
    answer = client.embeddings.create(model=MODEL, input=prompt, encoding_format="float")
    seen.got(answer)
    seen.finish = f"{len(answer.data[0].embedding)} numbers"


def moderated(client: Any, prompt: str, seen: Seen) -> None:
    answer = client.moderations.create(model=MODEL, input=prompt)
    seen.got(answer)
    seen.finish = "flagged" if answer.results[0].flagged else "not flagged"


# Anthropic's Messages, at home, on Bedrock and on Vertex.


def message_end(message: Any, seen: Seen) -> None:
    seen.got(message)
    seen.finish = message.stop_reason
    seen.text = "".join(block.text for block in message.content if block.type == "text")


def message_whole(ask: str, client: Any, prompt: str, seen: Seen) -> None:
    message = getattr(client.messages, ask)(model=CLAUDE, max_tokens=TOKENS, messages=said(prompt))
    message_end(message, seen)
    for block in message.content:
        if block.type == "tool_use":
            seen.run(block.name, block.input)


def message_raw(client: Any, prompt: str, seen: Seen) -> None:
    calls: dict[int, list[str]] = {}
    for event in client.messages.create(model=CLAUDE, max_tokens=TOKENS, messages=said(prompt), stream=True):
        seen.got(event)
        match event.type:
            case "content_block_start" if event.content_block.type == "tool_use":
                calls[event.index] = [event.content_block.name, ""]
            case "content_block_delta" if event.delta.type == "text_delta":
                seen.text += event.delta.text
            case "content_block_delta" if event.delta.type == "input_json_delta":
                calls[event.index][1] += event.delta.partial_json
            case "message_delta":
                seen.finish = event.delta.stop_reason
    for name, arguments in calls.values():
        seen.run(name, arguments)


def message_helper(client: Any, prompt: str, seen: Seen) -> None:
    with client.messages.stream(model=CLAUDE, max_tokens=TOKENS, messages=said(prompt)) as stream:
        for event in stream:
            seen.got(event)
            if event.type == "text":
                seen.text += event.text
            elif event.type == "content_block_stop" and event.content_block.type == "tool_use":
                seen.run(event.content_block.name, event.content_block.input)
        seen.finish = stream.get_final_message().stop_reason or ""


def message_runner(client: Any, prompt: str, seen: Seen, *, stream: bool) -> None:
    """The SDK runs the tools itself, in a stream each as soon as its block is whole."""

    @anthropic.beta_tool
    def get_weather(city: str) -> str:
        """The weather in a city."""
        seen.ran.append(("get_weather", {"city": city}))
        return "rain"

    @anthropic.beta_tool
    def run_shell(command: str) -> str:
        """Run a command."""
        seen.ran.append(("run_shell", {"command": command}))
        return "done"

    more: dict[str, Any] = {"stream": True, "run_tools_eagerly": True} if stream else {}
    runner = client.beta.messages.tool_runner(
        model=CLAUDE,
        max_tokens=TOKENS,
        messages=said(prompt),
        tools=[get_weather, run_shell],
        max_iterations=1,
        **more,
    )
    for turn in runner:
        if stream:
            for event in turn:
                seen.got(event)
        message_end(turn.get_final_message() if stream else turn, seen)


# boto3: InvokeModel with Nova's JSON, and Converse. It has no helpers.


def blocks_end(answer: dict[str, Any], seen: Seen) -> None:
    seen.got(answer)
    seen.finish = answer["stopReason"]
    for block in answer["output"]["message"]["content"]:
        seen.text += block.get("text", "")
        if "toolUse" in block:
            seen.run(block["toolUse"]["name"], block["toolUse"]["input"])


def parts_end(events: Iterator[dict[str, Any]], seen: Seen) -> None:
    calls: dict[int, list[str]] = {}
    for event in events:
        seen.got(event)
        match event:
            case {"contentBlockStart": {"contentBlockIndex": index, "start": {"toolUse": call}}}:
                calls[index] = [call["name"], ""]
            case {"contentBlockDelta": {"delta": {"text": text}}}:
                seen.text += text
            case {"contentBlockDelta": {"contentBlockIndex": index, "delta": {"toolUse": {"input": part}}}}:
                calls[index][1] += part
            case {"contentBlockStop": {"contentBlockIndex": index}} if index in calls:
                seen.run(*calls[index])
            case {"messageStop": {"stopReason": reason}}:
                seen.finish = reason


def nova(prompt: str) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": [{"text": prompt}]}]}).encode()


def invoke_whole(client: Any, prompt: str, seen: Seen) -> None:
    blocks_end(json.load(client.invoke_model(modelId=NOVA, body=nova(prompt))["body"]), seen)


def invoke_raw(client: Any, prompt: str, seen: Seen) -> None:
    answer = client.invoke_model_with_response_stream(modelId=NOVA, body=nova(prompt))
    parts_end((json.loads(event["chunk"]["bytes"]) for event in answer["body"]), seen)


def converse_whole(client: Any, prompt: str, seen: Seen) -> None:
    messages = [{"role": "user", "content": [{"text": prompt}]}]
    blocks_end(client.converse(modelId=NOVA, messages=messages), seen)


def converse_raw(client: Any, prompt: str, seen: Seen) -> None:
    messages = [{"role": "user", "content": [{"text": prompt}]}]
    parts_end(iter(client.converse_stream(modelId=NOVA, messages=messages)["stream"]), seen)


# Google's SDK, of the Gemini API and of Vertex AI; it runs tools itself.


def tools_of(seen: Seen) -> types.GenerateContentConfig:
    def get_weather(city: str) -> str:
        """The weather in a city."""
        seen.ran.append(("get_weather", {"city": city}))
        return "rain"

    def run_shell(command: str) -> str:
        """Run a command."""
        seen.ran.append(("run_shell", {"command": command}))
        return "done"

    once = types.AutomaticFunctionCallingConfig(maximum_remote_calls=2)
    return types.GenerateContentConfig(tools=[get_weather, run_shell], automatic_function_calling=once)


def generated(answer: Any, seen: Seen) -> None:
    seen.got(answer)
    for candidate in answer.candidates or ():
        seen.finish = candidate.finish_reason.value if candidate.finish_reason else seen.finish
        for part in (candidate.content and candidate.content.parts) or ():
            seen.text += part.text or ""


def generate_whole(client: Any, prompt: str, seen: Seen) -> None:
    generated(client.models.generate_content(model=MODEL, contents=prompt, config=tools_of(seen)), seen)


def generate_raw(client: Any, prompt: str, seen: Seen) -> None:
    for chunk in client.models.generate_content_stream(model=MODEL, contents=prompt, config=tools_of(seen)):
        generated(chunk, seen)


def generate_chat(client: Any, prompt: str, seen: Seen) -> None:
    generated(client.chats.create(model=MODEL, config=tools_of(seen)).send_message(prompt), seen)


def generate_chat_stream(client: Any, prompt: str, seen: Seen) -> None:
    for chunk in client.chats.create(model=MODEL, config=tools_of(seen)).send_message_stream(prompt):
        generated(chunk, seen)


# Triton: its own client for tensors, which has nothing for generate; TGI has no SDK of its own. Both speak plain HTTP.


class ErrorEvent(Exception):
    """The dialect's error event."""


def infer(client: Any, prompt: str, seen: Seen) -> None:
    given = tritonclient.http.InferInput("text_input", [1], "BYTES")
    given.set_data_from_numpy(np.array([prompt], dtype=object), binary_data=False)
    wanted = tritonclient.http.InferRequestedOutput("text_output", binary_data=False)
    answer = client.infer(MODEL, [given], outputs=[wanted])
    seen.got(answer.get_response())
    seen.text, seen.finish = str(answer.as_numpy("text_output")[0]), "an answer"


def post(url: str, value: object) -> Iterator[Any]:
    """The JSON of an answer, or of each of its events. HTTPError if it is refused, ErrorEvent at an error event."""
    body, headers = json.dumps(value).encode(), {"content-type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=PATIENCE_S) as answer:
        if not answer.headers["content-type"].startswith(dialects.SSE):
            yield json.load(answer)
            return
        for line in answer:
            if line.startswith(b"data:"):
                event = json.loads(line[5:])
                if "error" in event:
                    raise ErrorEvent(event["error"])
                yield event


def triton_generate(path: str, url: str, prompt: str, seen: Seen) -> None:
    for answer in post(f"{url}/v2/models/{MODEL}/{path}", {"text_input": prompt, "stream": True}):
        seen.got(answer)
        seen.text += answer["text_output"]
    seen.finish = "the end"


def tgi_generate(path: str, url: str, prompt: str, seen: Seen) -> None:
    for answer in post(f"{url}/{path}", {"inputs": prompt}):
        seen.got(answer)
        seen.text += answer["token"]["text"] if "token" in answer else answer["generated_text"]
    seen.finish = "the end"


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
    ends, helper = ("stop", "tool_calls"), "ContentFilterFinishReasonError"
    return [
        Way(client, "chat.completions.create", partial(chat_whole, "create"), *ends),
        Way(client, "chat.completions.parse", partial(chat_whole, "parse"), *ends, helper=True),
        Way(client, "chat.completions.create, stream", chat_raw, *ends, "content_filter"),
        Way(client, "chat.completions.stream", chat_helper, *ends, helper, helper=True),
    ]


def _messages(client: str) -> list[Way]:
    ends, stopped = ("end_turn", "tool_use"), "refusal"
    return [
        Way(client, "messages.create", partial(message_whole, "create"), *ends),
        Way(client, "messages.parse", partial(message_whole, "parse"), *ends, helper=True),
        Way(client, "messages.create, stream", message_raw, *ends, stopped),
        Way(client, "messages.stream", message_helper, *ends, stopped, helper=True),
    ]


def _generates(client: str) -> list[Way]:
    ends, stopped = ("STOP", "STOP"), "SAFETY"
    return [
        Way(client, "models.generate_content", generate_whole, *ends),
        Way(client, "chats.send_message", generate_chat, *ends, helper=True),
        Way(client, "models.generate_content_stream", generate_raw, *ends, stopped),
        Way(client, "chats.send_message_stream", generate_chat_stream, *ends, stopped, helper=True),
    ]


_RUNNER = "beta.messages.tool_runner"
_ENDS = ("completed", "completed")
_BLOCKS = ("end_turn", "tool_use")

WAYS: list[Way] = [
    *_chats("openai chat"),
    *_chats("openai azure"),
    Way("openai completions", "completions.create", completion_whole, "stop"),
    Way("openai completions", "completions.create, stream", completion_raw, "stop", stopped="content_filter"),
    Way("openai responses", "responses.create", partial(response_whole, "create"), *_ENDS),
    Way("openai responses", "responses.parse", partial(response_whole, "parse"), *_ENDS, helper=True),
    Way("openai responses", "responses.create, stream", response_raw, *_ENDS, "incomplete content_filter"),
    Way("openai responses", "responses.stream", response_helper, *_ENDS, "RuntimeError", helper=True),
    Way("openai embeddings", "embeddings.create", embedded, "2 numbers"),
    Way("openai moderations", "moderations.create", moderated, "not flagged"),
    *_messages("anthropic"),
    Way("anthropic", _RUNNER, partial(message_runner, stream=False), *_BLOCKS, helper=True),
    Way("anthropic", _RUNNER + ", stream", partial(message_runner, stream=True), *_BLOCKS, "refusal", helper=True),
    *_messages("anthropic on Bedrock"),
    *_messages("anthropic on Vertex"),
    Way("boto3 InvokeModel", "invoke_model", invoke_whole, *_BLOCKS),
    Way("boto3 InvokeModel", "invoke_model_with_response_stream", invoke_raw, *_BLOCKS, "guardrail_intervened"),
    Way("boto3 Converse", "converse", converse_whole, *_BLOCKS),
    Way("boto3 Converse", "converse_stream", converse_raw, *_BLOCKS, "guardrail_intervened"),
    *_generates("google-genai"),
    *_generates("google-genai on Vertex"),
    Way("tritonclient", "infer", infer, "an answer"),
    Way("Triton generate", "POST …/generate", partial(triton_generate, "generate"), "the end"),
    Way(
        "Triton generate",
        "POST …/generate_stream",
        partial(triton_generate, "generate_stream"),
        "the end",
        stopped="ErrorEvent",
    ),
    Way("TGI", "POST /generate", partial(tgi_generate, "generate"), "the end"),
    Way("TGI", "POST /generate_stream", partial(tgi_generate, "generate_stream"), "the end", stopped="ErrorEvent"),
]

"""The shape of each API's bodies: what tells a format where no path does. A line of `SHAPES` is a format.

The first line that fits counts, so what is told by more stands above what is told by less. A body that fits none is
nobody's. One that asks in the members of two APIs is `ambiguous`: one server would read the one, another the other.
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
    """`request` judges a request's JSON object, `answer` a whole answer's or that of one event of a stream.

    `format` is a format's name, or what `wire` calls the variant that such a body is of.
    """

    format: str
    request: Looks
    answer: Looks


def having(*names: str) -> Looks:
    """An object with one of these members."""
    return lambda body: any(name in body for name in names)


_ANTHROPIC_FIELDS = words("system anthropic_version anthropic_beta stop_sequences thinking mcp_servers output_config")
_ANTHROPIC_BLOCKS = words(
    "image tool_use tool_result thinking redacted_thinking document search_result server_tool_use"
)


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
        or any(isinstance(tool, dict) and "name" in tool for tool in _listed(tools))
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
    return "promptVariables" in body or (
        "messages" in body
        and (
            not _CONVERSE_FIELDS.isdisjoint(body)
            or any(
                isinstance(block, dict) and block and "type" not in block
                for message in _listed(body["messages"])
                if isinstance(message, dict)
                for block in _listed(message.get("content"))
            )
        )
    )


def _invoke_request(body: dict[str, Any]) -> bool:
    """A vendor's JSON as Bedrock takes it, by what is its own beside the question. The path names the model, so that a
    prompt in a vendor's template, to no model, is one of these too."""
    version, prompt = body.get("anthropic_version"), body.get("prompt")
    templated = isinstance(prompt, str) and prompt.startswith(_TEMPLATES) and "model" not in body
    return (
        "inputText" in body
        or "amazon-bedrock-guardrailConfig" in body
        or (isinstance(version, str) and version.startswith("bedrock"))
        or any(asked in body and not own.isdisjoint(body) for asked, own in _VENDORS.items())
        or ("taskType" in body and any(name.endswith("Params") for name in body))
        or (templated and "stream" not in body)
    )


def _invoke_answer(body: dict[str, Any]) -> bool:
    return not _INVOKE_ANSWERS.isdisjoint(body) or _first("outputs", "text")(body)


_VENDORS = {
    "messages": words("schemaVersion"),
    "prompt": words("max_gen_len max_tokens_to_sample num_generations return_likelihoods"),
    "message": words("chat_history preamble"),
    "texts": words("input_type"),
}
_TEMPLATES = ("<s>[INST]", "<|begin_of_text|>", "<\uff5c")
_INVOKE_ANSWERS = words(
    "generation generation_id generations completion inputTextTokenCount amazon-bedrock-guardrailAction"
)


def _completions_request(body: dict[str, Any]) -> bool:
    """A prompt that is an object is the name of one, in a request for a response."""
    return isinstance(body.get("prompt"), str | list)


def _embeddings_request(body: dict[str, Any]) -> bool:
    """Numbers are token ids, and parts without a type are those of servers that embed pictures, too."""
    return "input" in body and (
        "encoding_format" in body
        or "dimensions" in body
        or any(isinstance(part, int | list) for part in _listed(body["input"]))
        or any("type" not in part for part in _parts(body, "image"))
    )


def _moderations_request(body: dict[str, Any]) -> bool:
    """Parts where Responses have items; embeddings of such parts are read in the same way."""
    return any(part.get("type") == "image_url" for part in _parts(body, "image_url"))


def _parts(body: dict[str, Any], member: str) -> list[dict[str, Any]]:
    """The items of the input that have this member."""
    return [part for part in _listed(body.get("input")) if isinstance(part, dict) and member in part]


def _responses_request(body: dict[str, Any]) -> bool:
    return "input" in body or "previous_response_id" in body or isinstance(body.get("prompt"), dict)


def _batch_request(body: dict[str, Any]) -> bool:
    return "input_file_id" in body or _first("requests", "params")(body)


def _batch_answer(body: dict[str, Any]) -> bool:
    return body.get("object") == "batch" or body.get("type") == "message_batch"


def _tgi_answer(body: dict[str, Any]) -> bool:
    return "generated_text" in body or isinstance(body.get("token"), dict)


def _responses_answer(body: dict[str, Any]) -> bool:
    object_, type_ = body.get("object"), body.get("type")
    of_response = isinstance(type_, str) and type_.startswith("response.")
    return of_response or (isinstance(object_, str) and object_.startswith("response"))


TENSORS = "kserve_v2/infer"
"""The variant of `kserve_v2` that is asked with named tensors."""

_TELLING = 4
"""Bytes that tell an encoding."""

_GLANCE = 64

SHAPES = (
    Shape("bedrock_invoke", _invoke_request, _invoke_answer),
    Shape("bedrock_converse", _converse_request, having("stopReason")),
    Shape("anthropic_messages", _anthropic_request, _anthropic_answer),
    Shape(
        "gemini",
        having("contents", "generateContentRequest"),
        having("candidates", "promptFeedback", "usageMetadata", "totalTokens"),
    ),
    Shape("batches", _batch_request, _batch_answer),
    Shape("openai_completions", _completions_request, _first("choices", "text")),
    Shape("openai_chat", having("messages"), having("choices")),
    Shape(
        "openai_embeddings",
        _embeddings_request,
        _first("data", "embedding"),
    ),
    Shape("openai_moderations", _moderations_request, _first("results", "flagged")),
    Shape("openai_responses", _responses_request, _responses_answer),
    Shape(TENSORS, _first("inputs", "datatype", "data"), _first("outputs", "datatype", "data")),
    Shape("kserve_v2", having("text_input"), having("text_output")),
    Shape("tgi", lambda body: isinstance(body.get("inputs"), str), _tgi_answer),
)

_ASKING = words("messages contents prompt input inputs text_input inputText message texts requests")
"""The members of requests in which APIs are asked."""


def ambiguous(body: dict[str, Any]) -> bool:
    """Whether a request asks in the members of two APIs. A stored prompt and its input are asked of one."""
    asking = _ASKING.intersection(body)
    return len(asking) > 1 and not (asking == {"input", "prompt"} and isinstance(body["prompt"], dict))


def promises(beginning: bytes) -> bool:
    """Whether a body that begins so may be a JSON object. Servers that guess take UTF-16 and UTF-32 too: such a body is
    waited for, and is malformed."""
    return len(beginning) < _TELLING or _first_letter(beginning) in ("", "{")


def is_object(body: bytes) -> bool:
    """Whether a whole body begins as a JSON object does."""
    return (_first_letter(body[:_GLANCE]) or _first_letter(body)) == "{"


def _first_letter(data: bytes) -> str:
    return data.decode(json.detect_encoding(data), "ignore").lstrip("\ufeff \t\r\n")[:1]

"""Whose JSON a body of InvokeModel is, told by its shape, and how each dialect says no.

Bedrock carries every vendor's own JSON. The shape tells the dialect of what is read; only where there is no body to
look at yet, as for an answer of ours, does the model's name.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from safeguards_extproc.core.text import Refusal
from safeguards_extproc.wire.leaves import words

INTERVENED = {"amazon-bedrock-guardrailAction": "INTERVENED"}
"""How Bedrock itself marks an answer that a guardrail wrote, for dialects without a word for it."""

METRICS = "amazon-bedrock-invocationMetrics"
"""A member of the last chunk, in every dialect."""

LAST = {
    **INTERVENED,
    METRICS: {"inputTokenCount": 0, "outputTokenCount": 0, "invocationLatency": 0, "firstByteLatency": 0},
}
"""What a last chunk of ours has beside its vendor's members. Counts are zero: how far the model came is not known."""


class Dialect(enum.StrEnum):
    """By the vendor or model that made it."""

    ANTHROPIC = "anthropic"  # Messages
    NOVA = "nova"  # Converse, as JSON
    CHAT = "chat"  # OpenAI's choices: gpt-oss, Mistral, Jamba, Qwen, DeepSeek
    CLAUDE = "claude"  # Anthropic's text completions
    LLAMA = "llama"
    TITAN = "titan"
    MISTRAL = "mistral"  # a prompt
    DEEPSEEK = "deepseek"  # a prompt
    COMMAND = "command"
    COMMAND_R = "command-r"
    EMBEDDING = "embedding"
    IMAGE = "image"


CONVERSATIONS = frozenset((Dialect.ANTHROPIC, Dialect.NOVA, Dialect.CHAT))
"""Dialects with messages, each read as in the API that it comes from."""


@dataclass(frozen=True, slots=True)
class Flat:
    """A dialect in which a prompt gets texts: an answer is one object, or a list of them in the member `listed`.

    `text` and `reason` are members of it; `refused` is the value of `reason` for what was not let through.
    `chunk_listed`: whether a stream's chunks have the list too. `beside` is what every answer has.
    """

    text: str
    reason: str
    refused: str
    listed: str = ""
    chunk_listed: bool = False
    beside: tuple[tuple[str, Any], ...] = ()

    def write(self, words: str, *, chunk: bool) -> dict[str, Any]:
        """An answer, or the last chunk of one, that was refused."""
        said = {self.text: words, self.reason: self.refused}
        whole = {self.listed: [said]} if self.listed and (self.chunk_listed or not chunk) else said
        return {**whole, **dict(self.beside), **(LAST if chunk else INTERVENED)}


FLAT = {
    Dialect.CLAUDE: Flat("completion", "stop_reason", "refusal", beside=(("type", "completion"), ("stop", None))),
    Dialect.LLAMA: Flat(
        "generation",
        "stop_reason",
        "content_filtered",
        beside=(("prompt_token_count", 0), ("generation_token_count", 0)),
    ),
    Dialect.TITAN: Flat(
        "outputText", "completionReason", "CONTENT_FILTERED", "results", beside=(("inputTextTokenCount", 0),)
    ),
    Dialect.MISTRAL: Flat("text", "stop_reason", "content_filtered", "outputs", chunk_listed=True),
    Dialect.DEEPSEEK: Flat("text", "stop_reason", "content_filtered", "choices", chunk_listed=True),
    Dialect.COMMAND: Flat("text", "finish_reason", "ERROR_TOXIC", "generations", beside=(("is_finished", True),)),
    Dialect.COMMAND_R: Flat("text", "finish_reason", "ERROR_TOXIC", beside=(("is_finished", True),)),
}

_MODELS = (
    ("anthropic.claude-v2", None),  # Messages or text: its name does not say
    ("anthropic.claude-instant", None),
    ("anthropic.", Dialect.ANTHROPIC),
    ("amazon.nova-canvas", None),
    ("amazon.nova-reel", None),
    ("amazon.nova-sonic", None),
    ("amazon.nova-", Dialect.NOVA),
    ("amazon.titan-text-", Dialect.TITAN),
    ("meta.llama", Dialect.LLAMA),
    ("mistral.mistral-7b", Dialect.MISTRAL),
    ("mistral.mixtral", Dialect.MISTRAL),
    ("mistral.mistral-small-2402", Dialect.MISTRAL),
    ("mistral.mistral-large-2402", Dialect.MISTRAL),
    ("deepseek.r1", Dialect.DEEPSEEK),
    ("cohere.command-r", Dialect.COMMAND_R),
    ("cohere.command", Dialect.COMMAND),
    ("mistral.", Dialect.CHAT),
    ("openai.", Dialect.CHAT),
    ("qwen.", Dialect.CHAT),
    ("deepseek.", Dialect.CHAT),
    ("ai21.jamba", Dialect.CHAT),
    ("writer.", Dialect.CHAT),
)
"""What a model's name holds, after a region or the words of an ARN; the first that fits."""

_PROMPTS = ("prompt", "inputText", "texts", "message", "query", "inputImage", "taskType", "text_prompts", "inputs")
_NOVA_ASKS = ("schemaVersion", "inferenceConfig", "toolConfig")
NOVA_EVENTS = words("messageStart contentBlockStart contentBlockDelta contentBlockStop messageStop metadata")
_MESSAGES = words(
    "message message_start content_block_start content_block_delta content_block_stop message_delta message_stop ping "
    "error"
)


def of_model(model: str) -> Dialect | None:
    """The dialect that a model's name stands for; None where it does not say, as an inference profile of one's own."""
    return next((dialect for name, dialect in _MODELS if name in model), None)


def of_request(body: dict[str, Any]) -> Dialect | None:
    """The dialect that a request is written in. Those that ask with a prompt alone are one, LLAMA."""
    if "anthropic_version" in body:
        return Dialect.ANTHROPIC
    messages = body.get("messages")
    if isinstance(messages, list):
        nova = any(name in body for name in _NOVA_ASKS) or isinstance(body.get("system"), list)
        return Dialect.NOVA if nova or any(map(_blocks, messages)) else Dialect.CHAT
    return Dialect.LLAMA if any(name in body for name in _PROMPTS) else None


def _blocks(message: object) -> bool:
    """Whether a message holds blocks of Converse: OpenAI's parts have a type, these are named by their one member."""
    match message:
        case {"content": [dict(first), *_]}:
            return "type" not in first
    return False


def of_answer(body: dict[str, Any]) -> Dialect | None:
    """The dialect of an answer or of one chunk of it."""
    match body:
        case {"type": str(type_)} if type_ in _MESSAGES:
            return Dialect.ANTHROPIC
        case {"choices": [{"text": _}, *_]}:
            return Dialect.DEEPSEEK
        case {"choices": list()}:
            return Dialect.CHAT
        case {"output": {"message": _}}:
            return Dialect.NOVA
        case {"completion": _}:
            return Dialect.CLAUDE
        case {"generation": _}:
            return Dialect.LLAMA
        case {"outputText": _} | {"results": _}:
            return Dialect.TITAN
        case {"outputs": _}:
            return Dialect.MISTRAL
        case {"generations": _}:
            return Dialect.COMMAND
        case {"text": _} | {"event_type": _}:
            return Dialect.COMMAND_R
        case {"embedding": _} | {"embeddings": _} | {"embeddingsByType": _}:
            return Dialect.EMBEDDING
        case {"images": _} | {"artifacts": _}:
            return Dialect.IMAGE
    return Dialect.NOVA if body.keys() & NOVA_EVENTS else None


def choices(refusal: Refusal, indices: Iterable[int], member: str) -> list[dict[str, Any]]:
    """Choices that were refused; `member` is "message", or "delta" in a chunk.

    Some of the vendors that have choices name the reason `stop_reason`, some `finish_reason`.
    """
    said = {"role": "assistant", "content": None if member == "message" else "", "refusal": refusal.message}
    reasons = {"finish_reason": "content_filter", "stop_reason": "content_filter"}
    return [{"index": index, member: said, **reasons} for index in indices]

"""OpenAI Chat Completions: what requests and answers say, message by message and choice by choice.

The channels of message or choice n are those of `openai_message`. Everything else that its writer chose is Kind.OTHER.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from safeguards_extproc.core.text import Channel, Document, Kind, Path
from safeguards_extproc.wire import azure_read, vllm_read
from safeguards_extproc.wire.leaves import SCHEMA_IDENTIFIERS, SCHEMA_WORDS, Leaves, words
from safeguards_extproc.wire.openai_message import FIELDS as FIELDS
from safeguards_extproc.wire.openai_message import IDENTIFIERS, message

ERROR: Channel = (Kind.ERROR, "error")
PROMPT: Channel = (Kind.OTHER, "prompt_logprobs")

REPLICAS = ("logprobs", "token_ids")
"""Members of a choice that repeat its text, token by token; they go when the text is edited."""

CHUNK_FIELDS = words("id object created model system_fingerprint service_tier usage obfuscation provider")
"""Top-level members of an answer in which the server names itself; never the model's words."""

CHOICE_FIELDS = words("index delta finish_reason logprobs")
"""Members of a choice that goes on: all are read in the common case, or hold no text."""

_KINDS = {
    "system": Kind.SYSTEM,
    "developer": Kind.SYSTEM,
    "user": Kind.USER,
    "assistant": Kind.ASSISTANT,
    "tool": Kind.TOOL,
    "function": Kind.TOOL,
}
_REQUEST_IDENTIFIERS = (
    words(
        "model service_tier reasoning_effort verbosity modalities tool_choice type mode function_call voice format "
        "prompt_cache_retention ttl search_context_size effort"
    )
    | vllm_read.IDENTIFIERS
)
_ERROR_IDENTIFIERS = words("type code param status request_id object") | azure_read.VERDICT_IDENTIFIERS


def request(body: dict[str, Any]) -> Document:
    """What a request says. Members that are not of the documented shape are read as plain text."""
    leaves = Leaves()
    prefill = conversation(leaves, body)
    for name in ("tools", "functions"):
        if name in body:
            leaves.tree((Kind.TOOLS, name), body[name], (name,), SCHEMA_IDENTIFIERS, SCHEMA_WORDS)
    members(leaves, body, _REQUEST_KNOWN)
    messages = body.get("messages")
    return asked(
        leaves,
        body,
        len(messages) if isinstance(messages, list) else 0,
        tools=sum(len(body[name]) for name in ("tools", "functions") if isinstance(body.get(name), list)),
        prefill=prefill,
        logprobs=body.get("logprobs") is True,
    )


_REQUEST_KNOWN = frozenset(("messages", "tools", "functions"))


def asked(leaves: Leaves, body: dict[str, Any], messages: int, **features: int | bool) -> Document:
    """The request to any OpenAI API that was read into `leaves`; `messages` counts those, or the prompts."""
    model, count = body.get("model"), body.get("n")
    common = {"messages": messages, "tools": 0, "n": count if isinstance(count, int) else 1}
    return Document(
        leaves.segments,
        model=model if isinstance(model, str) else "",
        streamed=body.get("stream") is True,
        features={**common, "prefill": False, "logprobs": False, **features},
        unread=frozenset(leaves.unread),
    )


def members(leaves: Leaves, body: dict[str, Any], known: frozenset[str]) -> None:
    """What a request to any OpenAI API says beside the `known` members, which its own reader reads."""
    azure_read.data_sources(leaves, body)
    vllm_read.request(leaves, body)
    if "response_format" in body:
        leaves.tree(FIELDS, body["response_format"], ("response_format",), SCHEMA_IDENTIFIERS, SCHEMA_WORDS)
    leaves.rest(FIELDS, body, (), known | _MEMBERS, _REQUEST_IDENTIFIERS)


_MEMBERS = frozenset(("response_format",)) | azure_read.DATA_SOURCES | vllm_read.REQUEST_KNOWN


def conversation(leaves: Leaves, body: dict[str, Any]) -> bool:
    """Read the messages; returns whether the assistant has the last word, which is prefill."""
    messages, prefill = body.get("messages"), False
    if isinstance(messages, list):
        for index, item in enumerate(messages):
            prefill = _request_message(leaves, item, index)
    else:
        leaves.tree((Kind.USER, "0"), messages, ("messages",))
    return prefill


def _request_message(leaves: Leaves, item: object, index: int) -> bool:
    """Read one message; returns whether the assistant speaks, which as the last message is prefill."""
    path: Path = ("messages", index)
    if not isinstance(item, dict):
        leaves.tree((Kind.USER, str(index)), item, path)
        return False
    role = item.get("role")
    # A role that no table knows is untrusted: some servers read it as the user's.
    kind = _KINDS.get(role.strip().lower(), Kind.USER) if isinstance(role, str) else Kind.USER
    message(leaves, item, path, str(index), kind)
    return kind is Kind.ASSISTANT


def response(body: dict[str, Any]) -> Document:
    """What an answer says."""
    return answer(body, choices)


def answer(body: dict[str, Any], read: Callable[[Leaves, dict[str, Any]], None]) -> Document:
    """What an answer says whose choices `read` reads; features count them."""
    leaves = Leaves()
    read(leaves, body)
    model, listed = body.get("model"), body.get("choices")
    return Document(
        leaves.segments,
        model=model if isinstance(model, str) else "",
        features={"choices": len(listed) if isinstance(listed, list) else 0},
        unread=frozenset(leaves.unread),
    )


def choices(leaves: Leaves, body: dict[str, Any]) -> None:
    """Every choice of an answer or a chunk, and what the server says beside them."""
    each_choice(leaves, body, _choice)


def each_choice(
    leaves: Leaves, body: dict[str, Any], read: Callable[[Leaves, dict[str, Any], Path, str], None]
) -> None:
    """The same, where `read` reads a choice, which is given with its place and its name."""
    listed = body.get("choices")
    if isinstance(listed, list):
        for position, choice in enumerate(listed):
            if isinstance(choice, dict):
                read(leaves, choice, ("choices", position), choice_name(choice, position))
            else:
                leaves.tree((Kind.CONTENT, str(position)), choice, ("choices", position))
    else:
        leaves.tree((Kind.CONTENT, "0"), listed, ("choices",))
    beside(leaves, body)


def beside(leaves: Leaves, body: dict[str, Any]) -> None:
    """What the server says beside the choices."""
    if body.get("error"):
        error(leaves, body["error"], ("error",))
    azure_read.verdicts(leaves, body, (), azure_read.PROMPT_VERDICTS)
    vllm_read.prompt_logprobs(leaves, body.get("prompt_logprobs"), ("prompt_logprobs",), PROMPT)
    leaves.rest(FIELDS, body, (), _ANSWER_KNOWN, IDENTIFIERS)


_ANSWER_KNOWN = CHUNK_FIELDS | azure_read.PROMPT_VERDICTS | {"choices", "error", "prompt_logprobs"}


def error(leaves: Leaves, value: object, path: Path) -> None:
    """The provider's error object, or a whole body that is one."""
    leaves.tree(ERROR, value, path, _ERROR_IDENTIFIERS)


def choice_name(choice: dict[str, Any], position: int) -> str:
    index = choice.get("index")
    return str(index) if isinstance(index, int) else str(position)


def _choice(leaves: Leaves, choice: dict[str, Any], path: Path, name: str) -> None:
    said: dict[str, Any] = {}
    for key in ("message", "delta"):
        fields = choice.get(key)
        if isinstance(fields, dict):
            message(leaves, fields, (*path, key), name, Kind.CONTENT)
            said = fields
        elif fields:
            leaves.tree((Kind.CONTENT, name), fields, (*path, key))
    if choice.get("logprobs"):
        _logprobs(leaves, choice["logprobs"], (*path, "logprobs"), name, said)
    azure_read.verdicts(leaves, choice, path, azure_read.VERDICTS)
    leaves.rest((Kind.OTHER, name), choice, path, _CHOICE_KNOWN, IDENTIFIERS)


_CHOICE_KNOWN = words("message delta logprobs") | azure_read.VERDICTS


def _logprobs(leaves: Leaves, value: object, path: Path, name: str, said: dict[str, Any]) -> None:
    """Tokens that repeat a text are its replica; tokens that say something else are a text of their own."""
    channel = (Kind.OTHER, name + ".logprobs")
    if not isinstance(value, dict):
        leaves.tree(channel, value, path)
        return
    for key, entries in value.items():
        tokens = tokens_of(entries)
        if tokens is None:
            leaves.rest(channel, {key: entries}, path, frozenset(), frozenset())
        elif "".join(tokens) != said.get(key):
            for index, token in enumerate(tokens):
                leaves.text(channel, token, (*path, key, index, "token"))


def tokens_of(entries: object) -> list[str] | None:
    """The tokens of a list of log-probabilities; None if it holds anything else."""
    if not isinstance(entries, list):
        return None
    tokens = [entry["token"] for entry in entries if isinstance(entry, dict) and isinstance(entry.get("token"), str)]
    return tokens if len(tokens) == len(entries) else None

"""OpenAI Chat Completions: where text stands in messages, answers and deltas. Members decide, not the `type` beside.

Channels: message or choice n is "n"; its tool call m is "n.m", its legacy function call "n.f", its audio's transcript
"n.audio". Everything else that its writer chose is Kind.OTHER. A message and the deltas that make it up are read by the
same code, so that both give the same text.
"""

from __future__ import annotations

from typing import Any

from safeguards_extproc.core.text import Channel, Document, Kind, Path
from safeguards_extproc.wire.leaves import SCHEMA_IDENTIFIERS, SCHEMA_WORDS, Leaves, words

FIELDS: Channel = (Kind.OTHER, "fields")
ERROR: Channel = (Kind.ERROR, "error")

REPLICAS = ("logprobs", "token_ids")
"""Members of a choice that repeat its text, token by token; they go when the text is edited."""

CHUNK_FIELDS = words("id object created model system_fingerprint service_tier usage obfuscation provider")
"""Top-level members of an answer in which the server names itself; never the model's words."""

VERDICTS = frozenset(("content_filter_results", "content_filter_offsets", "content_filter_result"))
"""Members in which Azure reports its own filter."""

CHOICE_FIELDS = frozenset(("index", "delta", "finish_reason", *REPLICAS)) | VERDICTS

_KINDS = {
    "system": Kind.SYSTEM,
    "developer": Kind.SYSTEM,
    "user": Kind.USER,
    "assistant": Kind.ASSISTANT,
    "tool": Kind.TOOL,
    "function": Kind.TOOL,
}
_REQUEST_IDENTIFIERS = words(
    "model service_tier reasoning_effort verbosity modalities tool_choice type mode function_call voice format "
    "prompt_cache_retention ttl search_context_size effort"
)
_IDENTIFIERS = words("role type id object index tool_call_id finish_reason stop_reason detail format status")
_ERROR_IDENTIFIERS = words("type code param status request_id object")
_MEDIA = {"image_url": "image", "input_audio": "audio", "video_url": "video", "audio_url": "audio", "image": "image"}


def request(body: dict[str, Any]) -> Document:
    """What a request says. Members that are not of the documented shape are read as plain text."""
    leaves = Leaves()
    messages = body.get("messages")
    prefill = False
    if isinstance(messages, list):
        for index, item in enumerate(messages):
            prefill = _request_message(leaves, item, index)
    else:
        leaves.tree((Kind.USER, "0"), messages, ("messages",))
    for name in ("tools", "functions"):
        if name in body:
            leaves.tree((Kind.TOOLS, name), body[name], (name,), SCHEMA_IDENTIFIERS, SCHEMA_WORDS)
    if "response_format" in body:
        leaves.tree(FIELDS, body["response_format"], ("response_format",), SCHEMA_IDENTIFIERS, SCHEMA_WORDS)
    leaves.rest(FIELDS, body, (), _REQUEST_KNOWN, _REQUEST_IDENTIFIERS)
    model, count = body.get("model"), body.get("n")
    return Document(
        leaves.segments,
        model=model if isinstance(model, str) else "",
        streamed=body.get("stream") is True,
        features={
            "messages": len(messages) if isinstance(messages, list) else 0,
            "tools": sum(len(body[name]) for name in ("tools", "functions") if isinstance(body.get(name), list)),
            "n": count if isinstance(count, int) else 1,
            "prefill": prefill,
            "logprobs": body.get("logprobs") is True,
        },
        unread=frozenset(leaves.unread),
    )


_REQUEST_KNOWN = frozenset(("messages", "tools", "functions", "response_format"))


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


def message(leaves: Leaves, fields: dict[str, Any], path: Path, name: str, kind: Kind) -> None:
    """A message, or a delta of one, on the channels of `name`; `kind` is that of its content."""
    for key, value in fields.items():
        if value is None or value == "" or value == []:
            continue
        here = (*path, key)
        match key, value:
            case "content", _:
                _content(leaves, value, here, name, kind)
            case "role", "assistant" | "user" | "system" | "developer" | "tool" | "function":
                pass
            case "refusal", str():
                leaves.text((Kind.REFUSAL, name), value, here)
            case "reasoning_content", str():
                leaves.text((Kind.REASONING, name), value, here)
            case "reasoning", str():
                leaves.text((Kind.REASONING, name + ".reasoning"), value, here)
            case "reasoning_details" | "reasoning" | "reasoning_content" | "thinking_blocks", _:
                leaves.tree((Kind.REASONING, name + ".details"), value, here, _IDENTIFIERS)
            case "tool_calls", list():
                _tool_calls(leaves, value, here, name)
            case "function_call", dict():
                _call(leaves, value, here, (Kind.TOOL_CALL, name + ".f"))
            case "audio", dict():
                _audio(leaves, value, here, name, kind)
            case "name", str():
                leaves.alone(FIELDS, value, here)
            case _, str() if key not in _IDENTIFIERS:
                leaves.text((Kind.OTHER, name), value, here)
            case _:
                leaves.rest((Kind.OTHER, name), {key: value}, path, frozenset(), _IDENTIFIERS)


def _content(leaves: Leaves, value: object, path: Path, name: str, kind: Kind) -> None:
    channel = (kind, name)
    if isinstance(value, str):
        leaves.text(channel, value, path)
    elif isinstance(value, list):
        for index, part in enumerate(value):
            if isinstance(part, str):
                leaves.text(channel, part, (*path, index))
            elif isinstance(part, dict):
                _part(leaves, part, (*path, index), name, kind)
            else:
                leaves.tree(channel, part, (*path, index))
    else:
        leaves.tree(channel, value, path)


def _part(leaves: Leaves, part: dict[str, Any], path: Path, name: str, kind: Kind) -> None:
    channel = (kind, name)
    for key, value in part.items():
        here = (*path, key)
        match key, value:
            case "text", str():
                leaves.text(channel, value, here)
            case "refusal", str():
                leaves.text((Kind.REFUSAL, name), value, here)
            case "thinking" | "reasoning", _:
                leaves.tree((Kind.REASONING, name + ".details"), value, here, _IDENTIFIERS)
            case "file", dict():
                _file(leaves, value, here, channel)
            case _ if key in _MEDIA and value:
                leaves.unread.add(_MEDIA[key])
                _media(leaves, value, here)
            case _:
                leaves.rest(channel, {key: value}, path, frozenset(), _IDENTIFIERS)


def _media(leaves: Leaves, value: object, path: Path) -> None:
    """A link to media is text; the media itself is not."""
    if isinstance(value, dict):
        known = frozenset(("data",)) if isinstance(value.get("data"), str) else frozenset()
        leaves.rest(FIELDS, value, path, known, _IDENTIFIERS)
    else:
        leaves.tree(FIELDS, value, path)


def _file(leaves: Leaves, value: dict[str, Any], path: Path, channel: Channel) -> None:
    data = value.get("file_data")
    if isinstance(data, str):
        leaves.file(channel, data, (*path, "file_data"), "file")
    else:
        leaves.unread.add("file")
    known = frozenset(("file_data", "file_id")) if isinstance(data, str | None) else frozenset(("file_id",))
    leaves.rest(FIELDS, value, path, known, _IDENTIFIERS)


def _tool_calls(leaves: Leaves, calls: list[Any], path: Path, name: str) -> None:
    for position, call in enumerate(calls):
        here = (*path, position)
        if not isinstance(call, dict):
            leaves.tree((Kind.TOOL_CALL, f"{name}.{position}"), call, here)
            continue
        index = call.get("index")
        channel = (Kind.TOOL_CALL, f"{name}.{index if isinstance(index, int) else position}")
        for key in ("function", "custom"):
            if isinstance(call.get(key), dict):
                _call(leaves, call[key], (*here, key), channel)
            elif key in call:
                leaves.tree(channel, call[key], (*here, key))
        leaves.rest(channel, call, here, frozenset(("function", "custom")), _IDENTIFIERS)


def _call(leaves: Leaves, call: dict[str, Any], path: Path, channel: Channel) -> None:
    """A call's text is its name, a separator, its arguments."""
    read = []
    if isinstance(call.get("name"), str):
        read.append("name")
        leaves.alone(channel, call["name"], (*path, "name"))
    for key in ("arguments", "input"):
        if isinstance(call.get(key), str):
            read.append(key)
            leaves.text(channel, call[key], (*path, key))
    if len(read) < len(call):
        leaves.rest(channel, call, path, frozenset(read), _IDENTIFIERS)


def _audio(leaves: Leaves, audio: dict[str, Any], path: Path, name: str, kind: Kind) -> None:
    transcript = audio.get("transcript")
    if isinstance(transcript, str):
        leaves.text((kind, name + ".audio"), transcript, (*path, "transcript"))
    if audio.get("data"):
        leaves.unread.add("audio")
    elif "id" in audio and kind is Kind.ASSISTANT:
        leaves.unread.add("history")
    known = frozenset(("transcript", "data", "id")) if isinstance(transcript, str | None) else frozenset(("data", "id"))
    leaves.rest((Kind.OTHER, name), audio, path, known, _IDENTIFIERS)


def response(body: dict[str, Any]) -> Document:
    """What an answer says; features count its choices."""
    leaves = Leaves()
    choices(leaves, body)
    model, listed = body.get("model"), body.get("choices")
    return Document(
        leaves.segments,
        model=model if isinstance(model, str) else "",
        features={"choices": len(listed) if isinstance(listed, list) else 0},
        unread=frozenset(leaves.unread),
    )


def choices(leaves: Leaves, body: dict[str, Any]) -> None:
    """Every choice of an answer or a chunk, and what the server says beside them."""
    listed = body.get("choices")
    if isinstance(listed, list):
        for position, choice in enumerate(listed):
            if isinstance(choice, dict):
                _choice(leaves, choice, ("choices", position), choice_name(choice, position))
            else:
                leaves.tree((Kind.CONTENT, str(position)), choice, ("choices", position))
    else:
        leaves.tree((Kind.CONTENT, "0"), listed, ("choices",))
    if body.get("error"):
        error(leaves, body["error"], ("error",))
    leaves.rest(FIELDS, body, (), _ANSWER_KNOWN, _IDENTIFIERS)


_ANSWER_KNOWN = CHUNK_FIELDS | VERDICTS | {"choices", "error", "prompt_filter_results"}


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
    leaves.rest((Kind.OTHER, name), choice, path, _CHOICE_KNOWN, _IDENTIFIERS)


_CHOICE_KNOWN = (CHOICE_FIELDS | {"message"}) - {"index", "finish_reason"}


def _logprobs(leaves: Leaves, value: object, path: Path, name: str, said: dict[str, Any]) -> None:
    """Tokens that repeat a text are its replica; tokens that say something else are a text of their own."""
    channel = (Kind.OTHER, name + ".logprobs")
    if not isinstance(value, dict):
        leaves.tree(channel, value, path)
        return
    for key, entries in value.items():
        tokens = _tokens(entries)
        if tokens is None:
            leaves.rest(channel, {key: entries}, path, frozenset(), frozenset())
        elif "".join(tokens) != said.get(key):
            for index, token in enumerate(tokens):
                leaves.text(channel, token, (*path, key, index, "token"))


def _tokens(entries: object) -> list[str] | None:
    if not isinstance(entries, list):
        return None
    tokens = [entry["token"] for entry in entries if isinstance(entry, dict) and isinstance(entry.get("token"), str)]
    return tokens if len(tokens) == len(entries) else None

"""A message of OpenAI's dialect, or a delta of one: where text stands in it. Members decide, not the `type` beside.

Channels: those of message n are "n", of its tool call m "n.m", of its legacy function call "n.f", of its audio's
transcript "n.audio". A message and the deltas that make it up are read by the same code, so that both give the same
text.
"""

from __future__ import annotations

from typing import Any

from safeguards_extproc.core.text import Channel, Kind, Path
from safeguards_extproc.wire import azure_read
from safeguards_extproc.wire.leaves import Leaves, words

FIELDS: Channel = (Kind.OTHER, "fields")

IDENTIFIERS = words("role type id object index tool_call_id finish_reason stop_reason detail format status")
"""Members of a message or an answer whose values are from closed sets, or ids."""

_MEDIA = {
    "image_url": "image",
    "input_audio": "audio",
    "video_url": "video",
    "audio_url": "audio",
    "image": "image",
    "image_embeds": "image",
}


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
                leaves.tree((Kind.REASONING, name + ".details"), value, here, IDENTIFIERS)
            case "tool_calls", list():
                _tool_calls(leaves, value, here, name)
            case "function_call", dict():
                _call(leaves, value, here, (Kind.TOOL_CALL, name + ".f"))
            case "context", dict():
                azure_read.context(leaves, value, here, name)
            case "audio", dict():
                _audio(leaves, value, here, name, kind)
            case "name", str():
                leaves.alone(FIELDS, value, here)
            case _, str() if key not in IDENTIFIERS:
                leaves.text((Kind.OTHER, name), value, here)
            case _:
                leaves.rest((Kind.OTHER, name), {key: value}, path, frozenset(), IDENTIFIERS)


def _content(leaves: Leaves, value: object, path: Path, name: str, kind: Kind) -> None:
    channel = (kind, name)
    if isinstance(value, str):
        leaves.text(channel, value, path)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, str):
                leaves.text(channel, item, (*path, index))
            elif isinstance(item, dict):
                part(leaves, item, (*path, index), name, kind)
            else:
                leaves.tree(channel, item, (*path, index))
    else:
        leaves.tree(channel, value, path)


def part(leaves: Leaves, fields: dict[str, Any], path: Path, name: str, kind: Kind) -> None:
    """A part of a content; what cannot be read of it is named."""
    channel = (kind, name)
    for key, value in fields.items():
        here = (*path, key)
        match key, value:
            case "text", str():
                leaves.text(channel, value, here)
            case "refusal", str():
                leaves.text((Kind.REFUSAL, name), value, here)
            case "thinking" | "reasoning", _:
                leaves.tree((Kind.REASONING, name + ".details"), value, here, IDENTIFIERS)
            case "file", dict():
                _file(leaves, value, here, channel)
            case _ if key in _MEDIA and value:
                leaves.unread.add(_MEDIA[key])
                _media(leaves, value, here)
            case _:
                leaves.rest(channel, {key: value}, path, frozenset(), IDENTIFIERS)


def _media(leaves: Leaves, value: object, path: Path) -> None:
    """A link to media is text; the media itself is not."""
    if isinstance(value, dict):
        known = frozenset(("data",)) if isinstance(value.get("data"), str) else frozenset()
        leaves.rest(FIELDS, value, path, known, IDENTIFIERS)
    else:
        leaves.tree(FIELDS, value, path)


def _file(leaves: Leaves, value: dict[str, Any], path: Path, channel: Channel) -> None:
    data = value.get("file_data")
    if isinstance(data, str):
        leaves.file(channel, data, (*path, "file_data"), "file")
    else:
        leaves.unread.add("file")
    known = frozenset(("file_data", "file_id")) if isinstance(data, str | None) else frozenset(("file_id",))
    leaves.rest(FIELDS, value, path, known, IDENTIFIERS)


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
        leaves.rest(channel, call, here, frozenset(("function", "custom")), IDENTIFIERS)


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
        leaves.rest(channel, call, path, frozenset(read), IDENTIFIERS)


def _audio(leaves: Leaves, audio: dict[str, Any], path: Path, name: str, kind: Kind) -> None:
    transcript = audio.get("transcript")
    if isinstance(transcript, str):
        leaves.text((kind, name + ".audio"), transcript, (*path, "transcript"))
    if audio.get("data"):
        leaves.unread.add("audio")
    elif "id" in audio and kind is Kind.ASSISTANT:
        leaves.unread.add("history")
    known = frozenset(("transcript", "data", "id")) if isinstance(transcript, str | None) else frozenset(("data", "id"))
    leaves.rest((Kind.OTHER, name), audio, path, known, IDENTIFIERS)

"""What came back, as a client sees it: text by channel, how the answer ended, and who gave it.

Reads JSON and event streams on its own, not through `wire`: the far side's word is checked by somebody else's reading.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_BLANK_LINE = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_STOPPED = frozenset({"content_filter", "refusal"})


class Kind(enum.StrEnum):
    """How an exchange ended for the client."""

    ANSWER = "answer"  # a whole answer with its regular end
    REFUSED = "refused"  # no answer, and a reason in the dialect's shape
    STOPPED = "stopped"  # part of an answer, ended in the dialect's shape
    ERROR = "error"  # an error that no policy gave
    BROKEN = "broken"  # cut off: no end, or no reading


@dataclass(slots=True)
class Seen:
    """An answer as read. Channels are "content/0", "reasoning/0", "refusal/0", "tool/0.0" and the like."""

    texts: dict[str, str] = field(default_factory=dict)
    finishes: set[str] = field(default_factory=set)
    ended: bool = False
    message: str = ""
    readable: bool = True

    def __repr__(self) -> str:
        return f"Seen({sum(map(len, self.texts.values()))} chars, {sorted(self.finishes)}, ended={self.ended})"

    def add(self, channel: str, text: str) -> None:
        self.texts[channel] = self.texts.get(channel, "") + text

    @property
    def generated(self) -> str:
        """All text of the model's making, refusals left out."""
        return "\n".join(text for channel, text in self.texts.items() if not channel.startswith("refusal/"))


@dataclass(slots=True)
class Outcome:
    """One exchange as the client saw it. `from_model` tells an answer of the model server from one given for it.
    Times are milliseconds from sending, -1 where nothing came."""

    id: str
    kind: Kind
    status: int = 0
    from_model: bool = False
    seen: Seen = field(default_factory=Seen)
    headers: Mapping[str, str] = field(default_factory=dict)
    bytes_in: int = 0
    first_byte_ms: float = -1.0
    duration_ms: float = -1.0

    def __repr__(self) -> str:
        return f"Outcome({self.id}, {self.kind}, {self.status})"

    @property
    def safeguards_id(self) -> str:
        return self.headers.get("x-safeguards-id", "")


def classify(seen: Seen, status: int, *, from_model: bool, complete: bool) -> Kind:
    """How it ended, from status, answer, and whether the transfer was whole."""
    if not complete or not status:
        return Kind.BROKEN
    if status >= 400:
        return Kind.ERROR if from_model or status >= 500 or not seen.readable else Kind.REFUSED
    if not seen.ended:
        return Kind.BROKEN
    if seen.finishes & _STOPPED:
        return Kind.STOPPED if from_model and seen.generated.strip() else Kind.REFUSED
    return Kind.ANSWER


def read(body: bytes, status: int, content_type: str) -> Seen:
    """Read an answer's body. Never raises: what cannot be read is said in `readable`."""
    seen = Seen()
    if content_type.startswith("text/event-stream"):
        for value in events(body):
            if value == "[DONE]":
                seen.ended = True
            else:
                _read_value(seen, _parsed(value))
        return seen
    value = _parsed(body)
    if status >= 400:
        _read_error(seen, value)
    else:
        _read_value(seen, value)
    return seen


def events(body: bytes) -> Iterator[str]:
    """The data of each whole event; an unfinished one at the end is none."""
    for block in _BLANK_LINE.split(body)[:-1]:
        rows = [line[5:].removeprefix(b" ") for line in block.splitlines() if line.startswith(b"data:")]
        if rows:
            yield b"\n".join(rows).decode(errors="replace")


def _parsed(data: str | bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None


def _read_error(seen: Seen, value: Any) -> None:
    match value:
        case {"error": {"message": str(message)}}:
            seen.message, seen.ended = message, True
        case _:
            seen.readable = False


def _read_value(seen: Seen, value: Any) -> None:
    match value:
        case {"choices": list(choices)}:
            for choice in choices:
                _read_choice(seen, choice)
        case {"type": str(kind)}:
            _read_messages(seen, kind, value)
        case {"error": {"message": str(message)}}:
            seen.message = message
        case _:
            seen.readable = False


def _read_choice(seen: Seen, choice: Any) -> None:
    if not isinstance(choice, dict):
        seen.readable = False
        return
    index = choice.get("index", 0)
    whole = choice.get("message")
    part = whole if isinstance(whole, dict) else choice.get("delta") or {}
    for name, channel in (("content", "content"), ("reasoning_content", "reasoning"), ("refusal", "refusal")):
        if isinstance(text := part.get(name), str):
            seen.add(f"{channel}/{index}", text)
            if channel == "refusal":
                seen.message += text
    for number, call in enumerate(part.get("tool_calls") or []):
        match call:
            case {"function": dict(function)}:
                place = f"tool/{index}.{call.get('index', number)}"
                seen.add(place, "".join(str(function.get(name) or "") for name in ("name", "arguments")))
    if finish := choice.get("finish_reason"):
        seen.finishes.add(str(finish))
    if isinstance(whole, dict):
        seen.ended = True


def _read_messages(seen: Seen, kind: str, value: dict[str, Any]) -> None:
    """An Anthropic message, or one event of its stream."""
    index = value.get("index", 0)
    match value:
        case {"type": "message", "content": list(blocks)}:
            for number, block in enumerate(blocks):
                _read_block(seen, number, block)
            _read_stop(seen, value)
            seen.ended = True
        case {"type": "content_block_start", "content_block": dict(block)}:
            _read_block(seen, index, block)
        case {"type": "content_block_delta", "delta": {"type": "text_delta", "text": str(text)}}:
            seen.add(f"content/{index}", text)
        case {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": str(text)}}:
            seen.add(f"reasoning/{index}", text)
        case {"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": str(text)}}:
            seen.add(f"tool/{index}", text)
        case {"type": "message_delta", "delta": dict(delta)}:
            _read_stop(seen, delta)
        case {"type": "message_stop"}:
            seen.ended = True
        case {"type": "error", "error": {"message": str(message)}}:
            seen.message = message


def _read_stop(seen: Seen, holder: Mapping[str, Any]) -> None:
    match holder:
        case {"stop_details": {"explanation": str(text)}}:
            seen.message = text
    if reason := holder.get("stop_reason"):
        seen.finishes.add(str(reason))


def _read_block(seen: Seen, index: int, block: Any) -> None:
    match block:
        case {"type": "text", "text": str(text)}:
            seen.add(f"content/{index}", text)
        case {"type": "thinking", "thinking": str(text)}:
            seen.add(f"reasoning/{index}", text)
        case {"type": "tool_use", "name": str(name), "input": dict(arguments)}:
            seen.add(f"tool/{index}", name + (json.dumps(arguments, ensure_ascii=False) if arguments else ""))
